"""Sampling on a fixed grid of time, and the volatility of what was sampled. Pure.

At each instant of the grid the last value at or before it counts. So it makes no difference how
many messages came between, nor whether some of them were conflated for a late reader.
"""

from __future__ import annotations

import math

from shared.strategies.features.moments import REBASE, ExactSum
from shared.strategies.features.windows import LastN

CATCH_UP_MAX = 100_000
"""Instants that pass at once; after a longer silence the grid begins again."""


class Grid:
    """The instants of a grid that have passed since the last call, each with its value."""

    def __init__(self, step_ns: int) -> None:
        if step_ns <= 0:
            raise ValueError(f"a grid of {step_ns} ns; give more than 0")
        self._step_ns = step_ns
        self._next_ns: int | None = None
        self._last: float | None = None
        self.late = self.refused = self.restarts = 0

    def update(self, value: float, ts_ns: int) -> list[float]:
        """Take a value in, and return the samples of all instants before ``ts_ns``."""
        if not math.isfinite(value):
            self.refused += 1
            return self.advance(ts_ns)
        if self._next_ns is not None and ts_ns <= self._next_ns - self._step_ns:
            self.late += 1
            return []
        samples = self.advance(ts_ns)
        self._last = value
        if self._next_ns is None:  # the first instant at or after the first value
            self._next_ns = -(-ts_ns // self._step_ns) * self._step_ns
        return samples

    def advance(self, ts_ns: int) -> list[float]:
        """Let time pass, and return the samples of all instants before ``ts_ns``."""
        if self._next_ns is None or self._last is None or self._next_ns >= ts_ns:
            return []
        count = -(-(ts_ns - self._next_ns) // self._step_ns)
        if count > CATCH_UP_MAX:
            self.restarts += 1
            self._next_ns = None
            return []
        self._next_ns += count * self._step_ns
        return [self._last] * count


class RealizedVolatility:
    """The root of the sum of squared logarithmic returns over the last steps of a grid.

    Args:
        step_ns: Of the grid.
        steps: Returns in the window.
    """

    def __init__(self, step_ns: int, steps: int) -> None:
        self._grid = Grid(step_ns)
        self._window = LastN(steps)
        self._before: float | None = None
        self._sum = ExactSum()
        self._updates = self._restarts = 0

    def update(self, price: float, ts_ns: int) -> None:
        """Take a price above 0 in."""
        if price > 0:
            self._take(self._grid.update(price, ts_ns))

    def advance(self, ts_ns: int) -> None:
        """Let time pass without a price."""
        self._take(self._grid.advance(ts_ns))

    def value(self) -> float | None:
        """Return it, as a fraction over the whole window; ``None`` until that is full."""
        return math.sqrt(max(0.0, self._sum.value)) if self._window.is_full else None

    def recompute(self) -> float | None:
        """Return it from the returns in the window alone."""
        if not self._window.is_full:
            return None
        return math.sqrt(math.fsum(each * each for each in self._window.values()))

    def _take(self, samples: list[float]) -> None:
        if self._grid.restarts != self._restarts:
            self._restarts, self._before = self._grid.restarts, None
            self._window, self._sum = LastN(self._window.count), ExactSum()
        for price in samples:
            if self._before is not None:
                change = math.log(price / self._before)
                gone = self._window.update(change)
                self._sum.add(change * change)
                if gone is not None:
                    self._sum.add(-gone * gone)
            self._before = price
            self._updates += 1
        if self._updates >= REBASE:
            self._updates, self._sum = 0, ExactSum()
            for each in self._window.values():
                self._sum.add(each * each)
