"""What an equity curve amounts to. Pure.

Equity is sampled on a fixed grid of UTC instants, so that bars which are missing, or of any length,
give the same figures. It begins with the capital itself: a loss in the first period is one.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from services.research.arrays import Floats, Ints
from services.research.sharpe import annualised, sharpe
from shared.errors import ConfigError
from shared.wording import counted

DAY_S = 86_400
MONTHS_MIN = 12
"""Fewer complete months give no monthly Sharpe ratio worth the name."""
DIFFER_SHARE = 0.25
CELLS_MAX = 10_000_000
"""Parameter sets times instants of the grid that are in memory."""


class Grid(NamedTuple):
    """Instants of equal distance, and the last bar that has closed at each.

    Attributes:
        period_s: Distance.
        times_s: UNIX seconds of the instants; equity at the first is the capital.
        bars: For every instant the number of bars closed by then.
    """

    period_s: int
    times_s: Ints
    bars: Ints


class Drawdown(NamedTuple):
    """The deepest fall from a peak, as a share of that peak, and its instants on the grid."""

    share: float
    peak: int
    trough: int


class Headline(NamedTuple):
    """Annual Sharpe ratios from daily and from monthly returns, and the one to believe."""

    daily: float
    monthly: float | None
    headline: float
    why: str


def check_cells(sets: int, instants: int) -> None:
    """Refuse more than memory holds, before any of it is taken.

    Raises:
        ConfigError: With what would be less.
    """
    if sets * instants > CELLS_MAX:
        raise ConfigError(
            f"{counted(sets, 'set')} at {instants} instants are over {CELLS_MAX}; try fewer, or "
            "take returns less often: statistics.period"
        )


def make_grid(begin_s: int, closes_s: Ints, period_s: int, *, sets: int = 1) -> Grid:
    """Return the instants of a grid from the first bar's begin to the last bar's close.

    The first instant is the last multiple of the period at or before the begin, so whole days are
    days of UTC; the last one is the first multiple at or after the last close.

    Raises:
        ConfigError: That many parameter sets at so many instants are too much.
    """
    first = begin_s // period_s * period_s
    last = -(-int(closes_s[-1]) // period_s) * period_s
    check_cells(sets, (last - first) // period_s + 1)
    times = np.arange(first, last + 1, period_s, dtype=np.int64)
    return Grid(period_s, times, np.searchsorted(closes_s, times, side="right").astype(np.int64))


def on_grid(equity: Floats, grid: Grid) -> Floats:
    """Return equity at the grid's instants; before the first close it is the capital, 1."""
    out: Floats = np.concatenate(([1.0], equity))[grid.bars]
    return out


def returns_of(values: Floats) -> Floats:
    """Return the change from each value to the next, as a share; 0 after everything was lost."""
    before = values[:-1]
    out: Floats = np.where(before > 0, np.diff(values) / np.where(before > 0, before, 1.0), 0.0)
    return out


def drawdown(values: Floats) -> Drawdown:
    """Return the deepest fall; the first value is the capital and may be the peak."""
    peaks = np.maximum.accumulate(values)
    depth = 1 - values / peaks
    trough = int(depth.argmax())
    peak = int(values[: trough + 1].argmax())
    return Drawdown(float(depth[trough]), peak, trough)


def monthly_returns(times_s: Ints, values: Floats) -> Floats:
    """Return the returns of complete calendar months (UTC) of equity on a grid."""
    at: list[int] = []
    for index, time_s in enumerate(times_s.tolist()):
        when = datetime.fromtimestamp(time_s, UTC)
        if (when.day, when.hour, when.minute, when.second) == (1, 0, 0, 0):
            at.append(index)
    return returns_of(values[at]) if len(at) > 1 else np.empty(0)


def headline_sharpe(times_s: Ints, values: Floats, period_s: int) -> Headline:
    """Return daily and monthly Sharpe, both per year; where they differ, believe the lower.

    Returns that follow each other (funding, slow trends) make the daily one too good.
    """
    every = max(1, DAY_S // period_s)
    begin = int(np.argmax(times_s % DAY_S == 0)) if every > 1 else 0
    daily = annualised(sharpe(returns_of(values[begin::every])), max(DAY_S, period_s))
    months = monthly_returns(times_s, values)
    if len(months) < MONTHS_MIN:
        why = f"from days; {len(months)} complete months are too few for a monthly one"
        return Headline(daily, None, daily, why)
    monthly = sharpe(months) * math.sqrt(12)
    apart = abs(daily - monthly) > DIFFER_SHARE * max(abs(daily), abs(monthly))
    if not apart:
        return Headline(daily, monthly, daily, "from days; months agree")
    return Headline(
        daily, monthly, min(daily, monthly), "the lower: days and months differ by over 25 %"
    )


def rolling_sharpe(returns: Floats, window: int, period_s: int) -> Floats:
    """Return the annual Sharpe ratio of each window of periods; empty if there is none."""
    if window < 2 or len(returns) < window:
        return np.empty(0)
    views = np.lib.stride_tricks.sliding_window_view(returns, window)
    deviation = views.std(axis=1, ddof=1)
    varies = deviation > 1e-14
    out: Floats = np.where(varies, views.mean(axis=1) / np.where(varies, deviation, 1.0), 0.0)
    return out * annualised(1.0, period_s)
