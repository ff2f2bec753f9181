"""Averages and scores: exponential by half-life, and robust against outliers. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from shared.strategies.features.windows import LastN, Window

MAD_TO_DEVIATION = 1.4826
"""A normal deviation per median absolute deviation."""


class Ema:
    """An average in which a value counts half after ``half_life_ns``, whatever came between.

    Args:
        half_life_ns: In event time.
        keep: Values kept for ``recompute``; what lies before them counts as the first of them.
    """

    def __init__(self, half_life_ns: int, keep: int = 4_096) -> None:
        if half_life_ns <= 0:
            raise ValueError(f"a half-life of {half_life_ns} ns; give more than 0")
        self._rate = -math.log(2) / half_life_ns
        self._value: float | None = None
        self._ts_ns = 0
        self._values: deque[tuple[int, float]] = deque(maxlen=keep)
        self.late = self.refused = 0

    def update(self, value: float, ts_ns: int) -> None:
        """Take a value in; one of an earlier time than the last is counted and left out."""
        if not math.isfinite(value):
            self.refused += 1
        elif self._value is None:
            self._value, self._ts_ns = value, ts_ns
            self._values.append((ts_ns, value))
        elif ts_ns < self._ts_ns:
            self.late += 1
        else:
            # Not 1 - exp(...): over a short time that would have few digits left.
            gain = -math.expm1((ts_ns - self._ts_ns) * self._rate)
            self._value += gain * (value - self._value)
            self._ts_ns = ts_ns
            self._values.append((ts_ns, value))

    def value(self) -> float | None:
        """Return the average, ``None`` of nothing."""
        return self._value

    def recompute(self) -> float | None:
        """Return it as a sum of weights; right as long as nothing has left what is kept."""
        if not self._values:
            return None
        last_ns, parts, before_ns = self._values[-1][0], [], None
        for ts_ns, value in self._values:
            weight = math.exp((last_ns - ts_ns) * self._rate)
            if before_ns is not None:
                weight *= -math.expm1((ts_ns - before_ns) * self._rate)
            parts.append(weight * value)
            before_ns = ts_ns
        return math.fsum(parts)


class RobustZ:
    """How many deviations the newest of the last values lies from their median."""

    def __init__(self, count: int) -> None:
        self._window = LastN(count)
        self._sorted: list[float] = []

    def update(self, value: float) -> None:
        """Take a value in."""
        refused = self._window.refused
        gone = self._window.update(value)
        if self._window.refused != refused:
            return
        insort(self._sorted, value)
        if gone is not None:
            del self._sorted[bisect_left(self._sorted, gone)]

    def value(self) -> float | None:
        """Return the score, ``None`` until the window is full or while all values are equal."""
        if not self._window.is_full:
            return None
        return _score(self._window.values()[-1], self._sorted)

    def recompute(self) -> float | None:
        """Return it from the window alone."""
        if not self._window.is_full:
            return None
        return _score(self._window.values()[-1], sorted(self._window.values()))


class LaggedReturn:
    """The logarithm of the newest value over the one that held ``lag_ns`` before it."""

    def __init__(self, lag_ns: int) -> None:
        self._window = Window(lag_ns)
        self._old: float | None = None  # the newest that has left the window
        self._newest: float | None = None

    def update(self, value: float, ts_ns: int) -> None:
        """Take a value above 0 in."""
        window = self._window
        if not (math.isfinite(value) and value > 0):
            window.refused += 1
            return
        late, overflowed = window.late, window.overflowed
        gone = window.update(value, ts_ns)
        if window.overflowed != overflowed:  # what left is younger than the lag
            self._old = None
        elif gone:
            self._old = gone[-1]
        if window.late == late:
            self._newest = value

    def value(self) -> float | None:
        """Return the return, ``None`` until there is a value that old."""
        if self._newest is None or self._old is None:
            return None
        return math.log(self._newest / self._old)


def _score(value: float, ordered: list[float]) -> float | None:
    middle = _median(ordered)
    deviation = _median(sorted(abs(each - middle) for each in ordered)) * MAD_TO_DEVIATION
    return (value - middle) / deviation if deviation > 0 else None


def _median(ordered: list[float]) -> float:
    half, odd = divmod(len(ordered), 2)
    return ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2
