"""Checks sequential legs: the second is sent once the first is known, for its fill."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from services.executor.ids import parse_client_order_id, plan_key
from services.executor.intake import PRICE_BAND
from shared.accounts.gateway import OrderRequest
from shared.domain.instrument import split_instrument
from shared.domain.order import TERMINAL, ZERO
from shared.domain.quantities import base_of, is_inverse
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, OrderPurpose, OrderStatus
from shared.messages.terms import LegPolicy, Traded, is_same_side

if TYPE_CHECKING:
    from services.lab.world import World


class LegsChecker:
    """Watches the orders of plans whose policy is SEQUENTIAL."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: dict[str, ApprovedPlan] = {}
        self._first: dict[str, str] = {}
        """Key of a plan -> the order of the leg that went first."""
        self.followed = 0
        """Second legs that were sent."""

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Note a plan that was approved."""
        if plan.policy is LegPolicy.SEQUENTIAL:
            self._plans[plan_key(plan.plan_id)] = plan

    def on_submit(self, order: OrderRequest) -> None:
        """Check an order before it is sent."""
        parsed = parse_client_order_id(order.client_order_id)
        plan = self._plans.get(parsed[0]) if parsed else None
        if parsed is None or plan is None or order.purpose is not OrderPurpose.LEG:
            return
        first = self._first.setdefault(parsed[0], order.client_order_id)
        if first == order.client_order_id:
            return
        self.followed += 1
        told = self._world.checkers.orders.get(first)
        if told is None or told.status not in TERMINAL:
            self.report(f"{order.client_order_id} was sent before {first} was known")
        qty = ZERO if told is None else told.filled_qty + self._closed_by_venue(told, plan)
        filled = abs(plan.opening) + self._fees_in_base(first)
        filled += ZERO if told is None else _coins(plan, told, qty, least=False)
        wanted = _coins(plan, order.terms, order.terms.qty, least=True)
        if wanted > filled:
            self.report(f"{order.client_order_id} is for {wanted}, {first} filled {filled}")

    def _fees_in_base(self, order_id: str) -> Decimal:
        """Return what an order paid in its base asset: the other leg buys that as well."""
        fills = self._world.checkers.fills.values()
        fees = [f.fee for f in fills if f.client_order_id == order_id and _is_in_base(f) and f.fee]
        return sum(fees, ZERO)

    def _closed_by_venue(self, first: OrderEvent | None, plan: ApprovedPlan) -> Decimal:
        """Return what the venue closed by itself of what a first leg was to close.

        Where the leg was refused because of it, it counts as what the leg filled.
        """
        is_refused = first is not None and first.status is OrderStatus.REJECTED
        if first is None or not is_refused or not first.reduce_only:
            return ZERO
        closed = (
            fill.qty
            for fill in self._world.checkers.fills.values()
            if fill.reduced_by and fill.ts_ns >= plan.ts_ns and is_same_side(fill, first)
        )
        return min(first.qty, sum(closed, ZERO))

    def report(self, text: str) -> None:
        """Note a violation."""
        self._world.checkers.report("legs_in_turn", text)


def _is_in_base(fill: Fill) -> bool:
    return fill.fee_asset == split_instrument(fill.instrument).base


def _coins(plan: ApprovedPlan, traded: Traded, qty: Decimal, *, least: bool) -> Decimal:
    """Return the base units that a quantity is to a plan.

    Contracts that open count at the prices of their fills: within what an order may be away from
    what its leg expects, the least or the most that they can be.
    """
    if not is_inverse(traded.instrument):
        return qty
    leg = next(leg for leg in plan.legs if leg.market == (traded.venue, traded.instrument))
    price = leg.price_expected * (1 + PRICE_BAND if least else 1 - PRICE_BAND)
    return base_of(traded.instrument, qty, leg.inverse_entry or price)
