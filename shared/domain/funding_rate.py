"""How a funding rate comes about: premium, interest, clamp, cap and floor. Pure, Decimal.

    F = P + clamp(I - P, -5 bps, +5 bps)      cut to the instrument's floor and cap

P is the average premium over the interval, I the interest: 1 bp for 8 hours. Within 5 bps of I the
rate is I exactly, so many rates are equal; compare them in whole steps of 1e-8 (``steps``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

INTEREST: Final = Decimal("0.0001")
"""For 8 hours."""
CLAMP: Final = Decimal("0.0005")
RATE_STEP: Final = Decimal("1e-8")
HOURS: Final = 8
"""The interval that interest and clamp are given for."""


class RateRule(NamedTuple):
    """How a venue makes the rate of one instrument.

    Attributes:
        interval_hours: From settlement to settlement.
        interest: For 8 hours.
        clamp: Of interest less premium, both ways.
        is_divided: Whether the whole sum is for 8 hours and divided by how many intervals those
            are; else the formula's result is the rate of the interval as it stands.
        cap: Highest rate of an interval; ``None`` where there is none.
        floor: Lowest.
    """

    interval_hours: int = HOURS
    interest: Decimal = INTEREST
    clamp: Decimal = CLAMP
    is_divided: bool = True
    cap: Decimal | None = None
    floor: Decimal | None = None

    def rate(self, premium: Decimal) -> Decimal:
        """Return the rate of one interval for an average premium, to 1e-8."""
        near = min(max(self.interest - premium, -self.clamp), self.clamp)
        rate = premium + near
        if self.is_divided:
            rate = rate * self.interval_hours / HOURS
        if self.cap is not None:
            rate = min(rate, self.cap)
        if self.floor is not None:
            rate = max(rate, self.floor)
        return rate.quantize(RATE_STEP)


def steps(rate: Decimal) -> int:
    """Return a rate as a whole number of 1e-8."""
    return int((rate / RATE_STEP).to_integral_value())


class WeightedPremium:
    """The average premium of an interval whose minute k weighs k: later minutes count for more.

    ``(sum of i * p_i up to now + p_now * sum of i still to come) / sum of all i``: what comes is
    taken to be like now, so the value moves by less and less. Minutes that were not seen count as
    still to come.

    Args:
        minutes: Of the interval.
    """

    def __init__(self, minutes: int) -> None:
        assert minutes > 0
        self._minutes = minutes
        self._sum = Decimal(0)
        self._weight = 0
        self._last = 0
        self._seen = 0
        self._now: Decimal | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether every minute was seen."""
        return self._seen == self._minutes

    @property
    def value(self) -> Decimal | None:
        """The average as it would be if nothing changed any more; ``None`` before any minute."""
        if self._now is None:
            return None
        whole = self._minutes * (self._minutes + 1) // 2
        return (self._sum + self._now * (whole - self._weight)) / whole

    def take(self, minute: int, premium: Decimal) -> bool:
        """Add a minute, counted from 1; ``False`` if it is not newer, or beyond the interval."""
        if not self._last < minute <= self._minutes:
            return False
        self._sum += minute * premium
        self._weight += minute
        self._last = minute
        self._seen += 1
        self._now = premium
        return True
