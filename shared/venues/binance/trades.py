"""Public trades of one Binance connection: frames in, trades and what is missing out. Pure.

Both streams number their events without holes per symbol (``t`` and ``a``), so a hole is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.binance import parse
from shared.venues.port import DROPPED_TRADE, Dropped, Effect, Emit
from shared.venues.times import unix_ns

RENUMBERED = 1_000_000
"""An id this far back is not late: the venue numbers again."""


class Trades:
    """The trades of some symbols; ``symbols`` maps the venue's spelling to ours."""

    def __init__(self, venue: str, symbols: Mapping[str, str]) -> None:
        self._venue, self._instruments = venue, dict(symbols)
        self._newest: dict[str, int] = {}
        """Stream and symbol -> id of its newest event."""

    def open(self) -> None:
        """The connection is new: what came before does not continue."""
        self._newest.clear()

    def subscribed(self, instruments: Sequence[str], now_ns: int) -> list[Effect]:
        """Trades of these instruments come from now on, and nobody knows what came before."""
        return [Emit(self._missed(each, now_ns, None, "subscribed")) for each in instruments]

    def on_trade(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A single trade."""
        trade = parse.parse_trade(raw)
        is_traded = trade.kind == parse.MARKET
        return self._take(trade, f"trade {trade.symbol}", 1, now_ns, is_traded=is_traded)

    def on_aggregate(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """The trades of one order at one price."""
        trade = parse.parse_aggregate(raw)
        count = max(1, trade.last_id - trade.first_id + 1)
        return self._take(trade, f"aggTrade {trade.symbol}", count, now_ns)

    def _take(
        self,
        trade: parse.TradePrint | parse.AggregateTrade,
        key: str,
        count: int,
        now_ns: int,
        *,
        is_traded: bool = True,
    ) -> Sequence[Effect]:
        instrument = self._instruments.get(trade.symbol)
        if instrument is None:
            return ()
        newest, trade_id = self._newest.get(key), trade.trade_id
        if newest is not None and newest - trade_id > RENUMBERED:
            newest = None
        if newest is not None and trade_id <= newest:
            return (Dropped(instrument, DROPPED_TRADE),)
        self._newest[key] = trade_id
        effects: list[Effect] = []
        if newest is not None and trade_id > newest + 1:
            reason = f"trade ids {newest + 1} to {trade_id - 1} did not come"
            effects.append(Emit(self._missed(instrument, now_ns, trade_id - newest - 1, reason)))
        # Futures spend ids on prints of price and quantity zero: nothing was traded.
        if is_traded and trade.price and trade.qty:
            message = Trade(
                venue=self._venue,
                instrument=instrument,
                trade_id=str(trade_id),
                side=Side.SELL if trade.is_buyer_maker else Side.BUY,
                price=trade.price,
                qty=trade.qty,
                ts_recv_ns=now_ns,
                ts_venue_ns=unix_ns(trade.ts_venue),
                trades=count,
            )
            effects.append(Emit(message))
        return effects

    def _missed(self, instrument: str, now_ns: int, count: int | None, reason: str) -> TradesMissed:
        return TradesMissed(
            venue=self._venue,
            instrument=instrument,
            ongoing=False,
            ts_recv_ns=now_ns,
            count=count,
            reason=reason,
        )
