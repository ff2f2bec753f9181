"""Inventory: what each venue should hold of each asset, and whether it does. Pure, Decimal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.fees import MONEY_STEP

_ZERO: Final = Decimal(0)
_WIDE = Context(prec=700)
VenueAsset = tuple[str, str]
"""Venue and asset."""


class Target(NamedTuple):
    """What a venue should hold of an asset, and by how much it may be off in either direction.

    Attributes:
        venue: Its configured name.
        asset: What it is about.
        amount: Units of the asset; or a share (1 is all) of what all venues with a target for it
            hold together.
        band: In the same unit.
        is_share: Which of both.
    """

    venue: str
    asset: str
    amount: Decimal
    band: Decimal
    is_share: bool

    @property
    def venue_asset(self) -> VenueAsset:
        """Venue and asset."""
        return self.venue, self.asset


class Held(NamedTuple):
    """Units of an asset at a venue: ``free`` may leave now, ``used`` (in orders, ...) may not."""

    free: Decimal
    used: Decimal = _ZERO

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.free + self.used


class Band(NamedTuple):
    """A target in units of the asset, with what is still right below and above it."""

    low: Decimal
    target: Decimal
    high: Decimal

    def holds(self, qty: Decimal) -> bool:
        """Tell whether a quantity lies within it; both ends do."""
        return self.low <= qty <= self.high


def band_of(target: Target, total: Decimal) -> Band:
    """Return a target in units.

    Args:
        target: As configured.
        total: What all venues with a target for the asset hold together.
    """
    unit = total if target.is_share else Decimal(1)
    middle, off = target.amount * unit, target.band * unit
    return Band(max(_ZERO, middle - off), middle, middle + off)


def totals_of(targets: Iterable[Target], after: Mapping[VenueAsset, Decimal]) -> dict[str, Decimal]:
    """Return what the venues with a target hold together, by asset."""
    totals: dict[str, Decimal] = {}
    for target in targets:
        totals[target.asset] = totals.get(target.asset, _ZERO) + after[target.venue_asset]
    return totals


class Stock:
    """What each venue holds while steps are planned, and how far its bands let it change.

    What arrives counts as held and is not given away again: every step uses only what is free now,
    so all steps can be carried out at the same time and in any order.

    Args:
        targets: As configured.
        held: VenueAsset -> what is there; an asset that is missing at a known venue is not there.
        unknown: Venues whose balances are not known.
        totals: Asset -> least and most that its venues may hold together once fees are paid.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        held: Mapping[VenueAsset, Held],
        unknown: frozenset[str],
        totals: Mapping[str, tuple[Decimal, Decimal]],
    ) -> None:
        self.unknown = unknown
        self.after = {place: each.total for place, each in held.items()}
        self.free = {place: max(_ZERO, each.free) for place, each in held.items()}
        self.bands: dict[VenueAsset, Band] = {}
        self.closed: set[VenueAsset] = set()
        for target in targets:
            if target.venue in unknown or (target.is_share and target.asset not in totals):
                self.closed.add(target.venue_asset)
                continue
            least, most = totals.get(target.asset, (_ZERO, _ZERO))
            band = band_of(target, most)
            self.bands[target.venue_asset] = band._replace(high=band_of(target, least).high)

    def copy(self) -> Stock:
        """Return the same again, to try steps on."""
        made = Stock((), {}, self.unknown, {})
        made.after, made.free = dict(self.after), dict(self.free)
        made.bands, made.closed = self.bands, self.closed
        return made

    def holds(self, place: VenueAsset) -> Decimal:
        """Return what a place holds once the steps so far are carried out."""
        return self.after.get(place, _ZERO)

    def spare(self, place: VenueAsset) -> Decimal:
        """Return what may still leave: what is free now, and not below the band."""
        if place[0] in self.unknown or place in self.closed:
            return _ZERO
        free, band = self.free.get(place, _ZERO), self.bands.get(place)
        return free if band is None else max(_ZERO, min(free, self.holds(place) - band.low))

    def room(self, place: VenueAsset) -> Decimal | None:
        """Return what may still come without leaving the band; ``None``: any quantity."""
        if place[0] in self.unknown or place in self.closed:
            return _ZERO
        band = self.bands.get(place)
        return None if band is None else max(_ZERO, band.high - self.holds(place))

    def missing(self, place: VenueAsset) -> Decimal:
        """Return how far below its band a place is."""
        band = self.bands.get(place)
        return _ZERO if band is None else max(_ZERO, band.low - self.holds(place))

    def excess(self, place: VenueAsset) -> Decimal:
        """Return how far above its band a place is."""
        band = self.bands.get(place)
        return _ZERO if band is None else max(_ZERO, self.holds(place) - band.high)

    def to_target(self, giver: VenueAsset, taker: VenueAsset) -> Decimal:
        """Return what would bring one of both to its target and neither beyond."""
        over = self.bands[giver], self.bands[taker]
        surplus = self.holds(giver) - over[0].target
        return max(_ZERO, min(surplus, over[1].target - self.holds(taker)))

    def take(self, place: VenueAsset, qty: Decimal) -> None:
        """Count a quantity that leaves."""
        self.after[place] = self.holds(place) - qty
        self.free[place] = self.free.get(place, _ZERO) - qty

    def put(self, place: VenueAsset, qty: Decimal) -> None:
        """Count a quantity that arrives."""
        self.after[place] = self.holds(place) + qty


def grid_up(qty: Decimal) -> Decimal:
    """Return a quantity rounded up to eight decimals."""
    return qty.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)


def grid_down(qty: Decimal) -> Decimal:
    """Return a quantity rounded down to eight decimals."""
    return qty.quantize(MONEY_STEP, ROUND_DOWN, _WIDE)


def plain(qty: Decimal) -> str:
    """Return a quantity with at most eight decimals, without zeros at its end."""
    text = format(grid_down(qty), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
