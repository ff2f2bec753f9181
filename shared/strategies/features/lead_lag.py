"""Which of two prices moves first: cross-correlation of returns on a grid of receive times. Pure.

    llr = sum of rho(lag)^2 over lags > 0  /  the same over lags < 0

A lag above zero pairs a return of the first with a later one of the second: the first leads. Clocks
and routes differ per feed, and the lead may be our own network's: it is a reason to take quotes
back, no strategy, until it has been the same for days. The place of the grid moves the result too
(by 20 ms in a recording of six minutes): take several starts before you believe a lag.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class LeadLag(NamedTuple):
    """``lag_ns`` with the largest correlation ``rho``; above 0 the first leads, by ``llr``."""

    lag_ns: int
    rho: float
    llr: float


def sample(
    rows: Iterable[tuple[int, float]], from_ns: int, to_ns: int, step_ns: int
) -> list[float | None]:
    """Return the last value at or before each instant; ``None`` before the first.

    Args:
        rows: Receive time and value, in order.
        from_ns: First instant.
        to_ns: Last instant, if the grid meets it.
        step_ns: Of the grid.
    """
    instant, last = from_ns, None
    found: list[float | None] = []
    for ts_ns, value in rows:
        while instant < ts_ns and instant <= to_ns:
            found.append(last)
            instant += step_ns
        last = value
    while instant <= to_ns:
        found.append(last)
        instant += step_ns
    return found


def log_returns(values: Sequence[float]) -> list[float]:
    """Return the logarithms of each value over the one before."""
    return [math.log(after / before) for before, after in itertools.pairwise(values)]


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Pearson's correlation of two series of one length; 0 where one never moves."""
    mean_a, mean_b = math.fsum(first) / len(first), math.fsum(second) / len(second)
    over = math.fsum((a - mean_a) * (b - mean_b) for a, b in zip(first, second, strict=True))
    of_a = math.fsum((a - mean_a) ** 2 for a in first)
    of_b = math.fsum((b - mean_b) ** 2 for b in second)
    return over / math.sqrt(of_a * of_b) if of_a > 0 and of_b > 0 else 0.0


def lead_lag(
    first: Sequence[float], second: Sequence[float], *, lags: int, step_ns: int
) -> LeadLag | None:
    """Return how far one series of returns leads another, over ``-lags`` to ``lags`` steps.

    ``None`` where there are too few returns, or none of them moves.
    """
    count = len(first)
    if count != len(second) or count <= lags + 1:
        return None
    found = {
        lag: correlation(first[: count - lag], second[lag:])
        if lag >= 0
        else correlation(first[-lag:], second[: count + lag])
        for lag in range(-lags, lags + 1)
    }
    return _of_correlations(found, step_ns)


class Moves(NamedTuple):
    """Returns on a grid: ``at`` has those that are not zero by their number, of ``length`` in all.

    A book moves at few instants of a fine grid, so this is what is worth keeping of them.
    """

    length: int
    at: dict[int, float]


def moves(
    rows: Iterable[tuple[int, float]], from_ns: int, to_ns: int, step_ns: int
) -> Moves | None:
    """Return ``log_returns(sample(...))`` as moves; ``None`` where there is no value at first."""
    instants = (to_ns - from_ns) // step_ns + 1
    values: dict[int, float] = {}
    for ts_ns, value in rows:
        number = max(0, -((from_ns - ts_ns) // step_ns))  # of the first instant at or after it
        if number >= instants:
            break
        values[number] = value
    if 0 not in values:
        return None
    before, at = values[0], dict[int, float]()
    for number, value in values.items():
        if value != before:
            at[number - 1] = math.log(value / before)
            before = value
    return Moves(instants - 1, at)


def lead_lag_of_moves(first: Moves, second: Moves, *, lags: int, step_ns: int) -> LeadLag | None:
    """Return the same as ``lead_lag``, in the time that the moves take and not all the returns."""
    count = first.length
    if count != second.length or count <= lags + 1:
        return None
    crossed = _crossed(first, second, lags)
    of_first, of_second = _Sums(first, lags), _Sums(second, lags)
    found: dict[int, float] = {}
    for lag, over in crossed.items():
        kept = count - abs(lag)
        sum_a, squares_a = of_first.without(-1 if lag >= 0 else 0, abs(lag))
        sum_b, squares_b = of_second.without(0 if lag >= 0 else -1, abs(lag))
        of_a, of_b = squares_a - sum_a * sum_a / kept, squares_b - sum_b * sum_b / kept
        is_moving = of_a > 0 and of_b > 0
        found[lag] = (over - sum_a * sum_b / kept) / math.sqrt(of_a * of_b) if is_moving else 0.0
    return _of_correlations(found, step_ns)


def _crossed(first: Moves, second: Moves, lags: int) -> dict[int, float]:
    """Return the sum of products at every lag; only moves that are near each other meet."""
    crossed = dict.fromkeys(range(-lags, lags + 1), 0.0)
    others, begin = list(second.at.items()), 0
    for number, value in first.at.items():
        while begin < len(others) and others[begin][0] < number - lags:
            begin += 1
        at = begin
        while at < len(others) and others[at][0] <= number + lags:
            crossed[others[at][0] - number] += value * others[at][1]
            at += 1
    return crossed


class _Sums:
    """Sums of returns and of their squares, without some at either end."""

    def __init__(self, series: Moves, lags: int) -> None:
        last = series.length - 1
        outward = range(
            lags - 1, -1, -1
        )  # adding rounds little; taking away may leave rounding only
        self._left: dict[int, list[tuple[float, float]]] = {}
        for end in (0, -1):
            first, end_at = (lags, last) if end == 0 else (0, last - lags)
            inner = [x for number, x in series.at.items() if first <= number <= end_at]
            left = [(math.fsum(inner), math.fsum(x * x for x in inner))]
            for number in outward:
                x = series.at.get(number if end == 0 else last - number, 0.0)
                left.append((left[-1][0] + x, left[-1][1] + x * x))
            self._left[end] = left[::-1]

    def without(self, end: int, count: int) -> tuple[float, float]:
        """Return both without ``count`` returns at the beginning (0) or the end (-1)."""
        return self._left[end][count]


def _of_correlations(found: dict[int, float], step_ns: int) -> LeadLag | None:
    if not any(found.values()):
        return None
    ahead = math.fsum(rho * rho for lag, rho in found.items() if lag > 0)
    behind = math.fsum(rho * rho for lag, rho in found.items() if lag < 0)
    best = max(found, key=lambda lag: (found[lag], -abs(lag)))
    return LeadLag(best * step_ns, found[best], ahead / behind if behind else math.inf)
