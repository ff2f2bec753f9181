"""The life of a plan: its legs, then hedge or unwind, or fail with an alert. Pure.

Legs go all at once, one after the other (see leg_order.py), or one rests (see resting.py).

A plan is open until all its orders are over, every filled unit is explained by a fill, and what is
left is nothing or too small to trade. While its orders are over but the fills do not match it is
*uneven*: it trades the difference (see rebalance.py) with fresh prices until it is even, or until
``hedge_deadline`` has passed or the attempts are used up. Then it is FAILED: the rest stays on
record, a critical alert is raised, and nothing new starts until an operator resumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.closing_plans import OWN_LOSS_BPS, entry_of_closed, widen_adopted
from services.executor.even_orders import ATTEMPTS_MAX, NoOrder, OrderIntent, attempts_max
from services.executor.ids import attempt_after_loss, client_order_id
from services.executor.journal import alert, plan_done
from services.executor.leg_order import following_leg, leg_intent, legs_in_turn
from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.reduce_only import must_only_reduce
from services.executor.restating import restate_told
from services.executor.resting import RestingLegs, WhyNone
from services.executor.several import describe_open, next_order
from services.executor.state import ExecutorState, LedgerStage, PlanKind, PlanRecord
from services.executor.weakness import is_weak
from services.executor.working_orders import WorkingOrders
from shared.accounts.gateway import OrderReport
from shared.domain.fees import BPS
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import worth_of
from shared.engine import Step
from shared.messages.bounds import LEGS_MAX
from shared.messages.control import Severity
from shared.messages.execution import (
    ApprovedPlan,
    OrderPurpose,
    OrderStatus,
    PlanLeg,
    PlanOutcome,
)
from shared.messages.rounds import Intent

_LEG: Final = OrderPurpose.LEG
_ARBITRAGE: Final = PlanKind.ARBITRAGE
_USED: Final = LedgerStage.USED
_INSTANT: Final = Intent.INSTANT
_CLOSE: Final = Intent.CLOSE

BOOKS_WAIT_NS: Final = 15_000_000_000
"""So long after a start no plan is given up only because no book has come yet: where the bus was
away, the books come back after the executor has."""
REBALANCE_PAUSE_NS: Final = 50_000_000
"""Least pause between two rebalancing orders, and before looking for a price again."""


class PlanRunner:
    """Plans and what they do next. Every method changes ``state`` and adds to ``out``."""

    def __init__(
        self,
        state: ExecutorState,
        markets: Markets,
        orders: WorkingOrders,
        counts: dict[str, int],
        hedge_deadline_ns: int,
        *,
        why_none_rests: WhyNone,
        same_books: Mapping[str, str],
    ) -> None:
        self._state = state
        self._markets = markets
        self._orders = orders
        self._counts = counts
        self._hedge_deadline_ns = hedge_deadline_ns
        self.resting = RestingLegs(state, markets, orders, why_none_rests, same_books)
        self._ended: list[PlanRecord] = []
        self._started_ns = 0

    def take_up(self, now_ns: int) -> None:
        """Go on with the open plans after a start."""
        self._started_ns = now_ns
        for plan in self._state.open_plans():
            plan.uneven_since_ns = plan.wait_until_ns = 0
            # Orders of the last moment may be missing from the record: never use their ids again.
            plan.attempt_next = attempt_after_loss(now_ns)
            plan.legs_left, plan.resting = [], None  # nor those of legs; what rests is canceled

    def take_ended(self) -> list[PlanRecord]:
        """Return the plans that ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def start(self, approved: ApprovedPlan, legs: list[PlanLeg], now_ns: int, out: Step) -> None:
        """Put the legs that go first on record, and ask for them to be sent at once."""
        plan = self._open(approved, legs, now_ns)
        self._state.stage = _USED
        if approved.resting is not None:
            self.resting.begin(plan, approved.resting, now_ns, out)
            return
        at_once, plan.legs_left = legs_in_turn(approved, legs, self._markets, now_ns)
        for index in at_once:
            intent = self._reducing(plan, leg_intent(legs[index]))
            leg_order = self._orders.submit(plan, intent, (index, 0), now_ns, out)
            out.at_once.append(leg_order)  # the pending plan is its record

    def check_only(self, approved: ApprovedPlan, now_ns: int, out: Step) -> None:
        """A plan delivered again that we do not know: ask the venues, start nothing."""
        plan = self._open(approved, approved.legs, now_ns)
        plan.attempt_next = attempt_after_loss(now_ns)  # its rebalancing orders may have gone too
        self._record_unknown_legs(plan, approved, now_ns, out)

    def complete(self, approved: ApprovedPlan, now_ns: int, out: Step) -> None:
        """Look for the other orders of a plan of which some were adopted before it came again."""
        plan = self._state.plans.get(approved.plan_id)
        if plan is None or not plan.is_open or plan.kind is not PlanKind.ADOPTED:
            return
        plan.kind, plan.reason, plan.strategy = _ARBITRAGE, "", approved.strategy
        plan.legs, plan.loss_cap = approved.legs, approved.loss_cap
        plan.reference, plan.ts_recv_ns = _reference(approved), approved.ts_recv_ns
        plan.base, plan.quote, plan.values = approved.base, approved.quote, _values(approved)
        _take_round(plan, approved)
        self._record_unknown_legs(plan, approved, now_ns, out)

    def _record_unknown_legs(
        self, plan: PlanRecord, approved: ApprovedPlan, now_ns: int, out: Step
    ) -> None:
        """Put the legs not on record there as UNKNOWN: they may have been sent."""
        plan.checked_only = True
        for index, leg in enumerate(approved.legs):
            if client_order_id(plan.plan_id, index, 0) not in plan.orders:
                order = self._orders.record(plan, leg_intent(leg), (index, 0), now_ns, out)
                order.life.status = OrderStatus.UNKNOWN
                order.ts_ended_ns = order.next_query_ns = now_ns

    def adopt(
        self, report: OrderReport, parsed: tuple[str, int, int], now_ns: int, out: Step
    ) -> OrderRecord:
        """Add an order found at a venue under our id to its plan; create the plan if needed."""
        key, leg_index, attempt = parsed
        terms = report.terms
        base, quote, _ = split_instrument(terms.instrument)
        price = report.fills[0].price if report.fills else terms.price_limit
        plan = self._state.plan_of_key(key)
        if plan is None:
            plan = PlanRecord(
                plan_id=key,
                kind=PlanKind.ADOPTED,
                base=base,
                quote=quote,
                legs=[],
                loss_cap=ZERO,
                reference=price,
                ts_started_ns=now_ns,
                attempt_next=attempt_after_loss(now_ns),
                reason="adopted after a loss of records",
            )
            self._state.add_plan(plan)
        if plan.kind is PlanKind.ADOPTED:
            worth = worth_of(terms.instrument, terms.qty, price)
            plan.loss_cap = max(plan.loss_cap, worth * OWN_LOSS_BPS / BPS)
            entry = entry_of_closed(self._state, terms, price)
            leg = PlanLeg.of(terms, price_expected=price, fee_bps=ZERO, inverse_entry=entry)
            plan.legs.append(leg)
            widen_adopted(plan, self._markets, now_ns)
        trade = OrderIntent(
            terms=terms,
            fee_bps=self._fee_bps(terms.venue, terms.instrument),
            purpose=OrderPurpose.HEDGE if attempt else _LEG,
        )
        order = self._orders.record(plan, trade, (leg_index, attempt), now_ns, out)
        order.ts_ended_ns = order.next_query_ns = now_ns
        return order

    def advance(self, plan: PlanRecord, now_ns: int, out: Step) -> None:
        """Take the plan's next step, if all its orders are over."""
        orders = self._state.orders_of(plan)
        if not plan.is_open or self.resting.goes_on(plan, orders, now_ns, out):
            return
        if not all(order.life.is_terminal for order in orders):
            return
        if plan.kind is PlanKind.ADOPTED and plan.legs and not all(plan.values.values()):
            widen_adopted(plan, self._markets, now_ns)  # it was found before its books were seen
        restate_told(self._state, plan, now_ns, out)
        if plan.legs_left and self._send_next_leg(plan, orders, now_ns, out):
            return
        since_ns = plan.uneven_since_ns or now_ns
        deadline_ns = plan.hedge_deadline_ns or self._hedge_deadline_ns
        late = now_ns - since_ns > deadline_ns and not self._lacks_books(plan, now_ns)
        if plan.is_directional:
            step: OrderIntent | NoOrder = NoOrder.EVEN
        else:
            avoids = self.resting.avoids
            step = next_order(plan, orders, self._markets, now_ns, stands_down=avoids, is_late=late)
        if step in {NoOrder.EVEN, NoOrder.DUST}:
            if all(order.life.is_settled for order in orders):
                self._finish(plan, orders, now_ns, out)
            return
        plan.uneven_since_ns = since_ns
        pause_until_ns = _pause_until_ns(orders, deadline_ns)
        if isinstance(step, OrderIntent) and self.resting.is_in_the_way(step.terms, now_ns, out):
            plan.wait_until_ns = now_ns + REBALANCE_PAUSE_NS
        elif isinstance(step, OrderIntent) and now_ns < pause_until_ns:
            plan.wait_until_ns = pause_until_ns
        elif isinstance(step, OrderIntent) and plan.attempts < attempts_max(plan):
            plan.attempts += 1
            plan.wait_until_ns = 0
            index = min(len(plan.legs), LEGS_MAX)  # every order that is adopted adds a leg
            while client_order_id(plan.plan_id, index, plan.attempt_next) in plan.orders:
                plan.attempt_next += 1  # an adopted order has this number
            slot = (index, plan.attempt_next)
            plan.attempt_next += 1
            self._counts["rebalance_orders"] += 1
            step = self._reducing(plan, step)
            out.actions.append(self._orders.submit(plan, step, slot, now_ns, out))
        elif late or plan.attempts >= attempts_max(plan):
            if all(order.life.is_settled for order in orders):
                self._fail(plan, now_ns, out)
        else:
            plan.wait_until_ns = now_ns + REBALANCE_PAUSE_NS

    def _send_next_leg(
        self, plan: PlanRecord, orders: list[OrderRecord], now_ns: int, out: Step
    ) -> bool:
        """Send the second leg if the first one filled; tell whether it was sent."""
        index = plan.legs_left.pop(0)
        leg = plan.legs[index]
        down = self._state.down_at(leg.venue, leg.instrument)
        intent = None if down else following_leg(plan, index, orders, self._markets)
        if intent is None:
            return False
        intent = self._reducing(plan, intent)
        out.actions.append(self._orders.submit(plan, intent, (index, 0), now_ns, out))
        return True

    def _reducing(self, plan: PlanRecord, intent: OrderIntent) -> OrderIntent:
        """Return an order, reduce-only if it is to close a position."""
        if not must_only_reduce(self._state, plan, intent.terms):
            return intent
        return msgspec.structs.replace(intent, reduce_only=True)

    def _lacks_books(self, plan: PlanRecord, now_ns: int) -> bool:
        """Tell whether, just after a start, no book has come yet that could price the plan."""
        if now_ns - self._started_ns > BOOKS_WAIT_NS or plan.values:
            return False
        has_come, places = (
            self._markets.has_come_since,
            self._markets.tradable(plan.base, plan.quote),
        )
        return not any(has_come((p.venue, p.instrument), self._started_ns) for p in places)

    def _open(self, approved: ApprovedPlan, legs: list[PlanLeg], now_ns: int) -> PlanRecord:
        plan = PlanRecord(
            plan_id=approved.plan_id,
            kind=_ARBITRAGE,
            base=approved.base,
            quote=approved.quote,
            legs=legs,
            loss_cap=approved.loss_cap,
            reference=_reference(approved),
            ts_started_ns=now_ns,
            ts_recv_ns=approved.ts_recv_ns,
            strategy=approved.strategy,
            values=_values(approved),
            hedge_deadline_ns=min(approved.hedge_deadline_ms * 1_000_000, self._hedge_deadline_ns),
        )
        if approved.intent is not _INSTANT:
            _take_round(plan, approved)
        self._state.add_plan(plan)
        return plan

    def _finish(self, plan: PlanRecord, orders: list[OrderRecord], now_ns: int, out: Step) -> None:
        traded = [order for order in orders if order.life.filled_qty > 0]
        purposes = {order.purpose for order in traded}
        began = plan.opening or plan.openings
        if not traded and (plan.kind is _ARBITRAGE or not began):
            outcome = PlanOutcome.EXPIRED if plan.checked_only else PlanOutcome.UNFILLED
        elif OrderPurpose.UNWIND in purposes or plan.kind is PlanKind.FLATTEN:
            outcome = PlanOutcome.UNWOUND
        elif OrderPurpose.HEDGE in purposes:
            outcome = PlanOutcome.HEDGED
        else:
            outcome = PlanOutcome.FILLED
        self._end(plan, outcome, plan.reason, now_ns, out)

    def _fail(self, plan: PlanRecord, now_ns: int, out: Step) -> None:
        left = describe_open(plan, self._state.orders_of(plan))
        text = f"plan {plan.plan_id} leaves {left} unhedged after {plan.attempts} attempts"
        self._state.locked = self._state.locked or text  # a loss of data stays told
        alert(out, Severity.CRITICAL, "PLAN_FAILED", text, now_ns, plan.plan_id)
        self._end(plan, PlanOutcome.FAILED, text, now_ns, out)

    def _end(
        self, plan: PlanRecord, outcome: PlanOutcome, reason: str, now_ns: int, out: Step
    ) -> None:
        plan.wait_until_ns, plan.reason = 0, reason
        self._state.end_plan(plan, outcome, now_ns)
        self._ended.append(plan)
        self._counts[f"plans_{outcome.value.lower()}"] += 1
        out.messages.append(plan_done(self._state, plan, outcome, reason, now_ns))

    def _fee_bps(self, venue: str, instrument: str) -> Decimal:
        rules = self._markets.rules.get((venue, instrument))
        return rules.taker_fee_bps if rules else ZERO


