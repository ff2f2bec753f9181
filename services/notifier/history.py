"""Metrics of the last minutes, and some figures of the last hours, as rules look back on them.

Like Prometheus, which looks at a metric every 15 s, but of this process alone: it begins anew with
the notifier, and what was before is not known. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from shared.histogram import merge, subtract
from shared.metrics import host_metrics, table, venue_metrics
from shared.metrics.metric import Metric
from shared.metrics.samples import Labels, Samples, Value

S: Final = 1_000_000_000
EVERY_NS: Final = 15 * S
KEPT_NS: Final = 610 * S
"""The longest window of a rule on counters, and a little."""
LOOKED_BACK: Final = (
    table.RESTARTS,
    table.OVERFLOW,
    table.TICK_TO_ORDER,
    table.DEAD_LETTERS,
    venue_metrics.REQUESTS,
    host_metrics.HOST_CPU,
    host_metrics.HOST_NETWORK_ERRORS,
)
"""What is kept as long; of all else the newest sample alone is known."""
FAR_EVERY_NS: Final = 300 * S
FAR_MAX: Final = 64
"""Figures followed for hours: a disk each, a service each."""
Points = list[tuple[int, float]]
"""Time (UNIX ns) and value."""
Values = Mapping[Metric, Mapping[Labels, Value]]


class History:
    """What samples said."""

    def __init__(self) -> None:
        self._taken: deque[tuple[int, Values]] = deque()
        self._newest: Values = {}
        self._far: dict[str, Points] = {}
        self.now_ns = 0

    def take(self, samples: Samples, now_ns: int) -> None:
        """Add what was sampled now (UNIX ns)."""
        if now_ns <= self.now_ns:  # the clock was set back
            self._taken.clear()
            self._far.clear()
        self.now_ns, self._newest = now_ns, samples.values
        kept = {each: samples.values[each] for each in LOOKED_BACK if each in samples.values}
        self._taken.append((now_ns, kept))
        while now_ns - self._taken[0][0] > KEPT_NS:
            self._taken.popleft()

    def newest(self, metric: Metric) -> dict[Labels, float]:
        """Return the values of a gauge or counter by its labels, without those that are absent."""
        values = self._newest.get(metric, {})
        return {labels: v for labels, v in values.items() if not isinstance(v, Mapping)}

    def rises(self, metric: Metric, window_s: int) -> dict[Labels, float]:
        """Return by how much a counter rose within a window, of those that are there now.

        One that fell began anew, from zero.
        """
        rises: dict[Labels, float] = {}
        for labels in self.newest(metric):
            before: float | None = None
            for values in self._within(metric, window_s):
                value = values.get(labels)
                if value is None or isinstance(value, Mapping):
                    continue
                if before is not None:
                    more = value - before if value >= before else value
                    rises[labels] = rises.get(labels, 0.0) + more
                before = value
        return rises

    def recorded(self, metric: Metric, window_s: int) -> dict[Labels, dict[int, int]]:
        """Return what a histogram recorded within a window, by its labels."""
        recorded: dict[Labels, dict[int, int]] = {}
        before: dict[Labels, Mapping[int, int]] = {}
        for values in self._within(metric, window_s):
            for labels, value in values.items():
                assert isinstance(value, Mapping), "of a histogram"
                known = before.get(labels)
                if known is not None:
                    is_new = sum(value.values()) < sum(known.values())
                    more = dict(value) if is_new else subtract(value, known)
                    recorded[labels] = merge([recorded.get(labels, {}), more])
                before[labels] = value
        return recorded

    def follow(self, name: str, value: float, window_s: int) -> Points:
        """Note a figure every five minutes; return it over a window of hours, now included."""
        points = self._far.get(name, [])
        if len(self._far) < FAR_MAX:
            self._far[name] = points
        while points and self.now_ns - points[0][0] > window_s * S:
            del points[0]
        if not points or self.now_ns - points[-1][0] >= FAR_EVERY_NS:
            points.append((self.now_ns, value))
            return list(points)
        return [*points, (self.now_ns, value)]

    def _within(self, metric: Metric, window_s: int) -> list[Mapping[Labels, Value]]:
        assert metric in LOOKED_BACK, metric.name
        return [
            values[metric]
            for at_ns, values in self._taken
            if self.now_ns - at_ns <= window_s * S and metric in values
        ]
