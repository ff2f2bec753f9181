"""The executor's decisions: plans in, orders out, every fill owned. Pure and recoverable.

Inputs are bus messages and what came of the actions at the venues; every step returns messages to
publish, and actions to carry out **after** those messages and the snapshot are safely on the bus.
Only the legs of a plan are sent at once: the plan itself stays pending until its step is committed,
and is their record. After a crash at any point an order is either not on record and was never sent,
or is on record and gets queried. Every start is a recovery: restore, ask the venues, adopt orders
that the record lacks, settle those in doubt, and only then accept plans. Trading starts HALTED
until risk reports another state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from services.executor import checkpoint
from services.executor.actions import Report
from services.executor.closing_plans import ClosingPlans
from services.executor.intake import Intake, why_none_rests, why_none_starts
from services.executor.journal import executor_ready
from services.executor.market import Markets
from services.executor.opening import on_data_lost, take_up
from services.executor.operator_commands import OperatorCommands
from services.executor.plan_entry import PlanEntry
from services.executor.plans import PlanRunner
from services.executor.reconcile import Reconciler
from services.executor.reports import take_report
from services.executor.standdown import StandDown
from services.executor.state import ExecutorState, PlanRecord
from services.executor.working_orders import WorkingOrders
from shared.config_sections import Config, same_books
from shared.engine import NOTHING, EngineSpec, Result, Step, Stopping
from shared.ledger import NOTHING_FORMER, LedgerOpening, Opened
from shared.ledger_engine import LedgerEngine
from shared.messages.base import Message, TradingState
from shared.messages.control import Command
from shared.messages.execution import (
    ApprovedPlan,
    ExecutorReady,
    TradingStateChanged,
)
from shared.messages.market import (
    DepthView,
    Funding,
    FundingSettled,
    InstrumentInfo,
    Trade,
    TradesMissed,
)
from shared.messages.rules import InstrumentRules

BEAT_NS: Final = 1_000_000_000
"""ExecutorReady is published this often."""


class ExecutorEngine:
    """Owns plans, orders and the ledger of fills. Time is given; IO is asked for."""

    def __init__(self, config: Config, opened: Opened | None = None) -> None:
        self._config, self.opened = config, opened
        self._venues = {
            name: tuple(venue.instruments)
            for name, venue in sorted(config.venues.items())
            if venue.trade
        }
        self.markets = Markets(tuple(self._venues))
        self._intake = Intake(self.markets, self._venues, config.risk)
        self._counts: Counter[str] = Counter(
            orders_submitted=0, orders_filled=0, orders_rejected=0, orders_unknown=0, fills=0
        )
        self._trading, self._draining = TradingState.HALTED, False
        self._informed = False  # every venue's executions are taken over: open plans may go on
        self.is_recovered = False  # and everything else is settled: new plans may start
        self._next_beat_ns = 0
        self._writer = checkpoint.CheckpointWriter()
        self._use(ExecutorState())

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin, from the last checkpoints if there are any, on the ledger as it was opened.

        Raises:
            CodecError: The checkpoint is not one that this program can read.
        """
        out = Step()
        self._use(take_up(saved, self.opened, now_ns, out))
        self._plans.take_up(now_ns)
        self._orders.query_all_unsettled(now_ns)
        self._stand_down.keep_only(self._venues)
        self.reconciler.begin(now_ns, out)
        self._due(now_ns, out)
        return self._close(out, now_ns)

    def take_ledger(self, opened: Opened) -> None:
        """Take the ledger as it was found; before ``start``."""
        self.opened = opened

    def note_loss(self, loss: str, now_ns: int) -> Step:
        """Note that Redis lost data: nothing new starts, and orders found now are not adopted."""
        out = Step()
        self._writer.save_all()
        on_data_lost(self._state, loss, self.is_recovered, now_ns, out)
        return self._close(out, now_ns)

    def checkpoints(self) -> dict[str, bytes]:
        """Return what must be saved now, by name; ``start`` from all saved continues here."""
        return self._writer.take(self._state)

    @property
    def is_saved(self) -> bool:
        """Whether any state was saved; a step that changes state always sends a message."""
        return self._state.ts_ns > 0

    @property
    def obstacle(self) -> str:
        """Why no plan is accepted; empty when they are. Halts are not obstacles."""
        if self._draining:
            return "draining"
        return self._state.locked or ("" if self.is_recovered else self.reconciler.obstacle)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take in a bus message or the result of an action."""
        if type(message) is DepthView:  # most messages; nothing follows from one
            self.markets.learn_view(message)
            return self._on_view(message, now_ns) if self._plans.resting.plans else NOTHING
        if type(message) is not ApprovedPlan and isinstance(message, Result):
            return self._on_result(message, now_ns)
        if isinstance(message, Trade | TradesMissed):
            return NOTHING  # for accounts on paper, which have seen it
        out = Step()
        # A plan that starts touches no finished one: its write-ahead stays small.
        self._writer.touched |= redelivered or type(message) is Command
        if isinstance(message, ApprovedPlan):
            why_none = why_none_starts(self._state, self._trading, self.obstacle)
            if self._entry.take(message, redelivered, why_none, now_ns, out):
                self._due(now_ns, out)
        elif isinstance(message, InstrumentInfo):
            self.markets.learn_rules(message.rules)
        elif isinstance(message, Funding | FundingSettled):
            self.reconciler.funding.on_market(message, now_ns, out)
        elif isinstance(message, TradingStateChanged):
            self._trading = message.state
            self._look_at_resting(self._plans.resting.plans, now_ns, out)
        elif isinstance(message, Command):
            self._operator.on_command(message, now_ns, out)
            self._look_at_resting(self._plans.resting.plans, now_ns, out)
            self._due(now_ns, out)
        return self._close(out, now_ns)

    def _on_view(self, view: DepthView, now_ns: int) -> Step:
        """Look at what rests and is hedged in this book."""
        out = Step()
        self._look_at_resting(self._plans.resting.hedged_in(view), now_ns, out)
        if not out.messages and not out.actions:
            return NOTHING
        self._writer.touched = True
        return self._close(out, now_ns)

    def _look_at_resting(self, plans: list[PlanRecord], now_ns: int, out: Step) -> None:
        for plan in plans:
            self._advance(plan.plan_id, now_ns, out)
        if plans:
            self._orders.ask_due(now_ns, out)

    def _why_none_rests(self) -> str:
        return why_none_rests(self._state, self._trading, self.obstacle)

    def _on_result(self, report: Result, now_ns: int) -> Step:
        if isinstance(report, Stopping):  # what is open goes on, but nothing rests
            self._draining = True
            out = self.reconciler.switches.end(now_ns)
            self._look_at_resting(self._plans.resting.plans, now_ns, out)
            return self._close(out, now_ns)
        assert isinstance(report, Report), "no other service's results come here"
        out = Step()
        self._writer.touched = True
        touched = take_report(report, self._orders, self.reconciler, now_ns, out)
        _judge_venues(self._stand_down, self._orders, now_ns, out)
        self._stand_down.overdue(self._orders.take_overdue(), now_ns, out)
        closed = self.reconciler.reductions.take_closed_twice()
        touched += self._own.open_for_news(self._orders.take_late(), closed, now_ns)
        for plan_id in dict.fromkeys(touched):
            self._advance(plan_id, now_ns, out)
        self._settle_recovery(now_ns, out)
        self._orders.ask_due(now_ns, out)
        return self._close(out, now_ns)

    def on_timer(self, now_ns: int) -> Step:
        """Do what is due."""
        out = Step()
        self._writer.touched = True
        self._settle_recovery(now_ns, out)
        for plan in self._state.open_plans():
            if plan.wait_until_ns and plan.wait_until_ns <= now_ns:
                plan.wait_until_ns = 0
                self._advance(plan.plan_id, now_ns, out)
        self._due(now_ns, out)
        return self._close(out, now_ns)

    def next_deadline_ns(self) -> int:
        """Return when ``on_timer`` must be called next; after it has been, that is later."""
        due_ns = self._next_beat_ns
        flatten_ns = self._operator.next_deadline_ns() if self.is_recovered else None  # none before
        fetch_ns = self.reconciler.next_deadline_ns()
        for at_ns in (self._orders.next_deadline_ns(), fetch_ns, flatten_ns):
            due_ns = min(due_ns, at_ns or due_ns)
        waits = [plan.wait_until_ns for plan in self._state.open_plans() if plan.wait_until_ns]
        return min(due_ns, *waits) if waits else due_ns

    def open_work(self) -> list[str]:
        """Return what a clean stop waits for, in words."""
        return self._state.unfinished() + self.reconciler.switches.ending()

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return self._counts

    def gauges(self) -> Mapping[str, float]:
        """Return present values."""
        return self._state.gauges()

    @property
    def last_plan(self) -> ApprovedPlan | None:
        """The last plan that was started here."""
        return self._entry.last_plan

    @property
    def rules(self) -> Mapping[tuple[str, str], InstrumentRules]:
        """The venues' rules learned so far, by venue and instrument."""
        return self.markets.rules

    @property
    def state(self) -> ExecutorState:
        """The checkpointed state, to be read only."""
        return self._state

    def _use(self, state: ExecutorState) -> None:
        """Build the accounts around a state."""
        settings = self._config.executor
        self._state = state
        self._orders = WorkingOrders(state, self.markets, self._counts, settings.query_attempts_max)
        late_ns = int(settings.hedge_deadline_ms * 1_000_000)
        accounts = (state, self.markets, self._orders, self._counts)
        same, why = same_books(self._config.venues), self._why_none_rests
        self._plans = PlanRunner(*accounts, late_ns, why_none_rests=why, same_books=same)
        self._own = ClosingPlans(state, self.markets, self._config.risk.quote_assets)
        self._stand_down = StandDown(state, self._counts, settings)
        parts = (state, self._orders, self._plans, self._stand_down)
        self.reconciler = Reconciler(
            *parts, venues=self._venues, counts=self._counts, settings=settings
        )
        self._entry = PlanEntry(state, self._intake, self._plans, self._stand_down, self._counts)
        self._operator = OperatorCommands(state, self._own, self.reconciler, self._stand_down)

    def _advance(self, plan_id: str, now_ns: int, out: Step) -> None:
        """Let a plan take its next step; not before the venues have shown what the account did."""
        plan = self._state.plans[plan_id]
        if self._informed and not self.reconciler.rereading.holds_up(plan, now_ns):
            self._plans.advance(plan, now_ns, out)

    def _settle_recovery(self, now_ns: int, out: Step) -> None:
        """Open plans go on once all executions are taken over; new ones once all is settled."""
        self.reconciler.settle(now_ns, out)
        if not self._informed and self.reconciler.has_fills_of_all:
            self._informed = True
            for plan in self._state.open_plans():
                self._advance(plan.plan_id, now_ns, out)
        if not self.is_recovered and not self.reconciler.obstacle:
            self.is_recovered = True
            self._next_beat_ns = now_ns
        if self.is_recovered and self._state.is_surveying:
            self.reconciler.settle_survey(now_ns, out)

    def _due(self, now_ns: int, out: Step) -> None:
        self._orders.ask_due(now_ns, out)
        self.reconciler.ask_due(now_ns, out)
        plan = self._operator.flatten_due(now_ns, out) if self.is_recovered else None
        if plan is not None:
            self._advance(plan.plan_id, now_ns, out)
        if self._next_beat_ns <= now_ns:
            self._next_beat_ns = now_ns + BEAT_NS
            if self.is_recovered:  # any may be asked for before
                early = self._state.forget_old_plans(now_ns, by_age=self.reconciler.has_read_all)
                self._counts["plans_dropped_early"] += early
            out.messages.append(self._ready(now_ns))

    def _ready(self, now_ns: int) -> ExecutorReady:
        switches = self.reconciler.switches.states
        return executor_ready(self._state, self.obstacle, self._config.executor, switches, now_ns)

    def _close(self, out: Step, now_ns: int) -> Step:
        """Finish a step: follow up the plans that ended in it."""
        for plan in self._plans.take_ended():
            self._stand_down.plan_ended(plan, now_ns, out)
            self.reconciler.after_plan(plan, now_ns)
            self.reconciler.ask_due(now_ns, out)
        if self._stand_down.take_change():  # risk must not wait for the next beat
            out.messages.append(self._ready(now_ns))
        if out.messages or out.actions:
            self._state.ts_ns = now_ns
        return out


def _judge_venues(stand_down: StandDown, orders: WorkingOrders, now_ns: int, out: Step) -> None:
    """Let what venues answered since the last time count for or against them."""
    for order in orders.take_answered():
        stand_down.judge(order, now_ns, out)
    for order in orders.requests_ended:
        stand_down.judge_lately(order, now_ns, out)
    orders.requests_ended.clear()


def on_ledger(
    engine: ExecutorEngine,
    owner: Mapping[str, str],
    instance: str,
    former: Mapping[str, str] = NOTHING_FORMER,
) -> LedgerEngine:
    """Let an engine keep the ledger; ``former`` as in ``LedgerOpening``."""
    opening = LedgerOpening("executor", owner, instance, former)
    return LedgerEngine(
        engine, opening, ledger_id_of=checkpoint.ledger_id_of, only_keeps=lambda view: True
    )


ENGINE = EngineSpec(
    new=lambda config, given: on_ledger(ExecutorEngine(config), given.owner, given.source),
    checkpoints=checkpoint.NAMES,
    keeps_ledger=True,
)
