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

from collections.abc import Mapping, Sequence

import msgspec

from services.scanner.calls import Calls
from services.scanner.extras import Extras, catch_up_due_ns
from services.scanner.figures import (
    bar_counters,
    sum_counters,
    sum_gauges,
    unread_streams,
    with_held_back,
)
from services.scanner.history import History, HistoryFound, HistoryPart
from services.scanner.hosted import EXTRAS, own_copy
from services.scanner.roster import READERS_MAX, Roster, Share
from services.scanner.rounds import KnownRounds
from services.scanner.saving import restore, save
from services.scanner.taken_sides import TakenSides
from services.scanner.watched import Watch
from shared.engine import NOTHING, EngineSpec, InputsOpened, Result, Step
from shared.messages.arb import Opportunity, Signal
from shared.messages.base import BookState, Message
from shared.messages.inventory import InventoryTold
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rounds import RoundsTold, StrategyPosition
from shared.strategies.port import Instance
from shared.strategies.saved_state import StateError


class OverBudget(Result, frozen=True):
    """A strategy took too long, again and again, or would have ended the process around it."""

    strategy_id: str
    reason: str


class StrategyHost:
    """Hosts strategies. See the module's first lines.

    Args:
        instances: As configured; of those with a problem only the problem is reported.
        watch: Of the process around it.
        history: What warm-ups may ask of the store; without it the bus is all there is.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        watch: Watch | None = None,
        history: History | None = None,
    ) -> None:
        self._watch = watch
        self._rounds = KnownRounds({each.id: each.on_disable for each in instances})
        self._roster = Roster(instances, self._rounds, watch)
        self._calls = Calls(self._roster, watch)
        self._extras = Extras(self._roster, self._calls, history or History())
        self._sides = TakenSides()
        self._views = self._rounds_closing = self._now_ns = 0
        self._newest: dict[tuple[str, str], DepthView] = {}
        self._own_names = {"depth_views", "near_misses", "strategies", "strategies_disabled"}
        self._own_names |= {
            "rounds_closing",
            *self._calls.counters,
            *bar_counters(self._roster.all),
        }

    @property
    def disabled(self) -> Mapping[str, str]:
        """Strategy -> why it does not run."""
        return self._roster.disabled

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Report what cannot run. Nothing was saved: views and rules are repeated on the bus."""
        self._roster.report_problems(now_ns)
        return self._step([], now_ns)

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Hand a view or an instrument's rules to the strategies that asked for it."""
        out: list[Message] | None = None
        if type(message) is DepthView:
            self._views += 1
            if self._sides.uses:
                self._sides.see(message)
            out = self._on_view(message, now_ns)
            if out is None and not self._roster.alerts:  # nearly always
                return NOTHING
        elif isinstance(message, InstrumentInfo):
            rules = message.rules
            self._rounds.take_rules(rules)
            for hosted in self._roster.readers_of((rules.venue, rules.instrument), now_ns):
                out = [*(out or ()), *self._calls.ask(hosted, hosted.on_rules, rules, now_ns)]
        elif type(message) in EXTRAS:
            out = self._extras.on_message(message, self._newest, now_ns)  # type: ignore[arg-type]
        elif isinstance(message, StrategyPosition):
            out = self._on_position(message, now_ns)
        elif isinstance(message, RoundsTold):
            self._rounds.take_list(message)
            for hosted in self._roster.running:
                hosted.knows_rounds = True
        elif isinstance(message, InventoryTold):
            for hosted in self._roster.running[:]:
                out = [*(out or ()), *self._calls.ask(hosted, hosted.on_inventory, message, now_ns)]
        elif isinstance(message, OverBudget):
            self._roster.disable(message.strategy_id, message.reason, now_ns)
        elif isinstance(message, InputsOpened):
            out = self._on_inputs_opened(now_ns)
        elif isinstance(message, HistoryFound | HistoryPart):
            out = self._extras.on_history(message, self._newest, now_ns)
        if out or self._roster.alerts or self._extras.actions:
            return self._step(out or [], now_ns)
        return NOTHING

    def _on_view(self, view: DepthView, now_ns: int) -> list[Message] | None:
        self._now_ns = now_ns
        book = view.venue, view.instrument
        if book in self._newest or len(self._newest) < READERS_MAX:
            self._newest[book] = view
        readers = self._roster.everyone
        if readers is None:
            readers = self._roster.readers_of(book, now_ns)
        out: list[Message] | None = None
        for hosted in readers:
            if hosted.catch_up is not None:
                continue  # it gets the newest view when it has caught up
            given = view if hosted.is_built_in else own_copy(view)
            found = self._calls.ask(hosted, hosted.on_depth, given, now_ns)
            if found:
                out = [*(out or ()), *found]
        return out

    def _on_position(self, position: StrategyPosition, now_ns: int) -> list[Message]:
        self._roster.alerts += self._rounds.take(position, now_ns)
        out: list[Message] = []
        for hosted in self._roster.running[:]:
            if hosted.id == position.strategy_id:
                out += self._calls.ask(hosted, hosted.on_position, position, now_ns)
        return out

    def _on_inputs_opened(self, now_ns: int) -> list[Message]:
        """Let every book price nothing until its next view: those known may be of another time.

        Strategies are told of one book after the other. What they find meanwhile is priced from
        those whose turn is still to come, so it does not go out.
        """
        out: list[Message] = []
        for view in [*self._newest.values()]:
            told = (
                view  # of those not LIVE, too: who begins here from a saved state knows older ones
            )
            if view.state is BookState.LIVE:
                told = msgspec.structs.replace(view, state=BookState.STALE, ts_ns=now_ns)
            out += self._on_view(told, now_ns) or ()
        held = [each for each in out if isinstance(each, Opportunity | Signal)]
        self._calls.keep_back(held)
        for hosted in self._roster.running[:] if held else ():
            its = [each for each in held if each.strategy_id == hosted.id]
            self._calls.report_held_back(hosted, its, now_ns)
        self._extras.on_opened(now_ns)
        return [each for each in out if not isinstance(each, Opportunity | Signal)]

    @property
    def unread(self) -> frozenset[str]:
        """The streams that no strategy reads."""
        return unread_streams(self._roster.running)

    def on_timer(self, now_ns: int) -> Step:
        """Call the strategies whose time has come, and return the near misses that are due."""
        self._now_ns = now_ns
        out: list[Message] = []
        for hosted in self._roster.running[:]:
            out += self._extras.on_timer(hosted, self._newest, now_ns)
            if hosted.id in self.disabled or hosted.catch_up is not None:
                continue
            if hosted.deadline_ns is not None and now_ns >= hosted.deadline_ns:
                out += self._calls.ask(hosted, hosted.on_timer, None, now_ns)
            out += self._calls.ask_misses(hosted, now_ns)
        if self.disabled:
            here = self._roster.disabled_here()
            closing = self._rounds.closing(here, self._newest, now_ns)
            self._rounds_closing += len(closing)
            out += closing
        out += self._sides.due(now_ns)
        return self._step(out, now_ns)

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` has something to look at, or ``None``."""
        roster = self._roster
        due_ns = self._rounds.next_ns(roster.disabled_here()) if roster.disabled else None
        each_ns = self._sides.next_ns
        if each_ns is not None and (due_ns is None or each_ns < due_ns):
            due_ns = each_ns
        for hosted in roster.running:  # asked after every batch, so written out
            if hosted.catch_up is not None:
                each_ns = catch_up_due_ns(hosted.catch_up)
                if due_ns is None or each_ns < due_ns:
                    due_ns = each_ns
                continue
            each_ns = hosted.near_misses.next_ns
            if each_ns is not None and (due_ns is None or each_ns < due_ns):
                due_ns = each_ns
            if hosted.bars:
                each_ns = hosted.bar_maker.next_ns
                if each_ns is not None and (due_ns is None or each_ns < due_ns):
                    due_ns = each_ns
            if hosted.wants_timer:
                each_ns = hosted.deadline_ns
                if each_ns is not None and (due_ns is None or each_ns < due_ns):
                    due_ns = each_ns
        return due_ns

    def counters(self) -> Mapping[str, int]:
        """Return totals; ``near_misses_<GATE>`` counts comparisons, not messages."""
        totals = {
            "depth_views": self._views,
            "rounds_closing": self._rounds_closing,
            **self._calls.counters,
            **bar_counters(self._roster.all),
        }
        totals["opportunities"] -= self._sides.held_back
        told = sum_counters(self._roster.all, self._own_names, self._watch)
        return {**totals, **with_held_back(told, self._sides.held_back)}

    def gauges(self) -> Mapping[str, float]:
        """Return what the strategies follow, and how many of them run."""
        totals: dict[str, float] = {
            "strategies": len(self._roster.running),
            "strategies_disabled": len(self.disabled),
        }
        return {**totals, **sum_gauges(self._roster.running, self._own_names, self._watch)}

    def notes(self) -> Mapping[str, str]:
        """Return why strategies are disabled, or still warm up."""
        notes = {f"strategy {name}": f"disabled: {why}" for name, why in self.disabled.items()}
        for hosted in self._roster.running:
            if hosted.warming and (hosted.catch_up or hosted.is_warming_up(self._now_ns)):
                notes[f"strategy {hosted.id}"] = f"warming up: {hosted.warming}"
        return {**notes, **self._rounds.notes(self.disabled)}

    # What is kept of a strategy over a restart

    def take_share(self, share: Share, now_ns: int) -> list[str]:
        """Run what other scanners do not; return the strategies that begin here now."""
        return self._roster.take_share(share, now_ns)

    def runs(self, strategy_id: str) -> bool:
        """Tell whether a strategy runs here."""
        return any(hosted.id == strategy_id for hosted in self._roster.running)

    def reads_all_shards(self) -> bool:
        """Tell whether a strategy runs here that looks across base assets."""
        return self._roster.reads_all_shards()

    def save(self, strategy_id: str, now_ns: int) -> bytes:
        """Return the state of a strategy that runs.

        Raises:
            StateError: It cannot be kept, or it does not run.
        """
        for hosted in self._roster.running:
            if hosted.id == strategy_id:
                return save(hosted, self._newest, now_ns, self._watch)
        raise StateError("it does not run")

    def restore(self, strategy_id: str, saved: bytes, now_ns: int) -> None:
        """Give a strategy its state back, before it has seen anything.

        Raises:
            StateError: The state was not taken; the strategy begins without one.
        """
        for hosted in self._roster.running:
            if hosted.id == strategy_id:
                for market, view in restore(hosted, saved, now_ns, self._watch).items():
                    self._newest.setdefault(market, view)

    def _step(self, out: list[Message], now_ns: int) -> Step:
        if any(isinstance(each, Opportunity) for each in out):
            out, held = self._sides.sift(out, self._newest, now_ns)
            for hosted in self._roster.running[:] if held else ():
                its = [offer for offer in held if offer.strategy_id == hosted.id]
                self._calls.report_held_back(hosted, its, now_ns)
        if self._roster.alerts:
            out += self._roster.alerts
            self._roster.alerts = []
        asked, self._extras.actions = self._extras.actions, []
        return Step(messages=out, at_once=asked) if out or asked else NOTHING


ENGINE = EngineSpec(new=lambda config, given: StrategyHost(given.strategies), hosts_strategies=True)
