"""The rules on plans of which a leg rests, and on those that could meet one. Pure.

A quote takes no prices from others, so it counts neither among the plans in flight nor against
their pairs. It has a bound of its own, one place on each side of a book, and what would trade with
it is denied. All this holds until its plan has ended, which is when its cancel is settled and its
fills are hedged; only then may it be quoted again.
"""

from __future__ import annotations

from typing import Final

from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.instrument import is_spot
from shared.messages.rounds import Intent
from shared.messages.terms import OrderTerms, TimeInForce, would_meet

_POST_ONLY: Final = TimeInForce.PO
_IOC: Final = TimeInForce.IOC


def may_rest(context: DecisionContext) -> Denial | None:
    """One of two spot legs rests, and its strategy may have that; or none does."""
    found = context.opportunity
    if found.resting is None:
        return None
    kinds = {leg.time_in_force for leg in found.legs}
    venues = {leg.venue for leg in found.legs}
    is_plain = found.intent is Intent.INSTANT and not found.values and len(found.legs) == 2
    is_right = kinds == {_POST_ONLY, _IOC} and len(venues) == 2
    if is_plain and is_right and all(is_spot(leg.instrument) for leg in found.legs):
        if context.wants_resting:
            return None
        return deny(DenyReason.ORDER_KIND, strategy=found.strategy_id, legs="not maker-taker")
    text = ", ".join(f"{leg.text} {leg.kind}" for leg in found.legs)
    return deny(DenyReason.ORDER_KIND, legs=text)


def resting_orders(context: DecisionContext) -> Denial | None:
    """A bounded number at a time, and one on each side of a book."""
    if context.opportunity.resting is None:
        return None
    limit = context.config.resting_orders_max
    held = [plan for plan in context.ledger.reservations.values() if plan.resting is not None]
    wanted = [leg.offered for leg in context.legs if leg.offered.rests]
    for plan in held:
        for leg in plan.legs:
            terms = leg.terms
            if terms.rests and any(_is_same_place(terms, other) for other in wanted):
                return deny(DenyReason.RESTING_ORDERS, plan_id=plan.plan_id, order=terms.text)
    if len(held) >= limit:
        return deny(DenyReason.RESTING_ORDERS, resting=len(held), max=limit)
    return None


def self_trade(context: DecisionContext) -> Denial | None:
    """No order trades with one of our own that rests, or that will rest.

    This holds across accounts at the same venue, too.
    """
    for leg in context.legs:
        for held in context.held:
            if would_meet(leg.offered, held.terms, context.same_books):
                return deny(
                    DenyReason.SELF_TRADE,
                    order=leg.offered.text,
                    price=leg.offered.price_limit,
                    own=held.terms.text,
                    own_price=held.terms.price_limit,
                )
    return None


def _is_same_place(one: OrderTerms, other: OrderTerms) -> bool:
    return one.market == other.market and one.side is other.side
