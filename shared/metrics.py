"""An observer's state in the Prometheus text format.

Names are ``arb_<service>_<noun>_<unit>[_total]``; latencies are histograms in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from shared.histogram import Histogram, bucket_bounds
from shared.observe import Observer

_BOUNDS_NS = tuple(base * 10**power for power in range(4, 10) for base in (1, 2, 5))
"""10 us to 5 s in steps of 1, 2, 5."""
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_]")


def exposition(observer: Observer) -> bytes:
    """Return everything the observer holds, as a scrape expects it."""
    registry = CollectorRegistry()
    registry.register(_ObserverCollector(observer))
    return generate_latest(registry)


class _ObserverCollector(Collector):
    """Hands an observer's values to prometheus_client."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def collect(self) -> Iterator[Metric]:
        observer = self._observer
        prefix = f"arb_{_legal(observer.service)}_"
        yield GaugeMetricFamily(f"{prefix}ready", "1 when ready", value=float(observer.ready))
        for name, total in sorted(observer.counters.items()):
            yield CounterMetricFamily(prefix + _legal(name), f"{name} since start", value=total)
        for name, value in sorted(observer.gauges.items()):
            yield GaugeMetricFamily(prefix + _legal(name), name, value=value)
        for name, histogram in sorted(observer.latencies.items()):
            family = HistogramMetricFamily(f"{prefix}{_legal(name)}_seconds", name)
            family.add_metric([], _cumulative(histogram), histogram.total_ns / 1e9)
            yield family


def _legal(name: str) -> str:
    return _ILLEGAL.sub("_", name)


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Return (upper bound in seconds, count of records up to it) for each bound."""
    counts = [0] * (len(_BOUNDS_NS) + 1)
    for index, count in histogram.buckets.items():
        low, high = bucket_bounds(index)
        middle = (low + high - 1) / 2
        counts[next((i for i, bound in enumerate(_BOUNDS_NS) if middle <= bound), -1)] += count
    names = [*(str(bound / 1e9) for bound in _BOUNDS_NS), "+Inf"]
    total, out = 0, []
    for name, count in zip(names, counts, strict=True):
        total += count
        out.append((name, float(total)))
    return out
