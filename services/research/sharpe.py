"""Sharpe ratios, and how sure one may be of them. Pure.

Everything here is *per period* of the grid that the returns were taken on: a probability computed
from an annualised ratio is wrong by the root of the periods in a year.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from services.research.arrays import Floats

YEAR_S = 365 * 86_400
"""Crypto trades every day of a year."""
EULER_GAMMA = 0.5772156649015329
_NORMAL = NormalDist()
FLAT = 1e-14
"""A deviation below this is rounding: returns that do not vary have no Sharpe ratio."""


class Shape(NamedTuple):
    """What the distribution of returns looks like; ``kurtosis`` is raw, 3 for a normal one."""

    periods: int
    sharpe: float
    skew: float
    kurtosis: float


def sharpe(returns: Floats) -> float:
    """Return mean over sample deviation, per period; 0 where nothing varies."""
    return float(sharpes(returns.reshape(-1, 1))[0])


def sharpes(returns: Floats) -> Floats:
    """Return the Sharpe ratio per period of every column."""
    if len(returns) < 2:
        return np.zeros(returns.shape[1])
    deviation = returns.std(axis=0, ddof=1)
    varies = deviation > FLAT
    out: Floats = np.where(varies, returns.mean(axis=0) / np.where(varies, deviation, 1.0), 0.0)
    return out


def best(returns: Floats) -> int | None:
    """Return the column of the highest Sharpe ratio; what never varied has none."""
    varies = np.flatnonzero(returns.std(axis=0) > FLAT)
    if not len(varies):
        return None
    return int(varies[sharpes(returns[:, varies]).argmax()])


def periods_per_year(period_s: float) -> float:
    """Return how many periods of a grid a year of 365 days has."""
    return YEAR_S / period_s


def annualised(per_period: float, period_s: float) -> float:
    """Return a Sharpe ratio per period as one per year."""
    return per_period * math.sqrt(periods_per_year(period_s))


def shape_of(returns: Floats) -> Shape:
    """Measure skew and raw kurtosis (moments over n) beside the Sharpe ratio."""
    deviation = float(returns.std()) if len(returns) else 0.0
    if deviation <= FLAT:
        return Shape(len(returns), 0.0, 0.0, 3.0)
    z = (returns - returns.mean()) / deviation
    return Shape(len(returns), sharpe(returns), float((z**3).mean()), float((z**4).mean()))


def probabilistic_sharpe(shape: Shape, benchmark: float) -> float:
    """Return how probable it is that the true Sharpe ratio is above ``benchmark`` (per period)."""
    ratio = shape.sharpe
    spread = 1 - shape.skew * ratio + (shape.kurtosis - 1) / 4 * ratio**2
    if shape.periods < 2 or spread <= 0:
        return 0.0
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt(shape.periods - 1) / math.sqrt(spread))


def expected_best(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of so many worthless trials is expected to show."""
    if trials < 2:
        return 0.0
    high = _NORMAL.inv_cdf(1 - 1 / trials)
    higher = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(shape: Shape, variance: float, trials: int) -> float:
    """Return the probability that a ratio is real, after so many trials of that variance."""
    return probabilistic_sharpe(shape, expected_best(variance, trials))
