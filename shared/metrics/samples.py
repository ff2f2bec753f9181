"""What one scrape holds: values of metrics, with bounded sets of label values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.metrics.metric import Kind, Metric

OTHER = "other"
Labels = tuple[str, ...]
Value = float | Mapping[int, int]
"""A number; of a histogram its buckets as in ``shared/histogram.py``, in nanoseconds."""


class Room:
    """Which sets of label values each metric has, first come first served; outlives a scrape."""

    def __init__(self) -> None:
        self._taken: dict[str, dict[Labels, None]] = {}
        self.refused: dict[str, int] = {}

    def admits(self, metric: Metric, labels: Labels) -> bool:
        """Tell whether there is room for these label values; count it if there is none."""
        taken = self._taken.setdefault(metric.name, {})
        if labels in taken:
            return True
        if len(taken) < metric.series_max:
            taken[labels] = None
            return True
        self.refused[metric.name] = self.refused.get(metric.name, 0) + 1
        return False


@dataclass(slots=True)
class Samples:
    """The values of one scrape, by metric."""

    room: Room
    values: dict[Metric, dict[Labels, Value]] = field(default_factory=dict)

    def add(self, metric: Metric, value: Value, *labels: str) -> None:
        """Take a value; what finds no room is summed up as ``other``, or left out of a gauge."""
        assert len(labels) == len(metric.labels), metric.name
        found = self.values.setdefault(metric, {})
        if self.room.admits(metric, labels):
            found[labels] = value
        elif metric.kind is Kind.COUNTER and not isinstance(value, Mapping):
            others = (OTHER,) * len(labels)
            before = found.get(others, 0.0)
            assert not isinstance(before, Mapping)
            found[others] = before + value
