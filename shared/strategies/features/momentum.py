"""Momentum on closed bars: a fast average against a slow one. Pure: a signal and no money.

    m = (SMA_fast - SMA_slow) / SMA_slow      long above the threshold, short below minus it

Sums are exact, of prices as they are written: averages of equal prices are equal, whatever their
lengths, so a market that stands still is followed by no threshold, not even one of zero.

A direction is wanted only where the position is not there already, so the position must come from
whoever holds the truth about it. The rule without it orders on every bar.
"""

from __future__ import annotations

import math
from collections import deque
from decimal import Context, Decimal

from shared.domain.rounding import exact
from shared.messages.base import Side
from shared.strategies.features.windows import ITEMS_MAX

_EXACT = Context(prec=80)
"""Holds any sum of prices that are no further apart than a market's can be."""
_ZERO = Decimal(0)


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
        if not 1 <= fast_bars < slow_bars <= ITEMS_MAX:
            raise ValueError(
                f"averages of {fast_bars} and {slow_bars} bars; the fast one is less, and the slow "
                f"one at most {ITEMS_MAX}"
            )
        self._fast_bars, self._slow_bars = fast_bars, slow_bars
        self._threshold = threshold_bps / 1e4
        self._closes: deque[float] = deque()
        self._fast = self._slow = _ZERO
        self.refused = 0
        """Closes that were no price."""

    def take(self, close: float) -> None:
        """Take in a closed bar's last price; a value that is no price restarts the rule."""
        if not (math.isfinite(close) and close > 0):
            self.refused += 1
            self.restart()
            return
        closes, price = self._closes, exact(close)
        self._fast = _EXACT.add(self._fast, price)
        self._slow = _EXACT.add(self._slow, price)
        if len(closes) >= self._fast_bars:
            self._fast = _EXACT.subtract(self._fast, exact(closes[-self._fast_bars]))
        if len(closes) == self._slow_bars:
            self._slow = _EXACT.subtract(self._slow, exact(closes.popleft()))
        closes.append(close)

    def restart(self) -> None:
        """Forget all bars: one is missing or incomplete, and no average spans a hole."""
        self._closes.clear()
        self._fast = self._slow = _ZERO

    def value(self) -> float | None:
        """Return m as a fraction; ``None`` until the slow average is full."""
        if len(self._closes) < self._slow_bars:
            return None
        high = _EXACT.multiply(self._fast, self._slow_bars)
        low = _EXACT.multiply(self._slow, self._fast_bars)
        return float(_EXACT.divide(high, low)) - 1.0

    def recompute(self) -> float | None:
        """Return m from the bars in the window alone."""
        anew = Momentum(self._fast_bars, self._slow_bars)
        for close in self._closes:
            anew.take(close)
        return anew.value()

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
