"""Orders that may only reduce a position: which are, and what their refusal leads to. Pure.

FLATTEN and the closing of a round send reduce-only orders in derivatives: what an earlier order, a
liquidation or somebody else has closed meanwhile cannot be closed twice, which would open a
position the other way. In a closing of a round they are only where the account as a whole is known
to hold so much: rounds of several strategies share one position, and one may close what the
other's has already offset there.

A refusal because nothing is left to reduce is a no to this one order. It says that the record and
the venue differ: positions and executions are read again before the plan does anything else.
"""

from __future__ import annotations

from services.executor.gateway import FillReport
from services.executor.state import ExecutorState, OrderRecord, PlanKind, PlanRecord
from shared.domain.accounting import holding_key
from shared.domain.instrument import is_spot
from shared.domain.order import ZERO
from shared.errors import Cause
from shared.messages.execution import OrderStatus
from shared.messages.terms import OrderTerms, is_same_side


def closes_position(plan: PlanRecord, instrument: str) -> bool:
    """Tell whether a plan trades an instrument to close a position in it, as FLATTEN does."""
    return plan.kind is PlanKind.FLATTEN and not is_spot(instrument)


def must_only_reduce(state: ExecutorState, plan: PlanRecord, terms: OrderTerms) -> bool:
    """Tell whether a plan's next order is to be reduce-only."""
    if closes_position(plan, terms.instrument):
        return True
    if not plan.is_closing or is_spot(terms.instrument):
        return False
    held = state.books.quantities.get(holding_key(terms.venue, terms.instrument), ZERO)
    if held * terms.side.signed(terms.qty) >= 0:
        return False
    closing = sum(
        (
            order.life.qty - order.life.filled_qty
            for order in state.orders.values()
            if not order.life.is_terminal and is_same_side(order, terms)
        ),
        ZERO,
    )
    return abs(held) - closing >= terms.qty


def had_nothing_to_reduce(order: OrderRecord) -> bool:
    """Tell whether the venue refused an order because no position is left to reduce."""
    is_refused = order.life.status is OrderStatus.REJECTED
    return is_refused and order.cause is Cause.NOTHING_TO_REDUCE


def take_over(state: ExecutorState, key: str, fill: FillReport) -> None:
    """Let plans that were to close a position not close what the venue has closed by itself.

    ``fill`` is what that was of ours. A FLATTEN has so much less to do; the closing of a round
    whose order was refused because of it counts it as its own.
    """
    for plan in state.open_plans():
        if plan.kind is PlanKind.FLATTEN and plan.holding == key and plan.opening:
            left = plan.opening + fill.side.signed(fill.qty)
            plan.opening_cash *= left / plan.opening
            plan.opening = left
            return
        for order in state.orders_of(plan) if plan.is_closing else ():
            if had_nothing_to_reduce(order) and holding_key(order.venue, order.instrument) == key:
                taken = order.side.signed(min(fill.qty, order.life.qty))
                plan.opening += taken
                plan.opening_cash -= taken * fill.price
                return
