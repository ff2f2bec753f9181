"""What a strategy that trades from inventory knows of it: the newest word of risk. Pure.

It is up to a second old, and plans approved since then are not in it: risk asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from shared.domain.inventory import Band, VenueAsset, plain
from shared.domain.skew import Change, Skew, SkewLimits, skew_of
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.inventory import InventoryTold

_ZERO: Final = Decimal(0)
_FIRST: Final = Decimal("1e-8")
"""Units by which the charge of the first unit is told."""


class KnownInventory:
    """What places hold, and what their bands ask of a trade that buys here and sells there."""

    def __init__(self) -> None:
        self._limits = SkewLimits(_ZERO, _ZERO)
        self._places: dict[VenueAsset, tuple[Decimal, Band]] = {}

    def __bool__(self) -> bool:
        """Tell whether any place is known; of others nothing is asked."""
        return bool(self._places)

    def take(self, told: InventoryTold) -> None:
        """Take risk's word for every place."""
        self._limits = SkewLimits(told.charge_bps_max, told.reward_bps_max)
        self._places = {
            (each.venue, each.asset): (each.held, Band(each.low, each.target, each.high))
            for each in told.places
        }

    def first_bps(self, taken: Sequence[VenueAsset], brought: Sequence[VenueAsset]) -> float:
        """Return what the first unit of a trade must earn more; negative: less."""
        moved = {**dict.fromkeys(taken, -_FIRST), **dict.fromkeys(brought, _FIRST)}
        return float(skew_of(self._changes(moved), self._limits).net_bps)

    def spare(self, place: VenueAsset) -> float:
        """Return what may be taken from a place until it is at the lower edge of its band."""
        known = self._places.get(place)
        return float("inf") if known is None else float(known[0] - known[1].low)

    def told(self, place: VenueAsset) -> tuple[object, ...]:
        """Return a place, what it holds and where its band begins, for a near miss."""
        held, band = self._places[place]
        return (*place, plain(held), plain(band.low))

    def asks(self, found: Opportunity) -> tuple[Skew, Change | None]:
        """Return what an opportunity of spot legs is charged, and what it takes below a band."""
        moved: dict[VenueAsset, Decimal] = {}
        for leg in found.legs:
            assert leg.cash_flow is not None
            qty = leg.qty if leg.side is Side.BUY else -leg.qty
            for asset, amount in ((found.base, qty), (found.quote, leg.cash_flow)):
                moved[leg.venue, asset] = moved.get((leg.venue, asset), _ZERO) + amount
        changes = self._changes(moved)
        below = next((each for each in changes if each.is_below_band), None)
        return skew_of(changes, self._limits), below

    def _changes(self, moved: dict[VenueAsset, Decimal]) -> list[Change]:
        return [
            Change(place, known[1], known[0], known[0] + amount)
            for place, amount in moved.items()
            if (known := self._places.get(place)) is not None
        ]
