"""Risk's decisions: opportunities in, approved plans or denials out; owner of the trading state.

Pure and recoverable: everything that must survive a kill is in one structure that ``checkpoint.py``
saves in two parts, in the same transaction as the plan that was approved. Market data is not in it:
views and rules are repeated on the bus. A repeated event changes nothing the second time.

A plan beyond a limit on its size is made smaller where that helps (``shrink.py``), or denied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from services.risk.account_told import ToldOfAccount, put_on_record, take_in, traded_of
from services.risk.balance_moves import BalanceMoves
from services.risk.border import (
    in_order,
    unowned_end_alert,
    unowned_fill_text,
    unowned_order_alert,
    unreserved_end_alerts,
)
from services.risk.checkpoint import (
    NAMES,
    CheckpointWriter,
    PartMissing,
    RiskState,
    ledger_id_of,
)
from services.risk.decider import Decider
from services.risk.exposure import DAY_NS, Ledger
from services.risk.halt_causes import HaltCause
from services.risk.inventory_limits import inventory_limits
from services.risk.limits_in_force import LimitsInForce, When
from services.risk.losses import LossWatch
from services.risk.market import LatestBooks
from services.risk.reduce import Reducer
from services.risk.report import risk_gauges, risk_report
from services.risk.round_reports import RoundReports, end_round
from services.risk.stops import RoundStops
from services.risk.trading import TradingControl, TradingStatus
from services.risk.unowned import alerts_of_reduction, held_by_none
from shared.config_sections import Config
from shared.domain.instrument import MarketKey
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.ledger import LedgerOpening, Opened
from shared.ledger_engine import LedgerEngine
from shared.messages.arb import Opportunity, Signal
from shared.messages.balances import BalanceMoved
from shared.messages.base import Message
from shared.messages.control import Command, LimitsChange
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    ExecutorReady,
    Fill,
    OrderEvent,
    PlanDone,
)
from shared.messages.market import DepthView, InstrumentInfo

REPORT_INTERVAL_NS = 1_000_000_000
_COUNTERS = (
    "fills",
    "plans_ended",
    "duplicates",
    "commands",
    "fills_unowned",
    "orders_unowned",
    "ends_unowned",
)
_QUIET = frozenset((DepthView, InstrumentInfo, Opportunity, OrderEvent, Signal))
"""Messages that do not bear on the trading state, or whose handler publishes it itself."""
_OfAccount = ToldOfAccount | BalanceMoved
_ORDERING = frozenset((Fill, BalanceReport, PlanDone, ExecutorReady))
"""Messages whose times are compared with one another."""


class RiskEngine:
    """Judges opportunities. See the module's first lines.

    Args:
        config: The whole configuration: limits, and which venues are traded.
        opened: The ledger on the bus, as this process found it.
        read_ns: When the configuration was read: later changes of limits count for more.
    """

    def __init__(self, config: Config, opened: Opened | None = None, *, read_ns: When = 0) -> None:
        self.limits = LimitsInForce(config, read_ns)
        self._venues, self._quotes, self._assets = traded_of(config)
        self._state, self._writer, self._market = RiskState(), CheckpointWriter(), LatestBooks()
        self._loss_watch = LossWatch(config.risk, self._market, self._writer)
        self._moves = BalanceMoves(self._market, config.risk)
        self._stops = RoundStops(self._market, config.risk.book_age_ms_max)
        self._reducer = Reducer(config, self._market, self._writer)
        self._reports = RoundReports(self._stops, self._venues, inventory_limits(config))
        self._has_started, self._ts_report_ns = False, 0
        self._counters = dict.fromkeys(_COUNTERS, 0)
        self.take_ledger(opened)
        self.decider = Decider(config, self._venues, self._market)
        self.limits.users = self._loss_watch, self._moves, self._stops, self._reducer, self.decider
        self._handlers: dict[type[Message | Result], Callable[[Any, int], list[Message]]] = {
            DepthView: self._on_depth_view,
            InstrumentInfo: self._on_instrument,
            **dict.fromkeys((Opportunity, Signal), self._on_opportunity),
            OrderEvent: self._on_order_event,
            Fill: self._on_fill,
            **dict.fromkeys(get_args(_OfAccount), self._on_account),
            PlanDone: self._on_plan_done,
            ExecutorReady: self._on_executor_ready,
            **dict.fromkeys((Command, LimitsChange), self._on_command),
        }

    def take_ledger(self, opened: Opened | None) -> None:
        """Take the ledger as this process found it; before ``start``."""
        self._opened, self._losses = opened, [opened.loss] if opened and opened.loss else []
        self._control = _control_of(self.limits.config, self._state, opened, 0)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take one message, return what follows; what was taken in before changes nothing again."""
        if (handler := self._handlers.get(type(message))) is None:
            return NOTHING
        if type(message) in _ORDERING:
            message = in_order(message, now_ns)
        lost = self._start(now_ns) if self._losses or not self._has_started else []
        out = [*lost, *handler(message, now_ns)] if lost else handler(message, now_ns)
        tells_state = bool(lost) or type(message) not in _QUIET
        return self._with_changes(out, now_ns, tells_state=tells_state)

    def on_timer(self, now_ns: int) -> Step:
        """Repeat state and report every second; notice plans that never ended; close at stops."""
        again_ns = self._stops.next_attempt_ns(self._state.ledger)
        if again_ns is not None and again_ns <= now_ns < self._ts_report_ns:
            return self._with_changes(self._close_at_stops(now_ns, None), now_ns, tells_state=True)
        lost = self._start(now_ns)
        self._ts_report_ns = now_ns + REPORT_INTERVAL_NS
        self._roll_day(now_ns)
        ledger = self._state.ledger
        self._loss_watch.look(ledger, now_ns)
        out = lost + self._control.find_overdue(now_ns) + self._control.find_losses(now_ns)
        out += self._moves.judge_unpriced(ledger, self._control, now_ns)
        if out or ledger.unpriced:
            self._writer.touch_ledger()
        out += self._close_at_stops(now_ns, None)
        out += self._reducer.work_off(ledger, self._control, now_ns, self._on_opportunity)
        changed = self._state_if_changed(self._control.now(now_ns), now_ns)
        out += changed or [self._control.state_message(now_ns)]
        limits = self.limits.report(self._state.trading)
        told = risk_report(ledger, self._control, self._market.closing_price(), now_ns, limits)
        return Step(messages=[*out, told, *self._reports.all(ledger, now_ns)])

    def next_deadline_ns(self) -> int | None:
        """Return when the next report is due, or a stop that is reached is tried again."""
        again_ns = self._stops.next_attempt_ns(self._state.ledger)
        return self._ts_report_ns if again_ns is None else min(again_ns, self._ts_report_ns)

    def counters(self) -> Mapping[str, int]:
        """Return totals; ``plans_denied_<REASON>`` splits ``plans_denied``."""
        counted = {**self._market.counters, **self.decider.counters(), **self._stops.counters}
        return {**self._counters, **counted, **self._reducer.counters}

    def gauges(self) -> Mapping[str, float]:
        """Return plans in flight, and the notional that they reserve by quote asset."""
        gauged = risk_gauges(self._state.ledger, self._quotes, self._control.published)
        return {**gauged, "stops_watched": len(self._stops.rounds)}

    def checkpoints(self) -> dict[str, bytes]:
        """Return what must be saved with the messages since the last call; maybe nothing."""
        return self._writer.take(self._state)

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Take up the state of a checkpoint; market data and the executor's state come later.

        Raises:
            CodecError: It is not a checkpoint of this service.
        """
        if not saved:
            return NOTHING  # the first input begins a new ledger, and says so
        try:
            self._state = self._writer.join(saved)
        except PartMissing as error:
            self._losses.append(str(error))
        self._has_started = True
        self.limits.restore(self._state.trading)
        self._control = _control_of(self.limits.config, self._state, self._opened, now_ns)
        self._stops.follow(self._state.ledger)
        out = self._take_losses(now_ns)
        return Step(messages=[*out, *self._state_if_changed(self._control.now(now_ns), now_ns)])

    def note_loss(self, loss: str, now_ns: int) -> Step:
        """Note that Redis lost data: nothing is approved until an operator resumes."""
        self._losses.append(loss)
        return self.on_timer(now_ns)

    @property
    def is_saved(self) -> bool:
        """Whether everything noted so far has been handed out to be saved."""
        return self._has_started and self._writer.is_saved

    @property
    def state(self) -> RiskState:
        """What survives a restart; read only."""
        return self._state

    @property
    def ledger(self) -> Ledger:
        """What risk knows about money; read only."""
        return self._state.ledger

    def _start(self, now_ns: int) -> list[Message]:
        """Begin at the first call where there was no checkpoint; report lost data at once."""
        if not self._has_started:
            self._has_started = True
            self._control = _control_of(self.limits.config, self._state, self._opened, now_ns)
            self._writer.touch_decided()
        return self._take_losses(now_ns) if self._losses else []

    def _take_losses(self, now_ns: int) -> list[Message]:
        losses, self._losses = self._losses, []
        self._writer.touch_decided()
        return [message for loss in losses for message in self._control.on_loss(loss, now_ns)]

    def _state_if_changed(self, status: TradingStatus, now_ns: int) -> list[Message]:
        """Return the trading state if it changed since it was last published."""
        if changed := self._control.state_if_changed(status, now_ns):
            self._writer.touch_decided()
        return changed

    def _roll_day(self, now_ns: int) -> None:
        if self._state.ledger.roll_day(now_ns):
            self._writer.touch_ledger()

    def _on_depth_view(self, view: DepthView, now_ns: int) -> list[Message]:
        self._market.on_view(view)
        book = view.venue, view.instrument
        return self._close_at_stops(now_ns, book) if book in self._stops.watched_markets else []

    def _on_instrument(self, info: InstrumentInfo, now_ns: int) -> list[Message]:
        self._market.on_rules(info)
        return []

    def _with_changes(self, out: list[Message], now_ns: int, *, tells_state: bool) -> Step:
        """Return what was decided, the rounds that it changed, and the state where it did."""
        if self._state.ledger.rounds.touched:
            out += self._reports.changed(self._state.ledger, now_ns)
        if tells_state:
            out += self._state_if_changed(self._control.now(now_ns), now_ns)
        return Step(messages=out) if out else NOTHING

    def _close_at_stops(self, now_ns: int, market: MarketKey | None) -> list[Message]:
        """Close the rounds whose stop is reached in a book; in any book if ``None``."""
        out = self._stops.close(self._state.ledger, now_ns, market, self._on_opportunity)
        if self._state.ledger.rounds.touched:
            self._writer.touch_ledger()
        return out

    def _on_opportunity(self, found: Opportunity | Signal, now_ns: int) -> list[Message]:
        status, ledger = self._control.now(now_ns), self._state.ledger
        if now_ns // DAY_NS > ledger.day:
            self._roll_day(now_ns)
        given = ledger, self._control, status, now_ns
        if isinstance(found, Signal):
            decided = self.decider.decide_signal(found, *given)
        else:
            decided = self.decider.decide(found, *given)
        if isinstance(decided, ApprovedPlan):
            if decided.round_id:
                self._writer.touch_ledger()
            self._writer.approve(decided.opportunity_id)
            return [decided, *self._state_if_changed(status, now_ns)]
        told = self._reports.denied(decided, found, now_ns)
        return [decided, *told, *self._state_if_changed(status, now_ns)]

    def _on_order_event(self, event: OrderEvent, now_ns: int) -> list[Message]:
        """Put an order on record: what is filled of it is ours."""
        if why := self._state.ledger.refuses(event):
            self._counters["orders_unowned"] += 1
            return [unowned_order_alert(event, why, now_ns)]
        if put_on_record(self._state.ledger, event, self.limits.config.risk):
            self._writer.touch_ledger()
        return []

    def _on_fill(self, fill: Fill, now_ns: int) -> list[Message]:
        ledger, before = self._state.ledger, held_by_none(self._state.ledger, fill)
        if why := ledger.ownership_flaw(fill):  # left out, and halted: what we hold is unknown now
            self._counters["fills_unowned"] += 1
            self._writer.touch_decided()
            subject = ledger.plan_of_ours(fill.plan_id)
            text = unowned_fill_text(fill, why)
            return [self._control.trip(HaltCause.FILL_UNOWNED, text, now_ns, subject)]
        if not ledger.apply_fill(fill):
            self._counters["duplicates"] += 1
            return []
        self._counters["fills"] += 1
        self._writer.touch_ledger()
        return alerts_of_reduction(ledger, fill, before, self._control, now_ns)

    def _on_account(self, told: _OfAccount, now_ns: int) -> list[Message]:
        if told.venue not in self._venues:
            return []
        self._writer.touch_ledger()
        if isinstance(told, BalanceMoved):
            return self._moves.take(told, self._state.ledger, self._control, now_ns)
        return take_in(told, self._state.ledger, self._assets, now_ns)

    def _on_executor_ready(self, ready: ExecutorReady, now_ns: int) -> list[Message]:
        self._control.on_executor_ready(ready)
        return []

    def _on_plan_done(self, done: PlanDone, now_ns: int) -> list[Message]:
        ledger = self._state.ledger
        held = ledger.plan_of_ours(done.plan_id)
        if why := ledger.refuses_end(done):
            self._counters["ends_unowned"] += 1
            return [unowned_end_alert(done, why, now_ns)]
        if not ledger.apply_end(done):
            self._counters["duplicates"] += 1
            return []
        self._counters["plans_ended"] += 1
        self._writer.touch_ledger()
        unowned = end_round(ledger, done, self._market.is_dust(ledger.prices))
        self._loss_watch.look(ledger, now_ns)
        out = self._control.on_plan_done(done, now_ns, held, unowned)
        out += self._loss_watch.count(ledger, done, now_ns)
        out += self._reducer.work_off(ledger, self._control, now_ns, self._on_opportunity)
        return [*out, *unreserved_end_alerts(done, held, now_ns)]

    def _on_command(self, command: Command | LimitsChange, now_ns: int) -> list[Message]:
        self._counters["commands"] += 1
        self._writer.touch_ledger()  # RESUME may release what a plan held
        if isinstance(command, LimitsChange):
            return self.limits.take(command, self._state.trading, self._control, now_ns)
        return self._control.on_command(command, now_ns)


def _control_of(
    config: Config, state: RiskState, opened: Opened | None, now_ns: int
) -> TradingControl:
    until_ns = 0
    if opened is not None:
        state.trading.ledger_id = opened.ledger_id
        until_ns = opened.report_until_ns(now_ns)
    return TradingControl(config, state.trading, state.ledger, now_ns, until_ns)


def on_ledger(engine: RiskEngine, owner: Mapping[str, str], instance: str) -> LedgerEngine:
    """Let an engine keep the ledger and renew its marks."""

    def note_look(asked_ns: int) -> None:
        engine._control.note_look(asked_ns)  # a start makes another one

    return LedgerEngine(
        engine,
        LedgerOpening("risk", owner, instance),
        ledger_id_of=ledger_id_of,
        command_ns=lambda: engine.state.trading.command_ns,
        only_keeps=lambda view: engine._stops.leaves(view, engine.ledger),
        on_look=note_look,
    )


ENGINE = EngineSpec(
    new=lambda config, given: on_ledger(
        RiskEngine(config, read_ns=None), given.owner, given.source
    ),
    checkpoints=NAMES,
    keeps_ledger=True,
)
