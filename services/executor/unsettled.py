"""Orders whose outcome a venue does not report, and what that leaves open at worst. Pure.

Quantities are known before an order is sent, so the unknown is bounded: each such order has filled
between nothing more and all that is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.executor.nets import net_base
from services.executor.order_record import OrderRecord
from services.executor.several import open_at_worst_by_asset
from services.executor.state import ExecutorState, PlanRecord
from shared.domain.order import ZERO
from shared.messages.base import Side

UNSETTLED_NS_MAX: Final = 30_000_000_000
"""An order in doubt for so long is overdue, though it was asked for a few times only: a venue that
lets every question wait would make the count take minutes."""
OVERDUE_QUERIES_MIN: Final = 4


def is_overdue(order: OrderRecord, queries_max: int, now_ns: int) -> bool:
    """Tell whether a venue should have reported the outcome of an order by now."""
    if order.life.is_settled or order.may_rest(now_ns):
        return False
    is_old = now_ns - max(order.ts_created_ns, order.rest_until_ns) >= UNSETTLED_NS_MAX
    return order.queries >= (min(OVERDUE_QUERIES_MIN, queries_max) if is_old else queries_max)


def open_at_worst(plan: PlanRecord, orders: Sequence[OrderRecord]) -> str:
    """Describe which orders of a plan are not settled and how much may be unhedged at most."""
    told = []
    if plan.values:
        parts = [o.terms.text + f" is {o.life.status}" for o in orders if not o.life.is_settled]
        open_, worth = open_at_worst_by_asset(plan, orders)
        amounts = ", ".join(f"{qty.normalize():f} {asset}" for asset, qty in open_.items() if qty)
        return f"{', '.join(parts)}; up to {amounts} not hedged, {worth:,.2f} {plan.quote}"
    least = most = net_base(plan, orders)
    for order in (order for order in orders if not order.life.is_settled):
        told.append(f"{order.terms.text} is {order.life.status}")
        left = ZERO if order.life.is_terminal else order.life.qty - order.life.filled_qty
        left = order.base_of(left)
        if order.side is Side.BUY:
            most += left
        else:
            least -= left
    worst = max(abs(least), abs(most))
    return (
        f"{', '.join(told)}; up to {worst.normalize():f} {plan.base} not hedged, "
        f"{worst * plan.reference:,.2f} {plan.quote}"
    )


def unsettled_at(state: ExecutorState, venue: str) -> str:
    """Describe what a venue that cannot be asked leaves unknown; empty if nothing."""
    told = []
    for plan in state.open_plans():
        orders = state.orders_of(plan)
        if any(order.venue == venue and not order.life.is_settled for order in orders):
            told.append(open_at_worst(plan, orders))
    return f"; exposure unknown: {'; '.join(told)}" if told else ""


def plans_waiting(state: ExecutorState) -> dict[str, str]:
    """Return the open plans that only wait for venues which stand down, and what is open."""
    waiting = {}
    for plan in state.open_plans() if state.down else ():
        orders = state.orders_of(plan)
        unsettled = [order for order in orders if not order.life.is_settled]
        if unsettled and all(order.venue in state.down for order in unsettled):
            waiting[plan.plan_id] = open_at_worst(plan, orders)
    return waiting
