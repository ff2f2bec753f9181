"""Whether an order can even out a plan of several assets, as it was approved. Pure."""

from __future__ import annotations

from decimal import Decimal

from services.risk.reservations import Reservation
from shared.domain.instrument import is_spot, split_instrument
from shared.messages.base import Side
from shared.messages.execution import OrderEvent

ZERO = Decimal(0)


def path_order_flaw(held: Reservation, event: OrderEvent, filled: Decimal) -> str:
    """Return why a rebalancing order cannot be one of a plan's; empty if it can.

    It trades an asset of the plan against its quote asset, or against another of it where an
    executor that has lost the plan found its orders; and no more of it than the legs may move in
    and out. What the plan has filled there already may have been replaced by mistake (reported to
    have ended without a fill), and comes on top.

    Args:
        held: The plan.
        event: The order.
        filled: Base units booked of the plan's orders in the same instrument.
    """
    base, quote, _ = split_instrument(event.instrument)
    is_turned = base == held.quote
    asset = quote if is_turned else base
    if not is_spot(event.instrument) or not {base, quote} <= {held.quote, *held.values}:
        return f"its plan trades {', '.join(held.values)} against {held.quote}"
    most = ZERO
    for leg in held.legs:
        names = split_instrument(leg.terms.instrument)
        if names.base == asset:
            most += leg.terms.qty
        elif names.quote == asset:
            most += leg.notional if leg.terms.side is Side.SELL else leg.amount
    if is_turned:
        most *= held.values[asset]
    most = 2 * most + filled
    return "" if event.qty <= most else f"its plan evens out {most} at most"
