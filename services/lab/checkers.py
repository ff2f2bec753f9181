"""What must hold in every world, at every step and when it is quiet again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from services.executor import actions as act
from services.executor.engine import ExecutorEngine
from services.risk.engine import RiskEngine
from shared.domain.accounting import Books, unrealized
from shared.domain.strategy_books import StrategyBooks
from shared.engine import Action
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill as ExchangeFill
from shared.ledger import DATA_LOST
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Message, Side, TradingState
from shared.messages.control import Command, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanOutcome,
    TradingStateChanged,
)
from shared.messages.market import DepthView
from shared.services import Instances

if TYPE_CHECKING:
    from services.lab.life import Life
    from services.lab.world import World

ZERO = Decimal(0)
BUS_DELAY_NS_MAX = 200_000_000
"""Every service has received a view after this long."""
DUST_SLACK = Decimal("1.05")
"""Prices are a little other than at the start."""
NAKED_NS_MAX = 30_000_000_000
"""A plan may be uneven for this long, restarts and lost answers included, before trading halts."""


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
        self.done: dict[str, PlanDone] = {}
        self.fills: dict[tuple[str, str], Fill] = {}
        self._on_record: dict[str, OrderEvent] = {}
        self._arrived: dict[str, str] = {}
        self._not_sent: set[str] = set()
        self._has_lost_records = False
        self._state = TradingState.HALTED
        self._uneven_since_ns: dict[str, int] = {}
        self._not_live_since_ns: dict[tuple[str, str], int] = {}
        self._is_emptied = False

    def on_bus_lost(self, plans_kept: int) -> None:
        """The bus lost its last moment: only so many plans are approved there, the first ones."""
        for plan_id in list(self.plans)[plans_kept:]:
            del self.plans[plan_id]
        self._not_live_since_ns.clear()
        self._has_lost_records = True

    def on_bus_emptied(self) -> None:
        """Nothing is known any more of what was traded: nothing may be sent without an operator."""
        self._is_emptied = any(exchange.fills for exchange in self._world.exchanges.values())

    def report(self, checker: str, text: str) -> None:
        """Note a violation, once for each text."""
        kernel = self._world.kernel
        found = Violation(checker, text, kernel.now_ns(), kernel.steps)
        if all((v.checker, v.text) != (checker, text) for v in self.violations):
            self.violations.append(found)

    # At every step

    def on_published(self, messages: Sequence[Message]) -> None:
        """Check messages that were published."""
        for message in messages:
            if isinstance(message, DepthView):
                self._check_view(message)
            elif isinstance(message, Opportunity):
                self._check_priced(message)
            elif isinstance(message, Fill):
                self._check_fill(message)
            elif isinstance(message, OrderEvent):
                self._check_order(message)
            elif isinstance(message, ApprovedPlan):
                self.plans[message.plan_id] = message
            elif isinstance(message, PlanDone):
                self._check_end(message)
            elif isinstance(message, TradingStateChanged):
                self._state = message.state
            elif isinstance(message, Command) and message.kind is CommandKind.RESUME:
                self._is_emptied = False
        self._check_reservations()

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """Check a request before it is sent."""
        if not isinstance(action, act.Submit):
            return
        order = action.order
        if self._is_emptied:
            self.report("after_loss", f"{order.client_order_id} was sent after all data was lost")
        is_leg = order.purpose is OrderPurpose.LEG
        if is_leg and not any(order.client_order_id[2:].startswith(plan) for plan in self.plans):
            self.report("plan_on_record", f"leg {order.client_order_id} has no plan")
        if not (is_leg and is_at_once) and order.client_order_id not in self._on_record:
            self.report("order_on_record", f"{order.client_order_id} was not on record")

    def on_effect(self, host: Life) -> None:
        """Look at who does something that others see: only the holder of the lease may."""
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
        return self._has_lost_records and not any(order.fills for order in same[:-1])

    def _check_priced(self, found: Opportunity) -> None:
        """No book may price anything that was published as not LIVE a while before."""
        for leg in found.legs:
            since_ns = self._not_live_since_ns.get((leg.venue, leg.instrument))
            if since_ns is not None and found.ts_ns - since_ns > BUS_DELAY_NS_MAX:
                self.report("trusted_book", f"{leg.venue} {leg.instrument} was not LIVE")

    def _check_view(self, view: DepthView) -> None:
        key = (view.venue, view.instrument)
        if view.state is not BookState.LIVE:
            self._not_live_since_ns.setdefault(key, self._world.kernel.now_ns())
            return
        self._not_live_since_ns.pop(key, None)
        truth = self._world.feed.true_books.get((view.venue, view.instrument, view.seq))
        if truth is None:
            self.report("true_book", f"{view.venue} {view.instrument} {view.seq} never was")
        elif (list(view.bids), list(view.asks)) != (truth[0][:20], truth[1][:20]):
            self.report("true_book", f"{view.venue} {view.instrument} {view.seq} is wrong")

    def _check_order(self, event: OrderEvent) -> None:
        self._on_record[event.client_order_id] = event
        if event.status is OrderStatus.NOT_SENT:
            self._not_sent.add(event.client_order_id)
            if event.client_order_id in self._arrived:
                text = f"{event.client_order_id} is said not to be sent, {event.venue} has it"
                self.report("no_is_no", text)

    def _check_fill(self, fill: Fill) -> None:
        before = self.fills.get((fill.venue, fill.trade_id))
        if before is not None and (before.qty, before.client_order_id) != (
            fill.qty,
            fill.client_order_id,
        ):
            self.report("one_owner", f"{fill.venue} {fill.trade_id} is told two ways")
        self.fills[fill.venue, fill.trade_id] = fill

    def _check_end(self, done: PlanDone) -> None:
        self.done[done.plan_id] = done
        for asset, qty in done.dust.items():
            if abs(qty) > DUST_SLACK * self._world.dust(asset):
                self.report("flat", f"plan {done.plan_id} calls {qty} {asset} dust")
        plan = self.plans.get(done.plan_id)
        if plan is not None and done.outcome is not PlanOutcome.FAILED:
            slack = Decimal("0.001") * sum((leg.qty * leg.price_limit for leg in plan.legs), ZERO)
            if done.realized < -plan.loss_cap - slack:
                text = f"plan {done.plan_id} lost {done.realized}, its cap is {plan.loss_cap}"
                self.report("loss_cap", text)

    def _check_reservations(self) -> None:
        risk = self._world.engine("risk")
        if isinstance(risk, RiskEngine):
            held = risk.ledger.reserved_notional()
            if held < 0 or held > self._world.config.risk.total_notional_max:
                self.report("reservations", f"{held} is reserved")
            for plan_id in self.plans:
                if plan_id not in self.done and plan_id not in risk.ledger.reservations:
                    self.report("reservations", f"nothing is held for plan {plan_id}")

    def check_uneven(self) -> None:
        """Look at how even the plans are at the venues, halted or not."""
        now_ns = self._world.kernel.now_ns()
        net: dict[str, Decimal] = {}
        for exchange in self._world.exchanges.values():
            for fill in exchange.fills:
                plan = fill.client_id[2:14]
                qty = fill.qty if fill.side is Side.BUY else -fill.qty
                net[plan] = net.get(plan, ZERO) + qty
        uneven = {plan for plan, qty in net.items() if qty and plan not in self.done}
        self._uneven_since_ns = {
            plan: self._uneven_since_ns.get(plan, now_ns) for plan in sorted(uneven)
        }
        if self._state is TradingState.HALTED:
            return
        for plan, since_ns in self._uneven_since_ns.items():
            if now_ns - since_ns > NAKED_NS_MAX:
                self.report("naked_leg", f"plan {plan} is uneven for too long")

    # When it is quiet

    def check_quiet(self) -> None:
        """Compare everything with what the venues hold."""
        world = self._world
        for venue, exchange in world.exchanges.items():
            for asset, start in world.start_balances[venue].items():
                if exchange.ledger.total(asset) != start:
                    self.report("conservation", f"{venue} {asset}: {exchange.ledger.total(asset)}")
            if exchange.open_orders:
                self.report("open_orders", f"{venue} has {len(exchange.open_orders)}")
            told = {trade for at, trade in self.fills if at == venue}
            alone = {str(fill.trade_id) for fill in self._left_alone(exchange)}
            truth = {str(fill.trade_id) for fill in exchange.fills} - (alone - told)
            if told != truth:
                text = f"{venue}: {len(truth - told)} were not told, {len(told - truth)} never were"
                self.report("every_fill", text)
        executor, risk = world.engine("executor"), world.engine("risk")
        assert isinstance(executor, ExecutorEngine)
        assert isinstance(risk, RiskEngine)
        if self._is_emptied and not executor.state.locked.startswith(DATA_LOST):
            self.report("after_loss", "all data was lost, and trading was not halted")
        self._check_books("executor", executor.state.books)
        self._check_books("risk", risk.ledger.books)
        if wrong := strategies_differ(risk.ledger.books, risk.ledger.strategies):
            self.report("strategies_add_up", wrong)
        unknown = [o for o in executor.state.orders.values() if not o.life.is_terminal]
        if unknown:
            names = ", ".join(sorted(order.client_order_id for order in unknown)[:3])
            self.report("no_unknown", f"{len(unknown)} orders are not over: {names}")
        if risk.ledger.reservations:
            self.report("reservations", f"held when quiet: {sorted(risk.ledger.reservations)}")
        self._check_flat(executor.state.books)

    def _check_books(self, service: str, books: Books) -> None:
        world = self._world
        for venue, exchange in world.exchanges.items():
            left_alone = self._left_alone(exchange)
            for asset, start in world.start_balances[venue].items():
                balance = exchange.ledger.balance(asset)
                truth = balance.free + balance.used - start
                truth -= sum((_change(fill, asset) for fill in left_alone), ZERO)
                ours = books.inventory.get(f"{venue}|{asset}", ZERO)
                if ours != truth:
                    text = f"{service} has {ours} {asset} at {venue}, the venue {truth}"
                    self.report("ledger_is_truth", text)

    def _left_alone(self, exchange: Exchange) -> list[ExchangeFill]:
        """Return fills of plans without a record where a ledger began anew.

        The first plan of a ledger was lost with the bus's last moment. The executor cannot know
        whether it is hedged, so it halts (``DATA_LOST``), alerts an operator and leaves it alone.
        """
        executor = self._world.engine("executor")
        assert isinstance(executor, ExecutorEngine)
        before = set(executor.state.before)
        return [fill for fill in exchange.fills if fill.client_id[2:14] in before]

    def _check_flat(self, books: Books) -> None:
        failed = [d.plan_id for d in self.done.values() if d.outcome is PlanOutcome.FAILED]
        for asset in self._world.prices:
            held = books.exposure.get(asset, ZERO)
            most = self._world.dust(asset)
            told = (abs(done.dust.get(asset, ZERO)) for done in self.done.values())
            dust = most + sum((min(each, most) for each in told), ZERO)
            if abs(held) > dust and not failed:
                self.report("flat", f"{held} {asset} is left and no plan failed")


def strategies_differ(whole: Books, strategies: StrategyBooks) -> str:
    """Return what the strategies' accounts add up to wrongly; empty if they are the whole."""
    price = Decimal(1)
    parts = strategies.figures(whole, lambda *_: price).values()
    open_profit = unrealized(whole.positions(lambda *_: price))
    for quote, result in whole.results.items():
        earned = [part.earned[quote] for part in parts if quote in part.earned]
        ours = (
            sum((each.realized for each in earned), ZERO),
            sum((each.unrealized or ZERO for each in earned), ZERO),
            sum((each.fees for each in earned), ZERO),
        )
        theirs = (result.realized, open_profit.get(quote) or ZERO, result.fees)
        if ours != theirs:
            return f"realized, unrealized and fees in {quote} are {ours}, not {theirs}"
    for key, holding in whole.holdings.items():
        accounts = strategies.accounts.values()
        held = [books.holdings[key].qty for books in accounts if key in books.holdings]
        if sum(held, ZERO) != holding.qty:
            return f"{sum(held, ZERO)} of {key} are held, not {holding.qty}"
    return ""


def _change(fill: ExchangeFill, asset: str) -> Decimal:
    """Return how a fill changed the balance of an asset."""
    sign = 1 if fill.side is Side.BUY else -1
    change = ZERO
    if asset == fill.listing.base:
        change += sign * fill.qty
    if asset == fill.listing.quote:
        change -= sign * fill.qty * fill.price
    return change - fill.fee if asset == fill.fee_asset else change
