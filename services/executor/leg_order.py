"""The order in which a plan sends its legs, and the quantity of the second one. Pure.

A plan whose policy is SEQUENTIAL sends the leg of the thinner book first: it is the one that is
more likely to fall short. The other follows when the first is over, for the quantity that
the first filled, rounded to lots of its own venue. The rest below a lot, and whatever the second
leg does not fill, is evened out like any uneven fill. After a restart no second leg is sent: it may
have been sent already without being on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.even_orders import OrderIntent
from services.executor.market import Markets
from services.executor.nets import net_base
from services.executor.order_record import OrderRecord
from services.executor.state import PlanRecord
from shared.domain.depth import exact_levels
from shared.domain.order import ZERO
from shared.domain.quantities import qty_of_base
from shared.domain.rounding import is_enough, qty_accepted
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, OrderPurpose, PlanLeg
from shared.messages.terms import LegPolicy

_CONCURRENT: Final = LegPolicy.CONCURRENT


def leg_intent(leg: PlanLeg) -> OrderIntent:
    """Return a leg as the order to be."""
    return OrderIntent(terms=leg.terms, fee_bps=leg.fee_bps, purpose=OrderPurpose.LEG)


def legs_in_turn(
    approved: ApprovedPlan, legs: Sequence[PlanLeg], markets: Markets, now_ns: int
) -> tuple[list[int], list[int]]:
    """Return the indexes of the legs to send now, and of those that wait until they are over."""
    indexes = list(range(len(legs)))
    if approved.policy is _CONCURRENT:
        return indexes, []
    indexes.sort(key=lambda index: _cover(legs[index], markets, now_ns))
    return indexes[:1], indexes[1:]


def following_leg(
    plan: PlanRecord, index: int, orders: Sequence[OrderRecord], markets: Markets
) -> OrderIntent | None:
    """Return the order of the second leg, ``None`` where the first left it nothing to trade.

    It is for what is open now, on the side that evens that out, and no more than its plan says.
    """
    leg = plan.legs[index]
    rules = markets.rules.get(leg.market)
    net = net_base(plan, orders)
    if rules is None or not rules.active or not net or (net > 0) is (leg.side is Side.BUY):
        return None
    wanted = qty_of_base(leg.instrument, abs(net), leg.inverse_entry or leg.price_expected)
    qty = qty_accepted(rules, min(leg.qty, wanted))
    if qty <= 0 or not is_enough(rules, qty, leg.price_limit):
        return None
    intent = leg_intent(leg)
    terms = msgspec.structs.replace(intent.terms, qty=qty)
    return msgspec.structs.replace(intent, terms=terms)


def _cover(leg: PlanLeg, markets: Markets, now_ns: int) -> Decimal:
    """Return how many times the book has what a leg takes within its limit."""
    view = markets.live_view(leg.market, now_ns)
    if view is None:
        return ZERO
    levels = view.asks if leg.side is Side.BUY else view.bids
    there = ZERO
    for price, qty in exact_levels(levels, len(levels)):
        beyond = price > leg.price_limit if leg.side is Side.BUY else price < leg.price_limit
        there += ZERO if beyond else qty
    return there / leg.qty
