"""The tick-to-order waterfall from heartbeats' histograms. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared import histogram
from shared.watch.collector import Collector

MEASURES = ("tick_to_depth", "tick_to_opportunity", "tick_to_plan", "tick_to_order")
PERCENTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


def latency_record(collector: Collector) -> dict[str, dict[str, float | int | None]]:
    """Return microseconds per measure: p50, p99, p999 (``None`` without records) and how many."""
    return {name: _percentiles(collector.latency(name)) for name in MEASURES}


def _percentiles(buckets: Mapping[int, int]) -> dict[str, float | int | None]:
    record: dict[str, float | int | None] = {}
    for name, fraction in PERCENTILES:
        value_ns = histogram.percentile(buckets, fraction)
        record[name] = None if value_ns is None else round(value_ns / 1e3, 1)
    record["n"] = sum(buckets.values())
    return record
