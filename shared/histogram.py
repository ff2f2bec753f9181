"""Log-linear latency histogram: bounded buckets, at most 1.6 % error, mergeable. Pure.

A bucket's index is a function of the value alone, so histograms of different processes and of
different times merge by adding counts. Values below 32 ns have a bucket each; above, every power of
two is cut into 32 equal buckets. Values are clamped to 2**40 ns (18 minutes): 1152 buckets at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SUB_BITS = 5
_SUB = 1 << _SUB_BITS
VALUE_MAX = (1 << 40) - 1
BUCKETS_MAX = (40 - _SUB_BITS + 1) * _SUB


def bucket_of(value: int) -> int:
    """Return the bucket index of a value in nanoseconds; negative counts as zero."""
    if value < _SUB:
        return max(value, 0)
    value = min(value, VALUE_MAX)
    shift = value.bit_length() - _SUB_BITS - 1
    return (shift + 1) * _SUB + (value >> shift) - _SUB


def bucket_bounds(index: int) -> tuple[int, int]:
    """Return the lowest value of a bucket and the lowest value of the next one, in nanoseconds.

    An index beyond the last, which other programs may write on a bus, is taken for the last.
    """
    index = min(index, BUCKETS_MAX - 1)
    if index < _SUB:
        return index, index + 1
    shift = index // _SUB - 1
    low = (index % _SUB + _SUB) << shift
    return low, low + (1 << shift)


def merge(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the sum of several histograms' bucket counts."""
    total: dict[int, int] = {}
    for part in parts:
        for index, count in part.items():
            total[index] = total.get(index, 0) + count
    return total


def subtract(after: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    """Return what was recorded between two states of one histogram."""
    difference = {index: count - before.get(index, 0) for index, count in after.items()}
    return {index: count for index, count in difference.items() if count > 0}


def percentile(buckets: Mapping[int, int], fraction: float) -> float | None:
    """Return the value below which ``fraction`` (0 to 1) of the records lie, in nanoseconds.

    The middle of its bucket; ``None`` when nothing was recorded.
    """
    assert 0 <= fraction <= 1
    total = sum(buckets.values())
    if total == 0:
        return None
    rank, seen = fraction * total, 0
    index = 0
    for index in sorted(buckets):
        seen += buckets[index]
        if seen >= rank and seen > 0:
            break
    low, high = bucket_bounds(index)
    return (low + high - 1) / 2


class Histogram:
    """A recorder of durations in nanoseconds."""

    __slots__ = ("buckets", "count", "total_ns")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total_ns = 0

    def record(self, value_ns: int, count: int = 1) -> None:
        """Count a duration; negative ones (clocks set back) count as zero."""
        index = bucket_of(value_ns)
        self.buckets[index] = self.buckets.get(index, 0) + count
        self.count += count
        self.total_ns += max(value_ns, 0) * count

    def percentile_ns(self, fraction: float) -> float | None:
        """Return a percentile in nanoseconds; see :func:`percentile`."""
        return percentile(self.buckets, fraction)
