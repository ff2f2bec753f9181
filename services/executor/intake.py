"""Checks on a plan before it is started: everything the venues would refuse anyway. Pure."""

from __future__ import annotations

import msgspec

from services.executor.market import Markets
from shared.domain.rounding import is_multiple, price_to_tick
from shared.messages.execution import ApprovedPlan, PlanLeg

LEGS_MAX = 8


def objection(plan: ApprovedPlan, markets: Markets) -> str:
    """Return why this plan cannot be executed here; empty if it can."""
    if not 1 <= len(plan.legs) <= LEGS_MAX:
        return f"{len(plan.legs)} legs; 1 to {LEGS_MAX} can be executed"
    for leg in plan.legs:
        if leg.venue not in markets.venues:
            return f"venue {leg.venue} is not traded here"
        rules = markets.rules.get((leg.venue, leg.instrument))
        if rules is None:
            return f"the rules of {leg.instrument} at {leg.venue} are not known yet"
        if not rules.active:
            return f"{leg.instrument} at {leg.venue} is not traded: {rules.reason}"
        if leg.qty <= 0 or not is_multiple(leg.qty, rules.lot_size):
            return f"{leg.qty} is not a multiple of {leg.venue}'s lot {rules.lot_size}"
    return ""


def on_grid(plan: ApprovedPlan, markets: Markets) -> list[PlanLeg]:
    """Return the legs with their limits on the venues' ticks, never beyond what was approved."""
    legs = []
    for leg in plan.legs:
        tick = markets.rules[leg.venue, leg.instrument].tick_size
        if is_multiple(leg.price_limit, tick):  # nearly always: it was a price of the venue's own
            legs.append(leg)
            continue
        price = price_to_tick(leg.price_limit, tick, leg.side, aggressive=False)
        legs.append(msgspec.structs.replace(leg, price_limit=price))
    return legs
