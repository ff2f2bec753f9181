"""Bars of trades for the strategies that ask for them: each is made once for all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.scanner.hosted import Hosted
from shared.messages.market import Trade, TradesMissed
from shared.strategies.features.bars import Bar, BarBuilder
from shared.strategies.port import Bars

BUILDERS_MAX = 4_096
"""Bars of so many instruments, lengths and latenesses; more are refused and counted."""
_MS, _S = 1_000_000, 1_000_000_000


class _Length(NamedTuple):
    interval_s: int
    lateness_ms: int


class ClosedBar(NamedTuple):
    """A bar that is over, and how late its trades were waited for."""

    bar: Bar
    lateness_ms: int

    def is_wanted(self, wanted: Sequence[Bars]) -> bool:
        """Tell whether an input asks for it."""
        bar = self.bar
        return any(
            each.interval_s * _S == bar.interval_ns
            and each.lateness_ms == self.lateness_ms
            and each.covers(bar.venue, bar.instrument)
            for each in wanted
        )


class BarMaker:
    """Makes the bars that strategies ask for.

    Args:
        strategies: Who may ask for them.
    """

    def __init__(self, strategies: Sequence[Hosted]) -> None:
        self._wanted = [each for hosted in strategies for each in hosted.bars]
        self._builders: dict[tuple[str, str], dict[_Length, BarBuilder]] = {}
        self._count = self.refused = 0
        self.next_ns: int | None = None
        """When ``on_timer`` has a bar to close."""

    def on_trade(self, trade: Trade, now_ns: int) -> list[ClosedBar]:
        """Take a trade in; return the bars of its instrument that are over by now."""
        if not self._wanted:
            return []
        closed, begins = [], False
        for length, builder in self._of(trade.venue, trade.instrument).items():
            begins |= builder.next_deadline_ns() is None
            closed += _closed(builder.on_trade(trade, now_ns), length)
        if closed or begins:
            self._note_next()
        return closed

    def on_missed(self, missed: TradesMissed, now_ns: int) -> list[ClosedBar]:
        """Trades are missing: the bars they belong to are incomplete."""
        if not self._wanted:
            return []
        closed = []
        for length, builder in self._of(missed.venue, missed.instrument).items():
            closed += _closed(builder.on_missed(missed, now_ns), length)
        self._note_next()
        return closed

    def on_gap(self, now_ns: int) -> list[ClosedBar]:
        """The trades of all instruments were not read for a while."""
        closed = []
        for builders in self._builders.values():
            for length, builder in builders.items():
                closed += _closed(builder.on_gap(now_ns), length)
        self._note_next()
        return closed

    def on_timer(self, now_ns: int) -> list[ClosedBar]:
        """Return the bars that are over."""
        if self.next_ns is None or now_ns < self.next_ns:
            return []
        closed = []
        for builders in self._builders.values():
            for length, builder in builders.items():
                closed += _closed(builder.on_timer(now_ns), length)
        self._note_next()
        return closed

    def counters(self) -> dict[str, int]:
        """Return what was counted; empty where nobody asks for bars."""
        if not self._wanted:
            return {}
        late = sum(each.late for builders in self._builders.values() for each in builders.values())
        return {"bar_trades_late": late, "bars_refused": self.refused}

    def _of(self, venue: str, instrument: str) -> dict[_Length, BarBuilder]:
        found = self._builders.get((venue, instrument))
        if found is not None:
            return found
        lengths = dict.fromkeys(
            _Length(each.interval_s, each.lateness_ms)
            for each in self._wanted
            if each.covers(venue, instrument)
        )
        if self._count + len(lengths) > BUILDERS_MAX:
            self.refused += 1
            return {}
        self._count += len(lengths)
        found = self._builders[venue, instrument] = {
            length: BarBuilder(
                length.interval_s * _S,
                length.lateness_ms * _MS,
                venue=venue,
                instrument=instrument,
            )
            for length in lengths
        }
        return found

    def _note_next(self) -> None:
        self.next_ns = min(
            (
                due_ns
                for builders in self._builders.values()
                for builder in builders.values()
                if (due_ns := builder.next_deadline_ns()) is not None
            ),
            default=None,
        )


def _closed(bars: Sequence[Bar], length: _Length) -> list[ClosedBar]:
    return [ClosedBar(bar, length.lateness_ms) for bar in bars]
