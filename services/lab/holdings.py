"""What fills that were told have made, and what plans in flight may still add, by the lab's view.

Spot of an asset is one holding over all venues, a derivative one at its own venue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from shared.domain.instrument import is_spot, split_instrument
from shared.domain.quantities import base_of, worth_of
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, PlanLeg

if TYPE_CHECKING:
    from services.lab.checkers import Checkers

ZERO: Final = Decimal(0)
Place = tuple[str, str]
"""An asset, and where it is held: empty for spot, ``venue|instrument`` for a derivative."""
Held = dict[Place, Decimal]
"""Signed base units by place."""
Flows = list[tuple[Place, Decimal]]
"""Of each order its place, and the signed base units that it brings."""


def place_of(venue: str, instrument: str) -> Place:
    """Return where a fill in an instrument is held."""
    base = split_instrument(instrument).base
    return base, "" if is_spot(instrument) else f"{venue}|{instrument}"


def signed_base(leg: PlanLeg, qty: Decimal) -> Decimal:
    """Return the signed base units that ``qty`` of a leg brings."""
    return leg.side.signed(base_of(leg.instrument, qty, leg.price_limit)) if qty else ZERO


def held_by_fills(checkers: Checkers) -> Held:
    """Return what the fills that were told made, by place."""
    held: Held = defaultdict(Decimal)
    for fill in checkers.fills.values():
        place = place_of(fill.venue, fill.instrument)
        held[place] += fill.side.signed(base_of(fill.instrument, fill.qty, fill.price))
    return held


def plans_in_flight(checkers: Checkers) -> list[ApprovedPlan]:
    """Return the plans that were approved and have not ended."""
    return [plan for plan in checkers.plans.values() if plan.plan_id not in checkers.done]


def flows_in_flight(checkers: Checkers) -> Flows:
    """Return what the legs of plans that have not ended may still fill, by place."""
    done: dict[tuple[str, str, str, Side], Decimal] = defaultdict(Decimal)
    for fill in checkers.fills.values():
        done[fill.plan_id, fill.venue, fill.instrument, fill.side] += fill.qty
    flows: Flows = []
    for plan in plans_in_flight(checkers):
        for leg in plan.legs:
            left = leg.qty - done[plan.plan_id, leg.venue, leg.instrument, leg.side]
            place = place_of(leg.venue, leg.instrument)
            flows.append((place, signed_base(leg, max(ZERO, left))))
    return flows


def flows_of(plan: ApprovedPlan) -> Flows:
    """Return what all legs of a plan bring, by place."""
    return [(place_of(leg.venue, leg.instrument), signed_base(leg, leg.qty)) for leg in plan.legs]


def worst(now: Decimal, amounts: Iterable[Decimal]) -> Decimal:
    """Return the most that is held, long or short, if only purchases fill, or only sales."""
    amounts = list(amounts)
    bought = sum((each for each in amounts if each > 0), ZERO)
    sold = sum((each for each in amounts if each < 0), ZERO)
    return max(abs(now), abs(now + bought), abs(now + sold))


def worth_of_side(legs: Iterable[PlanLeg], side: Side) -> Decimal:
    """Return what the legs of a side are worth at their expected prices, in quote units."""
    of_side = (leg for leg in legs if leg.side is side)
    return sum((worth_of(leg.instrument, leg.qty, leg.price_expected) for leg in of_side), ZERO)
