"""Trades, marks, funding and bars for the strategies that ask for them; and catching up. Pure.

The stream of trades is read from its oldest entry whenever inputs are opened. What was traded
before warms a strategy up: it comes in the order and at the times at which it was received, what
the strategy returns is counted but not published, and trades that its saved state already covers
are skipped. Books and timers wait, so its time never goes back. It ends with the first trade
received after the opening, or after a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from services.scanner.calls import Calls
from services.scanner.catch_up import CatchUp
from services.scanner.figures import missed_of
from services.scanner.hosted import Extra, Hosted, own_copy
from services.scanner.roster import Roster
from shared.domain.instrument import MarketKey
from shared.messages.base import Message
from shared.messages.market import DepthView, Trade, TradesMissed
from shared.strategies.features.bars import SILENCE_MAX, Bar

CATCH_UP_NS = 1_000_000_000
"""After which nothing of before is waited for, where no trade comes."""


class Extras:
    """Passes on what is not a book: trades, marks, funding, bars.

    Args:
        roster: The strategies.
        calls: Calls them.
    """

    def __init__(self, roster: Roster, calls: Calls) -> None:
        self._roster, self._calls = roster, calls

    def on_message(
        self, message: Extra, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """Pass a message, and bars that it closes, to the strategies that ask for them."""
        out: list[Message] = []
        for hosted in self._running():
            if hosted.catch_up is not None and isinstance(message, Trade | TradesMissed):
                if message.ts_recv_ns < hosted.catch_up.opened_ns:
                    self._catch_up(hosted, hosted.catch_up, message, now_ns)
                    continue
                out += self.end_catch_up(hosted, newest, now_ns)
            out += self._give(hosted, message, now_ns)
        return out

    def on_opened(self, now_ns: int) -> None:
        """Let the strategies that ask for trades catch up."""
        for hosted in self._running():
            if hosted.trades or hosted.bars:
                hosted.catch_up = CatchUp(now_ns, hosted.traded)

    def on_timer(
        self, hosted: Hosted, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """Close the bars that are over; end catching up where it is time."""
        if hosted.catch_up is not None and now_ns >= hosted.catch_up.opened_ns + CATCH_UP_NS:
            return self.end_catch_up(hosted, newest, now_ns)
        if hosted.catch_up is None and hosted.bars:
            return self._on_bars(hosted, hosted.bar_maker.on_timer(now_ns), now_ns)
        return []

    def end_catch_up(
        self, hosted: Hosted, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """End a strategy's catch-up: give it its bars, its gaps and its present books."""
        behind, hosted.catch_up = hosted.catch_up, None
        out: list[Message] = []
        if behind is not None and behind.has_hole(self._roster.shard_of):
            out += self._on_bars(hosted, hosted.bar_maker.on_gap(now_ns), now_ns)
            if hosted.trades:
                for missed in missed_of(behind.seen, now_ns):
                    out += self._ask(hosted, hosted.on_extra, missed, now_ns)
        out += self._on_bars(hosted, hosted.bar_maker.on_timer(now_ns), now_ns)
        for market, view in newest.items():
            if any(wanted.covers(*market) for wanted in hosted.inputs):
                given = view if hosted.is_built_in else own_copy(view)
                out += self._ask(hosted, hosted.on_depth, given, now_ns)
        return out

    def _catch_up(
        self, hosted: Hosted, behind: CatchUp, message: Trade | TradesMissed, now_ns: int
    ) -> None:
        market = message.venue, message.instrument
        shard, ts_ns = self._roster.shard_of(message.instrument), message.ts_recv_ns
        behind.firsts.setdefault(shard, ts_ns)
        if ts_ns <= behind.seen.get(market, -1):
            return
        behind.at_ns = min(max(behind.at_ns, ts_ns), now_ns)
        self._calls.keep_back(
            [*self._timers_until(hosted, behind.at_ns), *self._give(hosted, message, behind.at_ns)]
        )

    def _timers_until(self, hosted: Hosted, at_ns: int) -> list[Message]:
        """Close bars in the order of time, as they were while nobody waited for trades."""
        out: list[Message] = []
        for _ in range(SILENCE_MAX):
            due_ns = hosted.bar_maker.next_ns
            if due_ns is None or due_ns > at_ns:
                break
            out += self._on_bars(hosted, hosted.bar_maker.on_timer(due_ns), due_ns)
        if hosted.deadline_ns is not None and hosted.deadline_ns <= at_ns:
            out += self._ask(hosted, hosted.on_timer, None, at_ns)
        return out

    def _give(self, hosted: Hosted, message: Extra, now_ns: int) -> list[Message]:
        out: list[Message] = []
        makes_bars = hosted.bars and isinstance(message, Trade | TradesMissed)
        if makes_bars:
            out += self._on_bars(hosted, hosted.bars_of(message, now_ns), now_ns)  # type: ignore[arg-type]
        is_wanted = hosted.wants(message)
        if makes_bars or is_wanted:
            hosted.note(message)
        if is_wanted:
            hosted.begin_warmup(now_ns)
            out += self._ask(hosted, hosted.on_extra, message, now_ns)
        return out

    def _on_bars(self, hosted: Hosted, closed: Sequence[Bar], now_ns: int) -> list[Message]:
        out: list[Message] = []
        for bar in closed:
            hosted.begin_warmup(now_ns)
            out += self._ask(hosted, hosted.on_bar, bar, now_ns)
        return out

    def _ask(
        self, hosted: Hosted, call: Callable[[Any, int], Sequence[Any]], given: Any, now_ns: int
    ) -> Sequence[Message]:
        """Call it, unless a call just before was its last."""
        if hosted.id in self._roster.disabled:
            return ()
        return self._calls.ask(hosted, call, given, now_ns)

    def _running(self) -> Iterator[Hosted]:
        yield from self._roster.running[:]
