"""The host of strategies: depth views and rules in, what the strategies find out. Pure.

It calls each strategy with what it asked for, stamps its name and hash on what comes back,
publishes the near misses that it counts, and keeps one from harming the others: a strategy that
raises, floods, returns wrong values or takes too long is disabled, with an alert that gives the
reason.

Time is not measured here, or a replay would depend on the machine that it runs on. The process
around it measures (``watchdog.py``) and reports a strategy that is too slow as ``OverBudget``, an
input like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from services.scanner.figures import (
    disabled_alert,
    missed_of,
    sum_counters,
    sum_gauges,
    unread_streams,
)
from services.scanner.hosted import EXTRAS, Extra, Hosted, opens_round, own_copy
from services.scanner.rounds import RoundKeeper
from services.scanner.watched import Failed, Watch, asked
from shared.engine import NOTHING, EngineSpec, InputsOpened, Result, Step
from shared.messages.base import BookState, Message
from shared.messages.market import DepthView, InstrumentInfo, Trade
from shared.messages.rounds import RoundsTold, StrategyPosition
from shared.strategies.failure import describe
from shared.strategies.port import Depth, Instance

READERS_MAX = 4_096
"""Books whose readers and newest view are remembered."""

_S = 1_000_000_000
_COUNTERS = ("opportunities", "outputs_in_warmup", "opens_too_early", "rounds_closing")


class OverBudget(Result, frozen=True):
    """A strategy took too long, again and again, or would have ended the process around it."""

    strategy_id: str
    reason: str


class StrategyHost:
    """Hosts strategies. See the module's first lines.

    Args:
        instances: As configured; of those with a problem only the problem is reported.
        watch: Of the process around it.
    """

    def __init__(self, instances: Sequence[Instance], watch: Watch | None = None) -> None:
        self._watch = watch
        self._all = [Hosted(each, each.strategy) for each in instances if each.strategy]
        self._running = list(self._all)
        self._problems = {each.id: each.problem for each in instances if each.problem}
        for hosted in self._all:
            if problem := hosted.declare(watch):
                self._problems[hosted.id] = problem
                self._running.remove(hosted)
        self._readers: dict[tuple[str, str], tuple[Hosted, ...]] = {}
        self._everyone: tuple[Hosted, ...] | None = None  # where all want all
        self._views = 0
        self._newest: dict[tuple[str, str], DepthView] = {}
        self._counters = dict.fromkeys(_COUNTERS, 0)
        self._own_names = {"depth_views", "near_misses", "strategies", "strategies_disabled"}
        self._own_names |= set(self._counters)
        self._traded: dict[tuple[str, str], bool] = {}
        self._alerts: list[Message] = []
        self._rounds = RoundKeeper({each.id: each.on_disable for each in instances})
        self.disabled: dict[str, str] = {}
        """Strategy -> why it does not run."""

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Report what cannot run. Nothing was saved: views and rules are repeated on the bus."""
        for strategy_id, problem in self._problems.items():
            self._note_disabled(strategy_id, problem, now_ns)
        return self._step([])

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Hand a view or an instrument's rules to the strategies that asked for it."""
        out: list[Message] | None = None
        if isinstance(message, DepthView):
            self._views += 1
            out = self._on_view(message, now_ns)
        elif isinstance(message, InstrumentInfo):
            rules = message.rules
            self._rounds.take_rules(rules)
            for hosted in self._readers_of((rules.venue, rules.instrument), now_ns):
                out = [*(out or ()), *self._ask(hosted, hosted.on_rules, rules, now_ns)]
        elif type(message) in EXTRAS:
            out = self._on_extra(message, now_ns)  # type: ignore[arg-type]
        elif isinstance(message, StrategyPosition):
            out = self._on_position(message, now_ns)
        elif isinstance(message, RoundsTold):
            self._rounds.take_list(message)
        elif isinstance(message, OverBudget):
            self._disable(message.strategy_id, message.reason, now_ns)
        elif isinstance(message, InputsOpened):
            out = self._on_inputs_opened(now_ns)
        return self._step(out or []) if out or self._alerts else NOTHING

    def _on_view(self, view: DepthView, now_ns: int) -> list[Message] | None:
        book = view.venue, view.instrument
        if book in self._newest or len(self._newest) < READERS_MAX:
            self._newest[book] = view
        readers = self._everyone
        if readers is None:
            readers = self._readers_of(book, now_ns)
        out: list[Message] | None = None
        for hosted in readers:
            given = view if hosted.is_built_in else own_copy(view)
            found = self._ask(hosted, hosted.on_depth, given, now_ns)
            if found:
                out = [*(out or ()), *found]
        return out

    def _on_extra(self, message: Extra, now_ns: int) -> list[Message]:
        out: list[Message] = []
        for hosted in self._running[:]:
            if hosted.wants(message):
                if hosted.ts_ready_ns is None:
                    hosted.ts_ready_ns = now_ns + hosted.warmup_ns
                out += self._ask(hosted, hosted.on_extra, message, now_ns)
        if isinstance(message, Trade) and len(self._traded) < READERS_MAX:
            self._traded[message.venue, message.instrument] = True
        return out

    def _on_position(self, position: StrategyPosition, now_ns: int) -> list[Message]:
        self._alerts += self._rounds.take(position, now_ns)
        out: list[Message] = []
        for hosted in self._running[:]:
            if hosted.id == position.strategy_id:
                out += self._ask(hosted, hosted.on_position, position, now_ns)
        return out

    def _on_inputs_opened(self, now_ns: int) -> list[Message]:
        """Let every book price nothing until its next view: those known may be of another time."""
        newest, self._newest = self._newest, {}
        out: list[Message] = []
        for view in newest.values():
            if view.state is BookState.LIVE:
                old = msgspec.structs.replace(view, state=BookState.STALE, ts_ns=now_ns)
                out += self._on_view(old, now_ns) or ()
        for missed in missed_of(self._traded, now_ns):
            out += self._on_extra(missed, now_ns)
        return out

    @property
    def unread(self) -> frozenset[str]:
        """Streams of which no strategy wants anything."""
        return unread_streams(self._running)

    def on_timer(self, now_ns: int) -> Step:
        """Call the strategies whose time has come, and return the near misses that are due."""
        out: list[Message] = []
        for hosted in self._running[:]:
            if hosted.deadline_ns is not None and now_ns >= hosted.deadline_ns:
                out += self._ask(hosted, hosted.on_timer, None, now_ns)
            out += self._ask_misses(hosted, now_ns)
        if self.disabled:
            closing = self._rounds.closing(self.disabled, self._newest, now_ns)
            self._counters["rounds_closing"] += len(closing)
            out += closing
        return self._step(out)

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` has something to look at, or ``None``."""
        due_ns = self._rounds.next_ns(self.disabled) if self.disabled else None
        for hosted in self._running:  # asked after every batch, so written out
            each_ns = hosted.near_misses.next_ns
            if each_ns is not None and (due_ns is None or each_ns < due_ns):
                due_ns = each_ns
            if hosted.wants_timer:
                each_ns = hosted.deadline_ns
                if each_ns is not None and (due_ns is None or each_ns < due_ns):
                    due_ns = each_ns
        return due_ns

    def counters(self) -> Mapping[str, int]:
        """Return totals; ``near_misses_<GATE>`` counts comparisons, not messages."""
        totals = {"depth_views": self._views, **self._counters}
        return {**totals, **sum_counters(self._all, self._own_names, self._watch)}

    def gauges(self) -> Mapping[str, float]:
        """Return what the strategies follow, and how many of them run."""
        totals: dict[str, float] = {
            "strategies": len(self._running),
            "strategies_disabled": len(self.disabled),
        }
        return {**totals, **sum_gauges(self._running, self._own_names, self._watch)}

    def notes(self) -> Mapping[str, str]:
        """Return why strategies are disabled."""
        notes = {f"strategy {name}": f"disabled: {why}" for name, why in self.disabled.items()}
        return {**notes, **self._rounds.notes(self.disabled)}

    # Calls of strategies

    def _ask(
        self, hosted: Hosted, call: Callable[[Any, int], Sequence[Any]], given: Any, now_ns: int
    ) -> Sequence[Message]:
        """Call a strategy; return what may be published of what it returns."""
        watch = self._watch
        if watch is not None:
            watch.begin(hosted.id)
        try:
            found = call(given, now_ns)
            if hosted.wants_timer:
                hosted.note_deadline(now_ns)
            return self._accept(hosted, found, now_ns) if found else ()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # tidy-ok: another's code, told in an alert
            self._disable(hosted.id, describe(error), now_ns)
            return ()
        finally:
            if watch is not None:
                watch.end()

    def _ask_misses(self, hosted: Hosted, now_ns: int) -> Sequence[Message]:
        try:
            with asked(hosted.id, self._watch):
                return hosted.near_misses.due(hosted.detector, hosted.id, now_ns)
        except Failed as error:  # it shows a strategy's own values
            self._disable(hosted.id, f"near misses: {error}", now_ns)
            return ()

    def _accept(self, hosted: Hosted, found: Sequence[Any], now_ns: int) -> Sequence[Message]:
        """Return what of a call's outputs may be published.

        Raises:
            TypeError: One is no opportunity.
            ValueError: One has an impossible value, or there are too many.
        """
        out = hosted.stamped(found, now_ns)
        if hosted.warmup_ns and (hosted.ts_ready_ns is None or now_ns < hosted.ts_ready_ns):
            self._counters["outputs_in_warmup"] += len(out)
            return ()
        if not self._rounds.are_known and any(opens_round(each) for each in out):
            before = len(out)
            out = [each for each in out if not opens_round(each)]
            self._counters["opens_too_early"] += before - len(out)
        self._counters["opportunities"] += len(out)
        return out

    # Who reads what, and who does not any more

    def _readers_of(self, book: tuple[str, str], now_ns: int) -> tuple[Hosted, ...]:
        readers = self._readers.get(book)
        if readers is None:
            readers = tuple(
                hosted
                for hosted in self._running
                if any(wanted.covers(*book) for wanted in hosted.inputs)
            )
            for hosted in readers:
                if hosted.ts_ready_ns is None:
                    hosted.ts_ready_ns = now_ns + hosted.warmup_ns
            if len(self._readers) < READERS_MAX:
                self._readers[book] = readers
            if all(Depth() in hosted.inputs for hosted in self._running):
                self._everyone = readers
        return readers

    def _disable(self, strategy_id: str, reason: str, now_ns: int) -> None:
        if all(hosted.id != strategy_id for hosted in self._running):
            return
        self._running = [hosted for hosted in self._running if hosted.id != strategy_id]
        self._readers.clear()
        self._everyone = None
        self._note_disabled(strategy_id, reason, now_ns)

    def _note_disabled(self, strategy_id: str, reason: str, now_ns: int) -> None:
        self.disabled[strategy_id] = reason
        self._alerts.append(
            disabled_alert(strategy_id, f"{reason}{self._rounds.fate(strategy_id)}", now_ns)
        )

    def _step(self, out: list[Message]) -> Step:
        if self._alerts:
            out += self._alerts
            self._alerts = []
        return Step(messages=out) if out else NOTHING


ENGINE = EngineSpec(new=lambda config, given: StrategyHost(given.strategies), hosts_strategies=True)
