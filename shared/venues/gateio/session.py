"""One Gate WebSocket v4 connection: frames in, effects out. Pure.

Each book is subscribed by a request of its own, so that one that is refused takes no other with it.
A connection that falls quiet is pinged, and left when it stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import json

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.venues.gateio import parse
from shared.venues.gateio.sequence import SEQUENCE
from shared.venues.port import (
    Effect,
    Emit,
    FeedKind,
    FeedRefused,
    Malformed,
    Reconnect,
    Send,
)
from shared.venues.rest_join import EARLY_DELTAS_MAX, JoinedBook
from shared.venues.rest_session import RestBooks

BOOKS, TRADES, PING = "spot.order_book_update", "spot.trades", "spot.ping"
SPEED = "100ms"
SNAPSHOT_LEVELS = 100
SNAPSHOT_WEIGHT = 1
QUIET_NS = 5_000_000_000
ANSWER_TIMEOUT_NS = 5_000_000_000
ACK_TIMEOUT_NS = 10_000_000_000
REFUSED = 2
"""The error that says that what was asked for cannot be."""


def snapshot_path(symbol: str) -> str:
    """Return the REST path of a symbol's whole book."""
    return f"/api/v4/spot/order_book?currency_pair={symbol}&limit={SNAPSHOT_LEVELS}&with_id=true"


class GateSession(RestBooks):
    """Subscriptions of one connection.

    Args:
        venue: The configured name, as written into messages.
        symbols: Venue spelling -> instrument.
        early_max: Deltas of a book that wait for its snapshot.
        snapshot_sizes: Levels that may have been asked for, where it was not this session.
        kind: What this connection is for, books or trades.
    """

    def __init__(
        self,
        venue: str,
        symbols: Mapping[str, str],
        *,
        early_max: int = EARLY_DELTAS_MAX,
        snapshot_sizes: Sequence[int] = (SNAPSHOT_LEVELS,),
        kind: FeedKind = FeedKind.DEPTH,
    ) -> None:
        self._venue, self._kind, self._instruments = venue, kind, dict(symbols)
        books: dict[str, JoinedBook] = {}
        if kind is FeedKind.DEPTH:
            books = {
                symbol: JoinedBook(
                    venue,
                    instrument,
                    SEQUENCE,
                    snapshot_path(symbol),
                    SNAPSHOT_WEIGHT,
                    sizes=snapshot_sizes,
                    early_max=early_max,
                )
                for symbol, instrument in symbols.items()
            }
        super().__init__(books, parse.parse_rest_book)
        self._request_id = 0
        self._asked: dict[int, tuple[str, int]] = {}  # request -> symbol, deadline
        self._heard_ns = 0
        self._pinged_ns: int | None = None

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """Subscribe to all books, which start over, or to all trades."""
        self._heard_ns, self._pinged_ns = now_ns, None
        self._asked.clear()
        effects: list[Effect] = []
        for symbol in self._instruments:
            if (book := self._books.get(symbol)) is not None:
                effects += book.open(now_ns)
                effects.append(self._request(now_ns, BOOKS, [symbol, SPEED]))
            else:
                effects.append(self._request(now_ns, TRADES, [symbol]))
            self._asked[self._request_id] = (symbol, now_ns + ACK_TIMEOUT_NS)
        return effects

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """Read one frame."""
        self._heard_ns, self._pinged_ns = now_ns, None
        try:
            frame = parse.parse_envelope(raw)
            if frame.event != "update":
                return self._on_answer(frame, now_ns)
            if frame.channel == BOOKS:
                return self._on_book(parse.parse_book(raw), now_ns)
            if frame.channel == TRADES:
                return self._on_trades(parse.parse_trades(raw), now_ns)
        except ParseError as error:
            return (Malformed(str(error)),)
        return ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """Every book is DOWN."""
        self._asked.clear()
        return self._close_books()

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Give up on a missing acknowledgement or on silence; ping a quiet connection."""
        for symbol, deadline_ns in self._asked.values():
            if now_ns >= deadline_ns:
                self._asked.clear()
                return (Reconnect(f"the subscription of {symbol} was not acknowledged"),)
        if self._pinged_ns is not None:
            if now_ns - self._pinged_ns >= ANSWER_TIMEOUT_NS:
                self._pinged_ns = now_ns
                return (Reconnect(f"no message for {(now_ns - self._heard_ns) // 10**9} s"),)
        elif now_ns - self._heard_ns >= QUIET_NS:
            self._pinged_ns = now_ns
            return (Send(json.encode({"time": now_ns // 10**9, "channel": PING}).decode()),)
        return ()

    def _request(self, now_ns: int, channel: str, payload: list[str]) -> Send:
        self._request_id += 1
        request = {
            "time": now_ns // 10**9,
            "id": self._request_id,
            "channel": channel,
            "event": "subscribe",
            "payload": payload,
        }
        return Send(json.encode(request).decode())

    def _on_book(self, update: parse.BookUpdate, now_ns: int) -> Sequence[Effect]:
        book = self._books.get(update.symbol)
        return () if book is None else book.on_update(update, now_ns)

    def _on_trades(self, trades: list[parse.TradePrint], now_ns: int) -> Sequence[Effect]:
        effects = []
        for trade in trades:
            instrument = self._instruments.get(trade.symbol)
            if instrument is None:
                continue
            if trade.side not in ("buy", "sell"):
                raise ParseError(f"trades: side {trade.side!r}")
            message = Trade(
                venue=self._venue,
                instrument=instrument,
                trade_id=str(trade.trade_id),
                side=Side(trade.side),
                price=trade.price,
                qty=trade.qty,
                ts_recv_ns=now_ns,
                ts_venue_ns=int(trade.ts_venue * 1_000) * 1_000,
            )
            effects.append(Emit(message))
        return effects

    def _on_answer(self, frame: parse.Envelope, now_ns: int) -> Sequence[Effect]:
        """Note what is subscribed; what is refused for good is said, anything else tried again."""
        asked = self._asked.pop(frame.id, None) if isinstance(frame.id, int) else None
        if frame.error is None:
            return () if asked is None else self._on_subscribed(asked[0], now_ns)
        reason = f"subscription refused: {frame.error.code} {frame.error.message}"
        if asked is None:
            return (Malformed(reason),)
        if frame.error.code != REFUSED:
            return (Reconnect(reason),)
        if self._kind is FeedKind.TRADES:
            return (FeedRefused(self._instruments[asked[0]], reason),)
        return self._books[asked[0]].close(reason, refused=True)

    def _on_subscribed(self, symbol: str, now_ns: int) -> Sequence[Effect]:
        if self._kind is not FeedKind.TRADES:
            return self._books[symbol].subscribed(now_ns)
        missed = TradesMissed(  # what was traded before is not known
            venue=self._venue,
            instrument=self._instruments[symbol],
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="subscribed",
        )
        return (Emit(missed),)
