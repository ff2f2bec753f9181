"""Latency histogram: bounded error, bounded size, mergeable."""

from __future__ import annotations

import math
import random

import pytest

from shared.histogram import (
    BUCKETS_MAX,
    VALUE_MAX,
    Histogram,
    bucket_bounds,
    bucket_of,
    merge,
    percentile,
    subtract,
)


def test_every_value_lies_in_its_bucket_and_buckets_are_narrow() -> None:
    rng = random.Random(1)
    values = [
        0,
        1,
        31,
        32,
        33,
        63,
        64,
        65,
        VALUE_MAX,
        *(rng.randrange(VALUE_MAX) for _ in range(5_000)),
    ]
    for value in values:
        low, high = bucket_bounds(bucket_of(value))
        assert low <= value < high
        assert high - low <= max(1, value / 31)
        assert bucket_of(value) < BUCKETS_MAX


def test_buckets_are_without_gaps() -> None:
    for index in range(BUCKETS_MAX - 1):
        assert bucket_bounds(index)[1] == bucket_bounds(index + 1)[0]


def test_impossible_values_are_clamped() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(2**70) == BUCKETS_MAX - 1


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99, 0.999, 1.0])
def test_percentiles_are_right_within_five_percent(fraction: float) -> None:
    rng = random.Random(7)
    values = sorted(int(rng.lognormvariate(12, 1)) for _ in range(10_000))
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = values[math.ceil(fraction * len(values)) - 1]
    assert histogram.percentile_ns(fraction) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("index", [BUCKETS_MAX, 10**9])
def test_a_bucket_beyond_the_last_is_the_last(index: int) -> None:
    assert bucket_bounds(index) == bucket_bounds(BUCKETS_MAX - 1)
    assert percentile({index: 1}, 0.5) == percentile({BUCKETS_MAX - 1: 1}, 0.5)


def test_nothing_recorded_has_no_percentile() -> None:
    assert Histogram().percentile_ns(0.5) is None


def test_merging_and_subtracting() -> None:
    first, second = Histogram(), Histogram()
    for value in range(100, 200):
        first.record(value)
    second.record(1_000_000, count=300)
    total = merge([first.buckets, second.buckets])
    assert sum(total.values()) == 400
    assert percentile(total, 0.9) == pytest.approx(1_000_000, rel=0.05)
    assert subtract(total, first.buckets) == second.buckets
