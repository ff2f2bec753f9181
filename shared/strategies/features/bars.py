"""Bars from trades, by the venue's time; each says whether anything of it is missing. Pure.

A bar holds the trades of ``[start, start + interval)`` by the time that the venue gave them. It is
closed by the timer, on our clock, ``lateness_ns`` after its end: the two clocks differ and trades
are under way, so one that comes later is counted and changes no bar. An interval without trades
gives a bar of volume 0 at the last price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed

OPEN_MAX: Final = 64
"""Intervals after the oldest open one that a trade may belong to; its time is wrong otherwise."""
SILENCE_MAX: Final = 10_000
"""Empty bars that are made at once; after a longer silence bars begin again."""
RENUMBERED: Final = 1_000_000
"""A trade's number this far below the newest is no repetition: the venue numbers again."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One interval; volumes in base units, ``quote_volume`` in quote units.

    ``complete`` is false if trades are known or suspected to be missing. ``venue`` and
    ``instrument`` are empty where its maker was not told them.
    """

    start_ns: int
    interval_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    buy_volume: float = 0.0
    quote_volume: float = 0.0
    trades: int = 0
    complete: bool = True
    venue: str = ""
    instrument: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was traded: the prices are those of before."""
        return not self.trades

    @property
    def vwap(self) -> float | None:
        """Average price by volume, ``None`` of no trade."""
        return self.quote_volume / self.volume if self.volume else None


class _OpenBar:
    """The trades of one interval so far; open and close are by the venue's time."""

    __slots__ = ("bases", "buys", "count", "first", "high", "last", "low", "quotes")

    def __init__(self) -> None:
        self.first = self.last = (0, 0.0)
        self.high, self.low, self.count = -math.inf, math.inf, 0
        self.bases: list[float] = []
        self.buys: list[float] = []
        self.quotes: list[float] = []

    def add(self, trade: Trade, ts_ns: int, base: float, quote: float) -> None:
        price = trade.price
        if not self.count or ts_ns < self.first[0]:
            self.first = (ts_ns, price)
        if not self.count or ts_ns >= self.last[0]:
            self.last = (ts_ns, price)
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.count += trade.trades
        self.bases.append(base)
        self.quotes.append(quote)
        if trade.side is Side.BUY:
            self.buys.append(base)


