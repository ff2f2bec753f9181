"""Whether an order can be that of its plan, as it was approved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from services.risk.reservations import Reservation
from shared.domain.instrument import split_instrument
from shared.domain.quantities import is_inverse, worth_of
from shared.messages.execution import OrderEvent, OrderPurpose
from shared.messages.terms import LegPolicy, is_same_side
from shared.wording import counted


def order_flaw(held: Reservation, event: OrderEvent, against: Mapping[str, Decimal]) -> str:
    """Return how an order differs from what was approved; rebalancing need only be in bounds.

    ``against`` is what the plan has filled on the other side, by instrument. It can be more than
    its legs: orders reported to have ended without a fill were replaced, and filled after all.
    Where inverse contracts are among them, all counts in quote units at the dearest limit.
    """
    legs = held.legs
    if event.purpose is OrderPurpose.LEG:
        if event.leg_index >= len(legs):
            return f"its plan has {counted(len(legs), 'leg')}"
        leg = legs[event.leg_index].terms
        agrees = is_same_side(leg, event) and leg.qty == event.qty
        if held.policy is not LegPolicy.CONCURRENT and not leg.rests:
            # It is of what the other one has filled.
            agrees = is_same_side(leg, event) and event.qty <= leg.qty
        return "" if agrees else f"its leg is {leg.text}"
    if split_instrument(event.instrument).base != held.base:
        return f"its plan trades {held.base}"
    qty, most = event.qty, abs(held.opening)
    if any(is_inverse(leg.terms.instrument) for leg in legs):
        price = max(leg.terms.price_limit for leg in legs)
        qty = worth_of(event.instrument, qty, price)
        most *= price
        for each in legs:
            most += worth_of(each.terms.instrument, each.terms.qty, price)
        for instrument, filled in against.items():
            most += worth_of(instrument, filled, price)
    else:
        most = sum((leg.terms.qty for leg in legs), most + sum(against.values()))
    return "" if qty <= most else f"its plan evens out {most} at most"