def _pause_until_ns(orders: list[OrderRecord], hedge_deadline_ns: int) -> int:
    """Return when the next rebalancing order may go: books need time to show what is left of them.

    The pause doubles with every further weak attempt in a row, wherever it was, as far as all
    attempts find room before the deadline. After two that found no price the third one is under way
    180 ms after the fill at venues 20 ms away: a plan may be uneven for 250 ms.
    """
    attempts = [order for order in orders if order.purpose is not _LEG]
    if not attempts:
        return 0
    weak = 0
    for order in reversed(attempts):
        if not is_weak(order):
            break
        weak += 1
    pause_ns: int = REBALANCE_PAUSE_NS << max(0, weak - 1)
    over_ns = attempts[-1].ts_ended_ns or attempts[-1].ts_created_ns
    return over_ns + min(pause_ns, hedge_deadline_ns // ATTEMPTS_MAX)


def _take_round(plan: PlanRecord, approved: ApprovedPlan) -> None:
    """Note the round of a plan, and what that leaves unhedged before it, for it to even out."""
    plan.round_id, plan.is_directional = approved.round_id, approved.is_directional
    plan.is_closing = approved.intent is _CLOSE
    if approved.opening:
        plan.opening, plan.opening_cash = approved.opening, -approved.opening * plan.reference


def _values(approved: ApprovedPlan) -> dict[str, Decimal]:
    return {each.asset: each.price for each in approved.values}


def _reference(approved: ApprovedPlan) -> Decimal:
    """Return a price that makes sense: the dearest expected, so that no rest is valued too low."""
    dearest = ZERO
    for leg in approved.legs:
        dearest = max(dearest, leg.price_expected)
    return dearest
