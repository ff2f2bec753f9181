"""Venues that fill little of what their books show, or refuse; they are tried last. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from services.executor.order_record import OrderRecord
from shared.messages.execution import OrderPurpose, OrderStatus

WEAK_SHARE = Decimal("0.5")
"""A rebalancing order that filled less of its quantity than this was a weak attempt."""
WEAK_ATTEMPTS_MAX = 2
"""Weak attempts in a row at one venue before the others are tried first."""


def is_weak(order: OrderRecord) -> bool:
    """Tell whether an order that is over filled little of what the book had shown."""
    return order.life.filled_qty < order.life.qty * WEAK_SHARE


def weak_venues(orders: Sequence[OrderRecord]) -> dict[str, int]:
    """Return the venues to be passed over, with their weak attempts in a row.

    A refusal counts like as many as make a venue weak. A leg is no attempt to even out: only a
    refusal counts there.

    Args:
        orders: Of one plan, in the order they were made, all over.
    """
    weak: dict[str, int] = {}
    for order in orders:
        before = weak.get(order.venue, 0)
        if order.life.status in {OrderStatus.REJECTED, OrderStatus.NOT_SENT}:
            weak[order.venue] = before + WEAK_ATTEMPTS_MAX
        elif order.purpose is not OrderPurpose.LEG:
            weak[order.venue] = before + 1 if is_weak(order) else 0
    return {venue: count for venue, count in weak.items() if count >= WEAK_ATTEMPTS_MAX}
