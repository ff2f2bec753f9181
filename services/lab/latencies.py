"""Latencies of a backtest: a constant, or drawn from what was measured. Pure, seeded."""

from __future__ import annotations

from random import Random

from services.executor.paper_conditions import at_percentile
from services.lab.backtest_terms import Way

_MS = 1_000_000


class Latencies:
    """What each request, or its answer, takes.

    Args:
        way: As it is configured.
        seed: Of the draws; none is made for a constant.
    """

    def __init__(self, way: Way, seed: str) -> None:
        self._way, self._draw = way, Random(seed)

    def draw_ns(self) -> int:
        """Return the next latency: any of those measured, or at an evenly drawn percentile."""
        samples, points, constant = self._way
        if samples:
            return round(self._draw.choice(samples) * _MS)
        if points:
            return round(at_percentile(points, self._draw.uniform(0, 100)) * _MS)
        return round(constant * _MS)


def told(way: Way) -> str:
    """Return a way in words."""
    samples, points, constant = way
    if samples:
        ranked = sorted(samples)
        middle, high = (ranked[round((len(ranked) - 1) * share)] for share in (0.5, 0.99))
        return (
            f"drawn from {len(samples):,} measured latencies, {ranked[0]:g} to {ranked[-1]:g} ms, "
            f"median {middle:g}, p99 {high:g}"
        )
    if points:
        pairs = ", ".join(f"p{percentile:g} {ms:g}" for percentile, ms in points)
        return f"drawn from percentiles in ms: {pairs}"
    return f"{constant:g} ms"
