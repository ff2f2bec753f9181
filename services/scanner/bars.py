"""The bars that one strategy asks for, made of the trades that it sees. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.domain.instrument import MarketKey
from shared.messages.market import Trade, TradesMissed
from shared.strategies.features.bars import Bar, BarBuilder
from shared.strategies.port import Bars

BUILDERS_MAX = 1_024
"""Bars of so many instruments, lengths and latenesses; more are refused and counted."""
_MS, _S = 1_000_000, 1_000_000_000

"""A venue and an instrument."""
Length = tuple[int, int]
"""Of a bar in seconds, and how many ms its trades are waited for."""


class BarMaker:
    """Makes the bars of one strategy.

    Args:
        wanted: Its inputs of this kind.
    """

    def __init__(self, wanted: Sequence[Bars]) -> None:
        self._wanted = wanted
        self.builders: dict[MarketKey, dict[Length, BarBuilder]] = {}
        """What is made: its state is all that this object remembers."""
        self._count = self.refused = 0
        self.next_ns: int | None = None
        """When ``on_timer`` has a bar to close."""

    def take_back(self, builders: dict[MarketKey, dict[Length, BarBuilder]]) -> None:
        """Go on from what was saved."""
        self.builders = builders
        self._count = sum(map(len, builders.values()))
        self._note_next()

    def on_trade(self, trade: Trade, now_ns: int) -> list[Bar]:
        """Take a trade in; return the bars of its instrument that are over by now."""
        closed: list[Bar] = []
        begins = False
        for builder in self._of(trade.venue, trade.instrument).values():
            begins |= builder.next_deadline_ns() is None
            closed += builder.on_trade(trade, now_ns)
        if closed or begins:
            self._note_next()
        return closed

    def on_missed(self, missed: TradesMissed, now_ns: int) -> list[Bar]:
        """Trades are missing: the bars they belong to are incomplete."""
        closed: list[Bar] = []
        for builder in self._of(missed.venue, missed.instrument).values():
            closed += builder.on_missed(missed, now_ns)
        self._note_next()
        return closed

    def on_gap(self, now_ns: int) -> list[Bar]:
        """The trades of all instruments were not read for a while."""
        return self._of_all(lambda builder: builder.on_gap(now_ns))

    def on_timer(self, now_ns: int) -> list[Bar]:
        """Return the bars that are over."""
        if self.next_ns is None or now_ns < self.next_ns:
            return []
        return self._of_all(lambda builder: builder.on_timer(now_ns))

    @property
    def late(self) -> int:
        """Trades that came too late for their bar."""
        return sum(each.late for made in self.builders.values() for each in made.values())

    def _of_all(self, ask: Callable[[BarBuilder], list[Bar]]) -> list[Bar]:
        closed: list[Bar] = []
        for made in self.builders.values():
            for builder in made.values():
                closed += ask(builder)
        self._note_next()
        return closed

    def _of(self, venue: str, instrument: str) -> dict[Length, BarBuilder]:
        found = self.builders.get((venue, instrument))
        if found is not None:
            return found
        lengths = dict.fromkeys(
            (each.interval_s, each.lateness_ms)
            for each in self._wanted
            if each.covers(venue, instrument)
        )
        if not lengths:
            return {}
        if self._count + len(lengths) > BUILDERS_MAX:
            self.refused += 1
            return {}
        self._count += len(lengths)
        found = self.builders[venue, instrument] = {
            (interval_s, lateness_ms): BarBuilder(
                interval_s * _S, lateness_ms * _MS, venue=venue, instrument=instrument
            )
            for interval_s, lateness_ms in lengths
        }
        return found

    def _note_next(self) -> None:
        self.next_ns = min(
            (
                due_ns
                for made in self.builders.values()
                for builder in made.values()
                if (due_ns := builder.next_deadline_ns()) is not None
            ),
            default=None,
        )
