"""How much more a trade must earn as it empties a venue, and less as it fills one again. Pure.

Of each venue and asset with a target, a trade that takes from it is charged the mean, over every
unit that it takes, of a ramp that rises from 0 at the target to ``charge_bps_max`` at the lower
edge of the band:

    depth(h)  = (target - h) / (target - low), from 0 to 1       how far towards the lower edge
    height(h) = (h - target) / (high - target), from 0 to 1      how far towards the upper edge
    charge    = charge_bps_max * mean of depth over what is held on the way from before to after

What takes from a venue above its target, or brings to one below it, is rewarded in the same way,
over ``height`` or ``depth`` with ``reward_bps_max``; all rewards of a trade together are no more
than ``reward_bps_max``. What ends below the lower edge of the band of a place it takes from is not
to be made at all. That a place holds more than its band stops nothing: it is no danger to a trade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final, NamedTuple

from shared.domain.inventory import Band, VenueAsset

_ZERO: Final = Decimal(0)
_NONE: Final = Fraction(0)
_DECIMALS: Final = 8


class SkewLimits(NamedTuple):
    """Basis points of a trade: the most that one place may charge, and that all may reward."""

    charge_bps_max: Decimal
    reward_bps_max: Decimal


class Change(NamedTuple):
    """What a trade does to one place, in units of its asset."""

    place: VenueAsset
    band: Band
    before: Decimal
    after: Decimal

    @property
    def is_taken(self) -> bool:
        """Whether it takes from the place."""
        return self.after < self.before

    @property
    def is_below_band(self) -> bool:
        """Whether it takes from the place and leaves it below its band."""
        return self.is_taken and self.after < self.band.low

    @property
    def qty_short(self) -> Decimal:
        """Units that it takes from below the target: what has to be brought back one day."""
        return max(_ZERO, min(self.before, self.band.target) - self.after)


class Skew(NamedTuple):
    """What a trade is charged and rewarded for what it does to inventory, basis points.

    ``charge_bps`` is rounded up and ``reward_bps`` down, to eight decimals.
    """

    charge_bps: Decimal
    reward_bps: Decimal

    @property
    def net_bps(self) -> Decimal:
        """What the least edge of the trade rises by; negative: falls."""
        return self.charge_bps - self.reward_bps


def skew_of(changes: Iterable[Change], limits: SkewLimits) -> Skew:
    """Return what a trade is charged and rewarded.

    Args:
        changes: One of each place with a target that it takes from or brings to.
        limits: The most of both.
    """
    most_charge, most_reward = Fraction(limits.charge_bps_max), Fraction(limits.reward_bps_max)
    charge = reward = _NONE
    for place in changes:
        taken = Fraction(place.before) - Fraction(place.after)
        if not taken:
            continue
        depth = (_below(place.after, place.band) - _below(place.before, place.band)) / taken
        if taken > 0:
            height = _above(place.before, place.band) - _above(place.after, place.band)
            charge += most_charge * depth
            reward += most_reward * height / taken
        else:
            reward += most_reward * depth
    return Skew(_grid(ceil, charge), _grid(floor, min(reward, most_reward)))


def _below(held: Decimal, band: Band) -> Fraction:
    """Return the area under ``depth`` from what is held up to the target."""
    return _area(band.target - held, band.target - band.low)


def _above(held: Decimal, band: Band) -> Fraction:
    """Return the area under ``height`` from the target up to what is held."""
    return _area(held - band.target, band.high - band.target)


def _area(off: Decimal, width: Decimal) -> Fraction:
    """Return the area under a ramp of slope ``1 / width`` up to 1, and 1 from there on."""
    if off <= 0:
        return _NONE
    exact_off, exact_width = Fraction(off), Fraction(width)
    if off >= width:
        return exact_off - exact_width / 2
    return exact_off * exact_off / (2 * exact_width)


def _grid(rounded: Callable[[Fraction], int], bps: Fraction) -> Decimal:
    return Decimal(rounded(bps * 10**_DECIMALS)).scaleb(-_DECIMALS)
