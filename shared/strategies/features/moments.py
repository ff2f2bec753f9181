"""Mean and variance over a window, from sums that neither drift nor cancel. Pure.

The naive Σx² - (Σx)²/n loses everything at prices: for a deviation of 0.01 at 60,000 it is 20 % off
after 100 values. Here sums are kept of the distances from a value within the window, in two floats
each, and begin again every ``REBASE`` updates or when the window has moved away from that value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shared.strategies.features.windows import LastN, Window

REBASE = 4_096
"""Updates after which the sums are made again from the window."""
FAR = 1_000.0
"""Sum of squares over what is left of it, from which on the reference is too far away."""


class ExactSum:
    """A sum to which values are added and from which they are taken, kept in two floats."""

    __slots__ = ("_high", "_low")

    def __init__(self) -> None:
        self._high = self._low = 0.0

    def add(self, value: float) -> None:
        """Add a value; a negative one takes it away."""
        high = self._high
        total = high + value
        part = total - high
        self._low += (high - (total - part)) + (value - part)
        self._high = total

    @property
    def value(self) -> float:
        """The sum."""
        return self._high + self._low


class Moments:
    """Mean and variance of the values in a window.

    Args:
        window: ``LastN(...)`` or ``Window(...)``, empty and not used by anything else.
    """

    def __init__(self, window: LastN | Window) -> None:
        self._window = window
        self._count = self._updates = 0
        self._reference = 0.0
        self._sum, self._squares = ExactSum(), ExactSum()

    def update(self, value: float, ts_ns: int = 0) -> None:
        """Take a value in; ``ts_ns`` matters to a window of time."""
        if not math.isfinite(value):
            self._window.refused += 1
            return
        window = self._window
        if isinstance(window, Window):
            late = window.late
            gone = window.update(value, ts_ns)
            if window.late != late:
                return
        else:
            left = window.update(value)
            gone = [] if left is None else [left]
        if not self._count:
            self._reference = value
            self._sum, self._squares = ExactSum(), ExactSum()
        self._change(value, 1)
        for each in gone:
            self._change(each, -1)
        self._updates += 1
        if self._updates >= REBASE:
            self._rebase()

    def advance(self, ts_ns: int) -> None:
        """Let time pass without a value."""
        assert isinstance(self._window, Window)
        for each in self._window.advance(ts_ns):
            self._change(each, -1)

    def mean(self) -> float | None:
        """Return the mean, ``None`` of nothing."""
        return self._reference + self._sum.value / self._count if self._count else None

    def variance(self) -> float | None:
        """Return the variance of a sample, ``None`` of less than two values."""
        if self._count < 2:
            return None
        left = self._left()
        if self._squares.value > FAR * left:
            self._rebase()
            left = self._left()
        return max(0.0, left) / (self._count - 1)

    def value(self) -> float | None:
        """Return the mean."""
        return self.mean()

    def recompute(self) -> tuple[float | None, float | None]:
        """Return mean and variance from the values in the window alone."""
        values: Sequence[float] = self._window.values()
        if not values:
            return None, None
        mean = math.fsum(values) / len(values)
        if len(values) < 2:
            return mean, None
        return mean, math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1)

    def _left(self) -> float:
        """Return the sum of squared distances from the mean."""
        total = self._sum.value
        return self._squares.value - total * total / self._count

    def _change(self, value: float, sign: int) -> None:
        distance = value - self._reference
        self._sum.add(sign * distance)
        self._squares.add(sign * distance * distance)
        self._count += sign

    def _rebase(self) -> None:
        values = list(self._window.values())
        self._reference = math.fsum(values) / len(values) if values else 0.0
        self._sum, self._squares = ExactSum(), ExactSum()
        self._count = self._updates = 0
        for each in values:
            self._change(each, 1)
