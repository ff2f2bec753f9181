"""Samples as text for Prometheus: OpenMetrics, or the older format where a scraper asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from shared.histogram import bucket_bounds
from shared.metrics.metric import Kind
from shared.metrics.samples import Samples

BOUNDS_NS: Final = tuple(base * 10**power for power in range(4, 10) for base in (1, 2, 5))
"""10 us to 5 s in steps of 1, 2, 5."""


def exposition(samples: Samples, accept: str) -> tuple[str, bytes]:
    """Return the content type and the text that a scraper which sends ``accept`` understands."""
    registry = CollectorRegistry()
    registry.register(_Held(samples))
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Held(Collector):
    """Hands samples to prometheus_client."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        for metric, values in self._samples.values.items():
            if metric.kind is Kind.HISTOGRAM:
                histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
                for labels, buckets in values.items():
                    assert isinstance(buckets, Mapping), metric.name
                    histogram.add_metric(labels, cumulative(buckets), total_s(buckets))
                yield histogram
                continue
            family = _FAMILIES[metric.kind](metric.name, metric.text, labels=metric.labels)
            for labels, value in values.items():
                assert not isinstance(value, Mapping), metric.name
                family.add_metric(labels, value)
            yield family


_FAMILIES: Final[dict[Kind, type[CounterMetricFamily] | type[GaugeMetricFamily]]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
}


def cumulative(buckets: Mapping[int, int]) -> list[tuple[str, float]]:
    """Return (upper bound in seconds, count of records up to it) for each bound."""
    counts = [0] * (len(BOUNDS_NS) + 1)
    for index, count in buckets.items():
        middle = _middle_ns(index)
        counts[next((i for i, bound in enumerate(BOUNDS_NS) if middle <= bound), -1)] += count
    names = [*(str(bound / 1e9) for bound in BOUNDS_NS), "+Inf"]
    total, out = 0, []
    for name, count in zip(names, counts, strict=True):
        total += count
        out.append((name, float(total)))
    return out


def total_s(buckets: Mapping[int, int]) -> float:
    """Return the sum of all records in seconds, from the middles of their buckets."""
    return sum(_middle_ns(index) * count for index, count in buckets.items()) / 1e9


def _middle_ns(index: int) -> float:
    low, high = bucket_bounds(index)
    return (low + high - 1) / 2
