"""Checks that no plan takes from a venue what leaves it below its band, by the fills told.

What a venue holds is what it began with and what fills brought and took. What plans in flight may
still spend counts as gone, and what they bring in as not there yet, as risk counts it. Risk may not
have read the last fills yet, and fees are left out: half a band is allowed for that.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from shared.domain.instrument import is_spot, split_instrument
from shared.domain.inventory import VenueAsset
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent

if TYPE_CHECKING:
    from services.lab.world import World

ZERO: Final = Decimal(0)
BAND_SLACK: Final = Decimal("1.5")
"""A place may lose so many times its band, from its target."""
Amounts = dict[VenueAsset, Decimal]
"""Units by venue and asset."""


class InventoryChecker:
    """Watches plans in worlds that keep to what their accounts began with."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lows = {
            (each.venue, each.asset): each.target_qty - each.band_qty * BAND_SLACK
            for each in world.config.inventory.targets
            if each.target_qty is not None and each.band_qty is not None
        }

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check a plan that was approved now, before it counts among those in flight."""
        checkers = self._world.checkers
        if not self._lows or plan.intent is not Intent.INSTANT or checkers.has_lost_records:
            return
        moved: Amounts = defaultdict(Decimal)
        for leg in plan.legs:
            _add(moved, leg.venue, leg.instrument, leg.side.signed(leg.qty), leg.price_expected)
        free = self._free()
        for place, change in moved.items():
            low = self._lows.get(place)
            if low is not None and change < 0 and free[place] + change < low:
                text = f"plan {plan.plan_id} takes {-change} of {free[place]} at {place}"
                checkers.report("inventory_band", text)

    def _free(self) -> Amounts:
        """Return what each place holds, less what plans in flight may still spend."""
        checkers, free = self._world.checkers, defaultdict[VenueAsset, Decimal](Decimal)
        for venue, account in self._world.start_balances.items():
            for asset, qty in account.items():
                free[venue, asset] = qty
        done: dict[tuple[str, str, str, Side], Decimal] = defaultdict(Decimal)
        for fill in checkers.fills.values():
            _add(free, fill.venue, fill.instrument, fill.side.signed(fill.qty), fill.price)
            done[fill.plan_id, fill.venue, fill.instrument, fill.side] += fill.qty
        for plan in (p for p in checkers.plans.values() if p.plan_id not in checkers.done):
            for leg in plan.legs:
                left = leg.qty - done[plan.plan_id, leg.venue, leg.instrument, leg.side]
                spent: Amounts = defaultdict(Decimal)
                qty = leg.side.signed(max(ZERO, left))
                _add(spent, leg.venue, leg.instrument, qty, leg.price_limit)
                for place, amount in spent.items():
                    free[place] += min(ZERO, amount)
        return free


def _add(amounts: Amounts, venue: str, instrument: str, qty: Decimal, price: Decimal) -> None:
    """Add what a purchase (negative: a sale) does to both assets; a derivative moves neither."""
    if is_spot(instrument):
        name = split_instrument(instrument)
        amounts[venue, name.base] += qty
        amounts[venue, name.quote] -= qty * price
