"""Perpetuals that leave their spot price for a while and converge. Pure.

Drawn apart from everything else of the market, which is the same with them and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

GAP_S = (10.0, 40.0)
"""Between two jumps of any perpetual."""
HALF_LIFE_S = 20.0
SIZE_MIN = 0.5
"""Least size of a jump, as a share of the greatest."""

Market = tuple[str, str]
"""Venue and base asset."""


class Premiums:
    """What each perpetual is above its spot price.

    Args:
        markets: The perpetuals.
        seed: Of every jump.
        tick_ms: How often ``step`` is called in market time.
        size_bps: The greatest jump; 0 for none at all.
    """

    def __init__(
        self, markets: Sequence[Market], seed: int, *, tick_ms: int, size_bps: float
    ) -> None:
        self._random = Random(f"{seed}/premium")
        self._tick_ms, self._size_bps = tick_ms, size_bps
        self._kept = 0.5 ** (tick_ms / 1_000 / HALF_LIFE_S)
        self.bps: dict[Market, float] = dict.fromkeys(markets, 0.0) if size_bps else {}
        """Empty where there are none."""
        self._next_tick = 0

    def step(self, tick: int) -> None:
        """Move to a tick."""
        if not self.bps:
            return
        for market, bps in self.bps.items():
            self.bps[market] = bps * self._kept
        if tick >= self._next_tick:
            draw = self._random
            market = draw.choice(list(self.bps))
            size_bps = draw.choice((-1, 1)) * draw.uniform(SIZE_MIN, 1.0) * self._size_bps
            self.bps[market] += size_bps
            self._next_tick = tick + round(draw.uniform(*GAP_S) * 1_000 / self._tick_ms)
