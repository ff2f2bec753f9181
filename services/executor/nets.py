"""What a plan has brought in and taken out, by asset. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from services.executor.order_record import OrderRecord
from services.executor.state import PlanRecord
from shared.domain.order import ZERO


def left_by_asset(plan: PlanRecord, orders: Sequence[OrderRecord]) -> dict[str, Decimal]:
    """Return what a plan has brought in of each asset but its quote asset; what is not zero."""
    if not plan.values:
        net = net_base(plan, orders)
        return {plan.base: net} if net else {}
    return {
        asset: net for asset, net in nets_of(plan, orders).items() if net and asset in plan.values
    }


def nets_of(plan: PlanRecord, orders: Sequence[OrderRecord]) -> dict[str, Decimal]:
    """Return what a plan of several assets has brought in of each; negative: taken out."""
    nets = dict(plan.openings)
    for order in orders:
        for asset, amount in order.flows:
            nets[asset] = nets.get(asset, ZERO) + amount
    return nets


def net_base(plan: PlanRecord, orders: Sequence[OrderRecord]) -> Decimal:
    """Return the plan's signed base exposure: fills, less fees charged in the base asset."""
    return sum((order.signed_base for order in orders), plan.opening_base)


def net_cash(plan: PlanRecord, orders: Sequence[OrderRecord]) -> Decimal:
    """Return quote units received less paid; exposure taken over counts at the reference price."""
    return sum((order.signed_cash for order in orders), -plan.opening_base * plan.reference)
