"""Momentum on closed bars: a fast average against a slow one. Pure, floats: a signal and no money.

    m = (SMA_fast - SMA_slow) / SMA_slow      long above the threshold, short below minus it

A direction is wanted only where the position is not there already, so the position must come from
whoever holds the truth about it. The rule without it orders on every bar.
"""

from __future__ import annotations

import math

from shared.messages.base import Side
from shared.strategies.features.moments import REBASE, ExactSum
from shared.strategies.features.windows import LastN


class Momentum:
    """The rule, one closed bar at a time.

    Args:
        fast_bars: Of the fast average.
        slow_bars: Of the slow one; more than the fast.
        threshold_bps: Of the distance that counts.
    """

    def __init__(
        self, fast_bars: int = 5, slow_bars: int = 20, threshold_bps: float = 10.0
    ) -> None:
        if not 1 <= fast_bars < slow_bars:
            raise ValueError(f"averages of {fast_bars} and {slow_bars} bars; the fast one is less")
        self._fast_bars = fast_bars
        self._threshold = threshold_bps / 1e4
        self._window = LastN(slow_bars)
        self._fast = LastN(fast_bars)
        self._sums = ExactSum(), ExactSum()
        self._updates = 0
        self.refused = 0
        """Closes that were no price."""

    def take(self, close: float) -> None:
        """Take in a closed bar's last price; a value that is no price restarts the rule."""
        if not (math.isfinite(close) and close > 0):
            self.refused += 1
            self.restart()
            return
        for window, total in zip((self._fast, self._window), self._sums, strict=True):
            gone = window.update(close)
            total.add(close)
            if gone is not None:
                total.add(-gone)
        self._updates += 1
        if self._updates >= REBASE:
            self._resum()

    def restart(self) -> None:
        """Forget all bars: one is missing or incomplete, and no average spans a hole."""
        self._window, self._fast = LastN(self._window.count), LastN(self._fast_bars)
        self._sums, self._updates = (ExactSum(), ExactSum()), 0

    def value(self) -> float | None:
        """Return m as a fraction; ``None`` until the slow average is full."""
        if not self._window.is_full:
            return None
        fast, slow = self._sums
        return _momentum(fast.value / self._fast_bars, slow.value / self._window.count)

    def recompute(self) -> float | None:
        """Return m from the bars in the window alone."""
        if not self._window.is_full:
            return None
        bars = list(self._window.values())
        fast = math.fsum(bars[-self._fast_bars :]) / self._fast_bars
        return _momentum(fast, math.fsum(bars) / len(bars))

    def wanted(self, position: float) -> Side | None:
        """Return the direction to turn to, ``None`` for none.

        Args:
            position: Signed base units held now, from the position's owner.
        """
        momentum = self.value()
        if momentum is None:
            return None
        if momentum > self._threshold and position <= 0:
            return Side.BUY
        if momentum < -self._threshold and position >= 0:
            return Side.SELL
        return None

    def _resum(self) -> None:
        self._sums, self._updates = (ExactSum(), ExactSum()), 0
        for window, total in zip((self._fast, self._window), self._sums, strict=True):
            for close in window.values():
                total.add(close)


def _momentum(fast: float, slow: float) -> float:
    return (fast - slow) / slow
