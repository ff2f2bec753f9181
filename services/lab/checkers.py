"""The checks of every world, at every step and when it is quiet again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.executor import actions as act
from services.lab.access_checker import AccessChecker
from services.lab.books_checker import BooksChecker
from services.lab.dead_man_checker import DeadManChecker
from services.lab.ends_checker import EndsChecker
from services.lab.failure_costs_checker import FailureCostsChecker
from services.lab.funds_checker import FundsChecker
from services.lab.ledger_checker import LedgerChecker
from services.lab.legs_checker import LegsChecker
from services.lab.limits_checker import LimitsChecker
from services.lab.loss_checker import LossChecker
from services.lab.lowered_limits import LoweredLimits
from services.lab.positions import has_derivatives, key_of
from services.lab.quotes_checker import QuotesChecker
from services.lab.rounds_checker import RoundsChecker
from services.lab.stops_checker import StopsChecker
from services.lab.tally import Tally
from services.lab.trades_checker import watch_accounts, watch_positions, watch_trades
from services.lab.transfers_checker import TransfersChecker
from services.lab.uneven import UnevenChecker
from services.risk.engine import RiskEngine
from shared.accounts.gateway import OrderRequest
from shared.config_sections import same_books
from shared.domain.instrument import is_spot
from shared.engine import Action
from shared.messages.arb import Indication, NearMiss, Opportunity, Signal
from shared.messages.balances import BalanceMoved
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Command, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    Denied,
    ExecutorReady,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    TradingStateChanged,
)
from shared.messages.fill_key import FillKey, fill_key
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    DepthView,
    Funding,
    InstrumentInfo,
    VenueStatus,
)
from shared.messages.rounds import Intent, StrategyPosition
from shared.services import Instances
from shared.streams import EXEC_EVENT

if TYPE_CHECKING:
    from services.lab.life import Life
    from services.lab.world import World

ZERO = Decimal(0)
MARKET_DATA = {BookDelta, BookSnapshot, DepthView, Funding, InstrumentInfo, NearMiss, VenueStatus}
"""What is published most, and changes nothing that is reserved or halted."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    checker: str
    text: str
    ts_ns: int
    step: int


