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

from collections.abc import Iterable
from decimal import Decimal
from math import lcm
from typing import Final, NamedTuple

from shared.domain.inventory import Band, VenueAsset

_ZERO: Final = Decimal(0)
_DECIMALS: Final = 8
_GRID: Final = 10**_DECIMALS
_Ratio = tuple[int, int]
"""What is above the line and what below it, not in lowest terms; below it is more than 0."""
_NONE: Final[_Ratio] = (0, 1)
_ONE: Final[_Ratio] = (1, 1)


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

    Exact, in whole numbers: fractions that are kept in lowest terms took most of a decision's time.

    Args:
        changes: One of each place with a target that it takes from or brings to.
        limits: The most of both.
    """
    charge = reward = _NONE
    for place in changes:
        before, after, low, target, high = _whole(place)
        taken = before - after
        if not taken:
            continue
        depth = _mean(target - before, target - after, target - low, taken)
        if taken > 0:
            charge = _plus(charge, depth)
            reward = _plus(reward, _mean(after - target, before - target, high - target, taken))
        else:
            reward = _plus(reward, depth)
    if reward[0] > reward[1]:
        reward = _ONE
    most_charge, most_reward = (most.as_integer_ratio() for most in limits)
    return Skew(
        _grid(-(-charge[0] * most_charge[0] * _GRID // (charge[1] * most_charge[1]))),
        _grid(reward[0] * most_reward[0] * _GRID // (reward[1] * most_reward[1])),
    )


def _whole(place: Change) -> tuple[int, ...]:
    """Return what is held before and after, and the band, as multiples of one common unit."""
    band = place.band
    ratios = [
        qty.as_integer_ratio()
        for qty in (place.before, place.after, band.low, band.target, band.high)
    ]
    unit = lcm(*[below for _, below in ratios])
    return tuple(above * (unit // below) for above, below in ratios)


def _mean(off_from: int, off_to: int, width: int, taken: int) -> _Ratio:
    """Return the mean of a ramp on the way between two distances from the target.

    The ramp rises from 0 at the target, and below it, to 1 at ``width``, and stays there.
    """
    scale = width or 1
    area = _area(off_to, width, scale) - _area(off_from, width, scale)
    below = 2 * scale * taken
    return (area, below) if below > 0 else (-area, -below)


def _area(off: int, width: int, scale: int) -> int:
    """Return the area under the ramp up to a distance, times twice the ``scale``."""
    if off <= 0:
        return 0
    return off * off if off < width else (2 * off - width) * scale


def _plus(one: _Ratio, other: _Ratio) -> _Ratio:
    return one[0] * other[1] + other[0] * one[1], one[1] * other[1]


def _grid(units: int) -> Decimal:
    return Decimal(units).scaleb(-_DECIMALS)
