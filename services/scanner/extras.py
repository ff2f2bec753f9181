"""Trades, marks, funding and bars for the strategies that ask for them; and catching up. Pure.

The stream of trades is read from its oldest entry whenever inputs are opened. What was traded
before warms a strategy up: it comes in the order and at the times at which it was received, what
the strategy returns is counted but not published, and trades that its saved state already covers
are skipped. Books and timers wait, so its time never goes back. It ends with the first trade
received after the opening, or after a second; where a warm-up needs more than the bus keeps, once
the store's trades have come before those of the bus (``history.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from services.scanner.calls import Calls
from services.scanner.catch_up import CatchUp
from services.scanner.figures import missed_of
from services.scanner.history import (
    READ_NS_MAX,
    History,
    HistoryFound,
    HistoryPart,
    ReadOn,
    note_readiness,
)
from services.scanner.hosted import Extra, Hosted, own_copy
from services.scanner.roster import Roster
from shared.domain.instrument import MarketKey
from shared.engine import Action
from shared.messages.base import Message
from shared.messages.market import DepthView, Trade, TradesMissed
from shared.strategies.features.bars import SILENCE_MAX, Bar
from shared.strategies.port import Bars, Trades

CATCH_UP_NS = 1_000_000_000
"""After which nothing of before is waited for, where no trade comes."""


class Extras:
    """Passes on what is not a book: trades, marks, funding, bars.

    Args:
        roster: The strategies.
        calls: Calls them.
        history: Decides what is asked of the store.
    """

    def __init__(self, roster: Roster, calls: Calls, history: History) -> None:
        self._roster, self._calls, self._history = roster, calls, history
        self.actions: list[Action] = []
        """To be carried out with the next step."""

    def on_message(
        self, message: Extra, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """Pass a message, and bars that it closes, to the strategies that ask for them."""
        out: list[Message] = []
        for hosted in self._running():
            behind = hosted.catch_up
            if behind is not None and isinstance(message, Trade | TradesMissed):
                if behind.note_first(message):
                    self._look_back(hosted, behind, now_ns)
                if message.ts_recv_ns < behind.opened_ns or behind.is_reading:
                    self._take_earlier(hosted, behind, message, now_ns)
                    continue
                out += self._bus_is_read(hosted, behind, newest, now_ns)
                if hosted.catch_up is not None:  # the store comes first
                    self._hold(hosted, behind, message)
                    continue
            out += self._give(hosted, message, now_ns)
        return out

    def on_opened(self, now_ns: int) -> None:
        """Let the strategies that ask for trades catch up."""
        for hosted in self._running():
            if hosted.trades or hosted.bars:
                hosted.catch_up = self._history.begin(hosted, self._roster.shard_of, now_ns)

    def on_history(
        self,
        message: HistoryFound | HistoryPart,
        newest: Mapping[MarketKey, DepthView],
        now_ns: int,
    ) -> list[Message]:
        """Take what the store has for a strategy that waits for it."""
        for hosted in self._running():
            behind = hosted.catch_up
            if hosted.id != message.strategy_id or behind is None or not behind.is_reading:
                continue
            if behind.opened_ns != message.opened_ns:
                continue  # an answer to what was asked before its inputs were opened anew
            behind.heard_ns = now_ns
            if isinstance(message, HistoryPart):
                behind.parts -= 1
                for each in message.trades:
                    behind.told_ns = max(behind.told_ns, each.ts_recv_ns)
                    self._catch_up(hosted, behind, each, now_ns, is_stored=True)
            else:
                self._on_found(hosted, behind, message)
            if not behind.parts:
                return self.end_catch_up(hosted, newest, now_ns)
            self.actions.append(ReadOn(hosted.id, behind.opened_ns))
        return []

    def on_timer(
        self, hosted: Hosted, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """Close the bars that are over; end catching up where it is time."""
        behind = hosted.catch_up
        if behind is not None and now_ns >= catch_up_due_ns(behind):
            if not behind.is_reading:
                return self._bus_is_read(hosted, behind, newest, now_ns)
            did = "go on" if behind.is_read else "answer"
            behind.lose_rest(f"and the store did not {did} within {READ_NS_MAX // 10**9} s")
            return self.end_catch_up(hosted, newest, now_ns)
        if behind is None and hosted.bars:
            return self._on_bars(hosted, hosted.bar_maker.on_timer(now_ns), now_ns)
        return []

    def end_catch_up(
        self, hosted: Hosted, newest: Mapping[MarketKey, DepthView], now_ns: int
    ) -> list[Message]:
        """End a strategy's catch-up: give it its bars, its gaps and its present books."""
        behind, out = hosted.catch_up, list[Message]()
        if behind is not None:
            self._give_held(hosted, behind, now_ns)
            if behind.finds_holes():
                out += self._tell_hole(hosted, behind, now_ns)
            note_readiness(hosted, behind, now_ns)
        hosted.catch_up = None
        out += self._on_bars(hosted, hosted.bar_maker.on_timer(now_ns), now_ns)
        for market, view in newest.items():
            if any(wanted.covers(*market) for wanted in hosted.inputs):
                given = view if hosted.is_built_in else own_copy(view)
                out += self._ask(hosted, hosted.on_depth, given, now_ns)
        return out

    def _bus_is_read(
        self,
        hosted: Hosted,
        behind: CatchUp,
        newest: Mapping[MarketKey, DepthView],
        now_ns: int,
    ) -> list[Message]:
        """What the bus keeps has come: ask the store for what is missing, or end the catch-up."""
        asked = self._history.ask(hosted, behind)
        if asked is not None:
            self.actions.append(asked)
            return []
        return self.end_catch_up(hosted, newest, now_ns)

    def _on_found(self, hosted: Hosted, behind: CatchUp, found: HistoryFound) -> None:
        if found.problem:
            behind.lose_rest(f"and the store cannot be read: {found.problem}")
            return
        behind.found(found.since, found.until)
        behind.parts = found.parts
        if behind.seen and behind.starts_behind_the_state():
            self._calls.keep_back(self._tell_hole(hosted, behind, behind.from_ns))

    def _tell_hole(self, hosted: Hosted, behind: CatchUp, now_ns: int) -> list[Message]:
        """Trades may be missing after those that a strategy knows."""
        out = self._on_bars(hosted, hosted.bar_maker.on_gap(now_ns), now_ns)
        if hosted.trades:
            for missed in missed_of(dict.fromkeys([*behind.seen, *behind.until]), now_ns):
                out += self._ask(hosted, hosted.on_extra, missed, now_ns)
        return out

    def _take_earlier(
        self, hosted: Hosted, behind: CatchUp, message: Trade | TradesMissed, now_ns: int
    ) -> None:
        if behind.held is not None:
            self._hold(hosted, behind, message)
        else:
            self._catch_up(hosted, behind, message, now_ns, is_stored=False)

    def _look_back(self, hosted: Hosted, behind: CatchUp, now_ns: int) -> None:
        """Hold nothing any more once it shows that the bus keeps enough."""
        if behind.held is not None and not behind.is_reading and behind.bus_suffices():
            self._give_held(hosted, behind, now_ns)

    def _hold(self, hosted: Hosted, behind: CatchUp, message: Trade | TradesMissed) -> None:
        inputs: list[Trades | Bars] = [*hosted.trades, *hosted.bars]
        if any(each.covers(message.venue, message.instrument) for each in inputs):
            behind.hold(message)

    def _give_held(self, hosted: Hosted, behind: CatchUp, now_ns: int) -> None:
        held, behind.held = behind.held, None
        for each in held or ():
            self._catch_up(hosted, behind, each, now_ns, is_stored=False)

    def _catch_up(
        self,
        hosted: Hosted,
        behind: CatchUp,
        message: Trade | TradesMissed,
        now_ns: int,
        *,
        is_stored: bool,
    ) -> None:
        at_ns = min(max(behind.at_ns, message.ts_recv_ns), now_ns)
        if not is_stored and behind.finds_hole(message.instrument):
            behind.at_ns = at_ns
            self._calls.keep_back(self._tell_hole(hosted, behind, at_ns))
        if behind.covers(message, is_stored=is_stored):
            return
        market = message.venue, message.instrument
        if isinstance(message, TradesMissed) and market in behind.markets:
            behind.note_missing(message.ts_recv_ns, missing_text(message))
        behind.at_ns = at_ns
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


def catch_up_due_ns(behind: CatchUp) -> int:
    """Return when a catch-up stops to wait for earlier trades."""
    if behind.is_reading:
        return behind.heard_ns + READ_NS_MAX
    return behind.opened_ns + CATCH_UP_NS


def missing_text(missed: TradesMissed) -> str:
    """Return which trades are missing, for operators."""
    return f"trades of {missed.instrument} at {missed.venue} are missing ({missed.reason})"
