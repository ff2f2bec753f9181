"""A straight line through samples as they come: constant memory, whatever the length. Pure."""

from __future__ import annotations

SAMPLES_MIN = 20
"""Fewer samples show no trend."""


class Trend:
    """Least-squares slope over all samples since the last ``restart``."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget every sample."""
        self._n = 0
        self._t0 = self._mean_t = self._mean_y = self._var_t = self._cov = 0.0

    def add(self, t: float, y: float) -> None:
        """Take in one sample; ``t`` must not fall."""
        if not self._n:
            self._t0 = t
        self._n += 1
        off_t = t - self._t0 - self._mean_t
        self._mean_t += off_t / self._n
        self._mean_y += (y - self._mean_y) / self._n
        self._var_t += off_t * (t - self._t0 - self._mean_t)
        self._cov += off_t * (y - self._mean_y)

    def slope(self) -> float | None:
        """Return units of ``y`` per unit of ``t``; ``None`` while there are too few samples."""
        if self._n < SAMPLES_MIN or self._var_t == 0:
            return None
        return self._cov / self._var_t