class Checkers:
    """Watches a world from outside."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[Violation] = []
        self.plans: dict[str, ApprovedPlan] = {}
        self.plans_lost: dict[str, ApprovedPlan] = {}  # the bus has lost them since
        self.done: dict[str, PlanDone] = {}
        self.plans_approved = 0  # also those that the bus has lost since
        self._in_flight: dict[str, None] = {}  # plans that are approved and have not ended
        self.fills: dict[FillKey, Fill] = {}
        self.fills_lost: set[FillKey] = set()  # told, and the bus has lost that since
        self.orders: dict[str, OrderEvent] = {}  # what was told last of each
        self._arrived: dict[str, str] = {}
        self._not_sent: set[str] = set()
        self.state = TradingState.HALTED
        self.is_emptied = self.has_flattened = self.has_lost_records = False
        self.unowned: set[tuple[str, str]] = set()  # told no round holds, no FLATTEN since
        self.ledger, self.legs = LedgerChecker(world), LegsChecker(world)
        self._books = BooksChecker(world)
        self.rounds, self.stops = RoundsChecker(world), StopsChecker(world)
        self.uneven, self.quotes = UnevenChecker(world), QuotesChecker(world)
        self.ends = EndsChecker(world)
        self.dead_man, self.access = DeadManChecker(world), AccessChecker(world)
        self.funds, self._losses = FundsChecker(world), LossChecker(world)
        self.costs, self.transfers = FailureCostsChecker(world), TransfersChecker(world)
        self.request_listeners = [self.access.on_request, self.costs.on_request]
        self.tally, self.limits = Tally(world.kind), LimitsChecker(world)
        self.lowered = LoweredLimits(world)
        watch_accounts(world.exchanges, same_books(world.config.venues), self.report)
        for exchange in world.exchanges.values():
            watch_trades(exchange, self.report)
            if has_derivatives(exchange):
                watch_positions(exchange, self.orders, self.report)
        self._checks: dict[type[Message], Callable[[Any], None]] = {
            DepthView: self._note_view,
            Opportunity: self._books.on_opportunity,
            Fill: self._check_fill,
            OrderEvent: self._check_order,
            ApprovedPlan: self._note_plan,
            PlanDone: self._check_end,
            TradingStateChanged: self._note_state,
            StrategyPosition: self._note_position,
            Indication: self.tally.on_indication,
            ExecutorReady: self.access.on_ready,
            BalanceReport: self.funds.on_balances,
            BalanceMoved: self.transfers.on_moved,
            Signal: self.stops.on_signal,
            Denied: self.lowered.on_denied,
            Alert: self._note_alert,
            Command: self._note_command,
        }

    @property
    def has_plans_in_flight(self) -> bool:
        """Whether any plan is approved and has not ended."""
        return bool(self._in_flight)

    def on_bus_lost(self, plans_kept: Mapping[str, ApprovedPlan]) -> None:
        """The bus has lost what came last: only these plans are approved there.

        An older copy may have plans and fills again that an earlier loss had taken, as they were.
        """
        self.plans_lost |= self.plans
        self.plans = dict(plans_kept)
        for plan_id in plans_kept:
            self.plans_lost.pop(plan_id, None)
        for plan_id in self.plans_lost:
            self._in_flight.pop(plan_id, None)
        self._books.on_bus_lost()
        there = fills_on_bus(self._world)
        self.fills |= there
        self.fills_lost |= self.fills.keys() - there.keys()
        for key in reductions_lost(self.fills, self.fills_lost):
            del self.fills[key]
        self.rounds.on_bus_lost()
        self.stops.on_bus_lost()
        self.access.on_bus_lost()
        self.funds.on_bus_lost()
        self.transfers.on_bus_lost()
        self._losses.on_bus_lost()
        self.costs.forget()
        self.has_lost_records = True

    def on_bus_emptied(self) -> None:
        """Nothing is known any more of what was traded: nothing may be sent without an operator.

        Where we had traded nothing yet there is nothing to know, whatever others traded.
        """
        exchanges = self._world.exchanges.values()
        self.is_emptied = any(key_of(fill) for each in exchanges for fill in each.fills)

    def report(self, checker: str, text: str) -> None:
        """Note a violation, once for each text."""
        kernel = self._world.kernel
        found = Violation(checker, text, kernel.now_ns(), kernel.steps)
        if all((v.checker, v.text) != (checker, text) for v in self.violations):
            self.violations.append(found)
            self._world.trace.tell("VIOLATED", f"{checker}: {text}")

    # At every step

    def on_published(self, messages: Sequence[Message]) -> None:
        """Check messages that were published."""
        checks = self._checks
        for message in messages:
            if (check := checks.get(type(message))) is not None:
                check(message)
        if not MARKET_DATA.issuperset(map(type, messages)):
            self.ledger.on_published(messages)
            self._check_reservations()

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """Check a request before it is sent."""
        self.ledger.on_action(action)
        if not isinstance(action, act.Submit):
            return
        order = action.order
        self.legs.on_submit(order)
        self.limits.on_submit(order)
        self.access.on_submit(order)
        self.costs.on_submit(order)
        if self.is_emptied:
            self.report("after_loss", f"{order.client_order_id} was sent after all data was lost")
        is_leg = order.purpose is OrderPurpose.LEG
        if is_leg and not any(order.client_order_id[2:].startswith(plan) for plan in self.plans):
            self.report("plan_on_record", f"leg {order.client_order_id} has no plan")
        if is_leg and not is_spot(order.terms.instrument):
            self._check_leg(order)
        if not (is_leg and is_at_once) and order.client_order_id not in self.orders:
            self.report("order_on_record", f"{order.client_order_id} was not on record")

    def _check_leg(self, order: OrderRequest) -> None:
        """No plan that ends at once trades a derivative: nothing would close its position."""
        plan = self.plans.get(order.client_order_id[2:-3])
        if plan is not None and plan.intent is Intent.INSTANT:
            self.report("opens_position", f"{order.client_order_id} opens a position")

    def on_effect(self, host: Life) -> None:
        """Check that only the holder of the lease causes effects outside its process."""
        if host.process.row.instances is Instances.LEASED:
            holder = self._world.server.lease_holder(host.service)
            if holder not in {"", host.owner}:
                self.report("one_active", f"{host.owner} acts, and {holder} holds the lease")

    def on_arrival(self, venue: str, client_order_id: str, times: int, is_taken: bool) -> None:
        """Check an order that arrived at a venue; one that is refused there leaves no trace."""
        if is_taken:
            self._arrived[client_order_id] = venue
        if is_taken and client_order_id in self._not_sent:
            self.report("no_is_no", f"{client_order_id} arrived at {venue} after all")
        if times > 1 and not self._left_no_trace(venue, client_order_id):
            self.report("sent_once", f"{client_order_id} arrived {times} times at {venue}")

    def _left_no_trace(self, venue: str, client_order_id: str) -> bool:
        """Whether the bus lost its newest records, and the venue's fills show nothing of the order.

        Then no record can show that there was one; the second is the first with an effect.
        """
        orders = self._world.exchanges[venue].orders.values()
        same = [order for order in orders if order.request.client_id == client_order_id]
        return self.has_lost_records and not any(order.fills for order in same[:-1])

    def _note_view(self, view: DepthView) -> None:
        self.stops.on_view(view)
        self.limits.on_view(view)
        self.lowered.on_view(view)
        self._books.on_view(view)

    def _note_position(self, told: StrategyPosition) -> None:
        self.tally.on_position(told)
        self.rounds.on_position(told)
        self.stops.on_position(told)

    def _note_plan(self, plan: ApprovedPlan) -> None:
        if plan.plan_id not in self.plans:
            self.limits.on_plan(plan)
            self.lowered.on_plan(plan)
            self.funds.on_plan(plan)
            self._losses.on_plan(plan)
            self.plans_approved += 1
            self.tally.on_plan(plan)
            self.legs.on_plan(plan)
        self.plans[plan.plan_id] = plan
        if plan.plan_id not in self.done:
            self._in_flight[plan.plan_id] = None
            self.rounds.on_plan(plan)
            self.stops.on_plan(plan)

    def _note_state(self, changed: TradingStateChanged) -> None:
        self.state = changed.state

    def _note_command(self, command: Command) -> None:
        self.access.on_command(command)
        self.costs.on_command(command)
        self._losses.on_command(command)
        if command.kind is CommandKind.RESUME:
            self.is_emptied = False
        elif command.kind is CommandKind.FLATTEN:
            self.unowned.clear()
            self.has_flattened = True

    def _note_alert(self, alert: Alert) -> None:
        if alert.code in {"POSITION_UNOWNED", "FLATTEN_ENDED"}:
            self.unowned |= positions_named(alert, self._world)
        self.stops.on_alert(alert)
        self.access.on_alert(alert)
        self.lowered.on_alert(alert)
        self.costs.on_alert(alert)

    def _check_order(self, event: OrderEvent) -> None:
        self.orders[event.client_order_id] = event
        if event.status is OrderStatus.NOT_SENT:
            self._not_sent.add(event.client_order_id)
            if event.client_order_id in self._arrived:
                text = f"{event.client_order_id} is said not to be sent, {event.venue} has it"
                self.report("no_is_no", text)

    def _check_fill(self, fill: Fill) -> None:
        before = self.fills.get(key := fill_key(fill))
        if before is not None and (before.qty, before.client_order_id) != (
            fill.qty,
            fill.client_order_id,
        ):
            self.report("one_owner", f"{fill.venue} {fill.trade_id} is told two ways")
        if before is None:
            self.tally.on_fill(fill)
        self.fills[key] = fill
        self.fills_lost.discard(key)

    def _check_end(self, done: PlanDone) -> None:
        if done.plan_id not in self.done:
            self._losses.on_end(done)
            self.costs.on_end(done)
        self.done[done.plan_id] = done
        self._in_flight.pop(done.plan_id, None)
        self.rounds.on_end(done.plan_id)
        self.quotes.on_end(done.plan_id)
        self.ends.on_end(done)

    def _check_reservations(self) -> None:
        risk = self._world.engine("risk")
        if isinstance(risk, RiskEngine):
            for quote, held in risk.ledger.reserved_by_quote().items():
                limits = self._world.config.risk.limits_in(quote)
                if held < 0 or (limits is not None and held > limits.total_notional_max):
                    self.report("reservations", f"{held} {quote} is reserved")
            for plan_id in self._in_flight:
                if plan_id not in risk.ledger.reservations:
                    self.report("reservations", f"nothing is held for plan {plan_id}")


def positions_named(alert: Alert, world: World) -> set[tuple[str, str]]:
    """Return the markets, by venue and instrument, that an alert names with their venue."""
    return {
        (venue, instrument)
        for venue, settings in world.config.venues.items()
        for instrument in settings.instruments
        if f" {instrument} at {venue}," in alert.text
    }


def fills_on_bus(world: World) -> dict[FillKey, Fill]:
    """Return the fills that the bus has now, as it tells them last."""
    now_ns, server = world.kernel.now_ns(), world.server
    return {
        fill_key(fill): fill
        for payload in server.stream(EXEC_EVENT.key()).payloads
        for fill in server.decode(EXEC_EVENT, payload, now_ns)
        if isinstance(fill, Fill)
    }


def reductions_lost(told: Mapping[FillKey, Fill], lost: set[FillKey]) -> list[FillKey]:
    """Return what venues closed by themselves, of which the bus no longer has that it was told.

    How much of it was ours follows from the record of what we held, which is lost with it: it is
    told again, or it closed a position that is left alone.
    """
    return [key for key, fill in told.items() if fill.reduced_by and key in lost]
