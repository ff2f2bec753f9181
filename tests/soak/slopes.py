"""How fast something grows: least squares over the longest undisturbed stretch. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

POINTS_MIN = 5
HOURS_MIN = 0.5
"""What grows in less than that may still be filling caches: no limit is held against it."""
SURE = 2.0
"""A slope is taken to be within so many of its standard errors."""
WARM_UP_S_MAX = 3_600.0
WARM_UP_SHARE = 0.5
"""Of a stretch, up to an hour, is left out: bounded memories and streams fill."""


class Point(NamedTuple):
    """``epoch`` changes where another process took the place of the one before."""

    at_s: float
    value: float
    epoch: int


class Slope(NamedTuple):
    """Growth per hour, give or take ``noise`` (``SURE`` standard errors), over ``hours``."""

    per_h: float
    noise: float
    hours: float
    points: int

    def verdict(self, limit: float) -> str:
        """Tell whether growth stays below a limit: yes, no, or more time is needed."""
        if self.hours < HOURS_MIN:
            return "not decided"
        if self.per_h + self.noise < limit:
            return "pass"
        return "FAIL" if self.per_h - self.noise >= limit else "not decided"


def longest(points: Sequence[Point]) -> list[Point]:
    """Return the longest stretch of one epoch, in time."""
    stretches: list[list[Point]] = []
    for point in points:
        if not stretches or stretches[-1][-1].epoch != point.epoch:
            stretches.append([])
        stretches[-1].append(point)
    return max(stretches, key=lambda each: each[-1].at_s - each[0].at_s, default=[])


def warm(stretch: Sequence[Point]) -> list[Point]:
    """Return a stretch without its warm-up."""
    if not stretch:
        return []
    length_s = stretch[-1].at_s - stretch[0].at_s
    from_s = stretch[0].at_s + min(WARM_UP_S_MAX, WARM_UP_SHARE * length_s)
    return [point for point in stretch if point.at_s >= from_s]


def slope(points: Sequence[Point]) -> Slope | None:
    """Return the growth per hour of what remains warm of the longest stretch.

    ``None`` where there are too few points. The noise takes residuals as independent; where they
    come in waves the true one is larger.
    """
    used = warm(longest(points))
    if len(used) < POINTS_MIN:
        return None
    n = len(used)
    hours = [point.at_s / 3_600 for point in used]
    mean_t, mean_y = math.fsum(hours) / n, math.fsum(p.value for p in used) / n
    spread = math.fsum((t - mean_t) ** 2 for t in hours)
    if spread == 0:
        return None
    per_h = (
        math.fsum((t - mean_t) * (p.value - mean_y) for t, p in zip(hours, used, strict=True))
        / spread
    )
    rest = math.fsum(
        (p.value - mean_y - per_h * (t - mean_t)) ** 2 for t, p in zip(hours, used, strict=True)
    )
    noise = SURE * math.sqrt(rest / (n - 2) / spread)
    return Slope(per_h, noise, hours[-1] - hours[0], n)