class BarBuilder:
    """Bars of one instrument at one venue.

    Args:
        interval_ns: Length of a bar; bars start at its multiples since 1970.
        lateness_ns: How long after its end a bar is still open.
        inverse_contract: Value of a contract in quote units, where quantities are contracts of
            that many: then a trade is of ``contracts x value / price`` base units.
        venue: Whose trades they are; only told with every bar.
        instrument: The same.
    """

    def __init__(
        self,
        interval_ns: int,
        lateness_ns: int,
        *,
        inverse_contract: float | None = None,
        venue: str = "",
        instrument: str = "",
    ) -> None:
        if interval_ns <= 0 or lateness_ns < 0:
            raise ValueError(f"bars of {interval_ns} ns, {lateness_ns} ns late; give more than 0")
        self._interval_ns, self._lateness_ns = interval_ns, lateness_ns
        self._contract = inverse_contract
        self._venue, self._instrument = venue, instrument
        self._open: dict[int, _OpenBar] = {}
        self._start_ns: int | None = None  # of the oldest interval that is not closed
        self._close: float | None = None
        self._newest_ns: int | None = None  # venue's time of the newest trade
        self._newest_id: int | None = None
        # What is incomplete: a range of intervals, the one of the next trade, all from now on.
        self._gap: tuple[int, int] | None = None
        self._gap_lasts_to_next = True  # nobody knows what was traded before the first trade
        self._is_silent = False
        self.late = self.repeated = self.untimed = self.ahead = self.restarts = 0
        """Trades that came too late, came already, have no venue's time, are of a time too far
        ahead; and how often bars began again after a silence."""

    def on_trade(self, trade: Trade, now_ns: int) -> list[Bar]:
        """Take a trade in; return the bars that are over by now."""
        bars = self.on_timer(now_ns)
        if trade.ts_venue_ns is None:
            self.untimed += 1
        elif trade.price > 0 and trade.qty > 0 and not self._is_repeated(trade.trade_id):
            self._take(trade, trade.ts_venue_ns)
        return bars

    def on_missed(self, missed: TradesMissed, now_ns: int) -> list[Bar]:
        """Trades are missing."""
        bars = self.on_gap(now_ns)
        self._is_silent = missed.ongoing
        return bars

    def on_gap(self, now_ns: int) -> list[Bar]:
        """Whoever reads the trades missed some: since the newest, until the next one or now."""
        if self._newest_ns is not None:
            self._spoil(min(self._newest_ns, now_ns), max(self._newest_ns, now_ns))
        self._gap_lasts_to_next = True
        return self.on_timer(now_ns)

    def on_timer(self, now_ns: int) -> list[Bar]:
        """Return the bars that are over."""
        start_ns, interval_ns = self._start_ns, self._interval_ns
        if start_ns is None:
            return []
        count = (now_ns - self._lateness_ns - start_ns) // interval_ns
        if count > SILENCE_MAX + len(self._open):
            self._begin_anew()
            return []
        return [self._end(start_ns + number * interval_ns) for number in range(count)]

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` is wanted: when the oldest bar is over."""
        if self._start_ns is None:
            return None
        return self._start_ns + self._interval_ns + self._lateness_ns

    def _take(self, trade: Trade, ts_ns: int) -> None:
        start_ns = self._floor(ts_ns)
        if self._start_ns is None:
            self._start_ns = start_ns
        if start_ns < self._start_ns:
            self.late += 1
            return
        if start_ns - self._start_ns > OPEN_MAX * self._interval_ns:
            self.ahead += 1
            return
        if self._gap_lasts_to_next:
            self._gap_lasts_to_next = False
            self._spoil(ts_ns, ts_ns)
        self._newest_ns = max(ts_ns, self._newest_ns or 0)
        if self._contract is None:
            base, quote = trade.qty, trade.qty * trade.price
        else:
            quote = trade.qty * self._contract
            base = quote / trade.price
        self._open.setdefault(start_ns, _OpenBar()).add(trade, ts_ns, base, quote)

    def _end(self, start_ns: int) -> Bar:
        found = self._open.pop(start_ns, None)
        self._start_ns = start_ns + self._interval_ns
        gap = self._gap
        complete = not self._is_silent and not (gap and gap[0] <= start_ns <= gap[1])
        if gap and gap[1] <= start_ns:
            self._gap = None
        if found is None:
            assert self._close is not None, "the first interval has a trade"
            price = self._close
            return Bar(
                start_ns=start_ns,
                interval_ns=self._interval_ns,
                open=price,
                high=price,
                low=price,
                close=price,
                complete=complete,
                venue=self._venue,
                instrument=self._instrument,
            )
        self._close = found.last[1]
        return Bar(
            start_ns=start_ns,
            interval_ns=self._interval_ns,
            open=found.first[1],
            high=found.high,
            low=found.low,
            close=found.last[1],
            volume=math.fsum(found.bases),
            buy_volume=math.fsum(found.buys),
            quote_volume=math.fsum(found.quotes),
            trades=found.count,
            complete=complete,
            venue=self._venue,
            instrument=self._instrument,
        )

    def _begin_anew(self) -> None:
        self.restarts += 1
        self._open.clear()
        self._start_ns = self._close = self._newest_ns = self._gap = None
        self._gap_lasts_to_next = True

    def _spoil(self, from_ns: int, to_ns: int) -> None:
        first, last = self._floor(from_ns), self._floor(to_ns)
        if self._gap is not None:
            first, last = min(first, self._gap[0]), max(last, self._gap[1])
        self._gap = (first, last)

    def _is_repeated(self, trade_id: str) -> bool:
        """Venues number the trades of an instrument in order; two ingestors may tell the same."""
        if not (trade_id.isascii() and trade_id.isdecimal()):
            return False
        number, newest = int(trade_id), self._newest_id
        if newest is not None and newest - RENUMBERED < number <= newest:
            self.repeated += 1
            return True
        self._newest_id = number
        return False

    def _floor(self, ts_ns: int) -> int:
        return ts_ns // self._interval_ns * self._interval_ns


def merged(bars: Sequence[Bar], interval_ns: int) -> list[Bar]:
    """Return longer bars made of shorter ones, which come in the order of time.

    A bar of which a part is missing or incomplete is incomplete. Empty parts add no price.
    """
    found: list[Bar] = []
    parts: list[Bar] = []
    for bar in bars:
        if interval_ns % bar.interval_ns or interval_ns < bar.interval_ns:
            raise ValueError(f"{bar.interval_ns} ns bars do not make bars of {interval_ns} ns")
        if parts and parts[0].start_ns // interval_ns != bar.start_ns // interval_ns:
            found.append(_joined(parts, interval_ns))
            parts = []
        if parts and bar.start_ns <= parts[-1].start_ns:
            raise ValueError(f"a bar of {bar.start_ns} after one of {parts[-1].start_ns}")
        parts.append(bar)
    if parts:
        found.append(_joined(parts, interval_ns))
    return found


def _joined(parts: Sequence[Bar], interval_ns: int) -> Bar:
    traded = [part for part in parts if not part.is_empty] or parts[:1]
    is_whole = len(parts) * parts[0].interval_ns == interval_ns
    return Bar(
        start_ns=parts[0].start_ns // interval_ns * interval_ns,
        interval_ns=interval_ns,
        open=traded[0].open,
        high=max(part.high for part in traded),
        low=min(part.low for part in traded),
        close=traded[-1].close,
        volume=math.fsum(part.volume for part in parts),
        buy_volume=math.fsum(part.buy_volume for part in parts),
        quote_volume=math.fsum(part.quote_volume for part in parts),
        trades=sum(part.trades for part in parts),
        complete=is_whole and all(part.complete for part in parts),
        venue=parts[0].venue,
        instrument=parts[0].instrument,
    )
