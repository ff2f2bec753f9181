"""Is the best of many better than the benchmark: White's reality check and Hansen's SPA. Pure.

Both ask how large the best mean advantage would be by chance, if no trial had any: the advantages
are resampled in blocks of random length (the stationary bootstrap), all trials together, so what
the trials have in common stays in common. The chance is seeded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from services.research.arrays import Floats, Ints
from services.research.sharpe import FLAT
from shared.errors import ConfigError

CELLS_AT_ONCE = 2**20
"""Samples times periods that are in memory at a time."""


class BestOfMany(NamedTuple):
    """P-values of "none is better than the benchmark".

    Attributes:
        reality_check: White's; worthless trials beside the best make it larger.
        spa_lower: Hansen's, bounded from below.
        spa: Hansen's consistent one.
        spa_upper: Hansen's, bounded from above.
        samples: How many resamples.
        block_periods: Mean length of a block.
    """

    reality_check: float
    spa_lower: float
    spa: float
    spa_upper: float
    samples: int
    block_periods: float


def best_of_many(
    advantages: Floats, *, seed: int, samples: int = 1_000, block_periods: float | None = None
) -> BestOfMany:
    """Test the trials' returns less the benchmark's, one column per trial.

    Args:
        advantages: Return of each trial less that of the benchmark, one row per period.
        seed: Of the resampling.
        samples: How many.
        block_periods: Mean length of a block; by default the root of the number of periods.

    Raises:
        ConfigError: Too few periods, samples, or a block shorter than one period.
    """
    periods = len(advantages)
    block = math.sqrt(periods) if block_periods is None else block_periods
    if periods < 8 or samples < 1 or not 1 <= block <= periods:
        raise ConfigError(
            f"{periods} periods, {samples} samples, blocks of {block:g}: a bootstrap needs at "
            "least 8 periods, 1 sample, and blocks of 1 period up to all of them"
        )
    mean = advantages.mean(axis=0)
    deviation = np.sqrt(long_run_variance(advantages, block))
    # A trial that never differs from the benchmark is no evidence either way.
    scale = np.where(deviation > FLAT, deviation, np.inf)
    bound = -scale_bound(deviation, periods)
    centres = (
        np.maximum(mean, 0.0),
        np.where(mean >= bound, mean, 0.0),
        mean,
    )
    best, best_scaled = mean.max(), (mean / scale).max()
    draw = np.random.Generator(np.random.PCG64(seed))
    beaten = np.zeros(4)
    at_once = max(1, CELLS_AT_ONCE // periods)
    for done in range(0, samples, at_once):
        count = min(at_once, samples - done)
        resampled = _resampled_means(advantages, count, block, draw)
        beaten[0] += ((resampled - mean).max(axis=1) >= best).sum()
        for at, centre in enumerate(centres, 1):
            beaten[at] += (((resampled - centre) / scale).max(axis=1) >= best_scaled).sum()
    share = (beaten + 1) / (samples + 1)  # what was observed is one of the ways it may go
    check, lower, consistent, upper = share.tolist()
    return BestOfMany(check, lower, consistent, upper, samples, float(block))


def scale_bound(deviation: Floats, periods: int) -> Floats:
    """Return how far below zero a mean must be for its trial to be left out as hopeless."""
    out: Floats = deviation / math.sqrt(periods) * math.sqrt(2 * math.log(math.log(periods)))
    return out


def long_run_variance(values: Floats, block_periods: float) -> Floats:
    """Return the variance of root-n times the mean that the stationary bootstrap implies."""
    periods = len(values)
    centred = values - values.mean(axis=0)
    # Autocovariances of all lags at once, by the spectrum.
    size = 1 << (2 * periods - 1).bit_length()
    spectrum = np.fft.rfft(centred, size, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=0)[:periods] / periods
    lag = np.arange(1, periods)
    stays = 1 - 1 / block_periods
    weight = (1 - lag / periods) * stays**lag + lag / periods * stays ** (periods - lag)
    out: Floats = np.maximum(covariance[0] + 2 * weight @ covariance[1:], 0.0)
    return out


def stationary_rows(
    periods: int, samples: int, block_periods: float, draw: np.random.Generator
) -> Ints:
    """Return resampled row numbers, one line per sample: blocks of geometric length, wrapping."""
    begins = draw.random((samples, periods)) < 1 / block_periods
    begins[:, 0] = True
    starts = draw.integers(0, periods, (samples, periods))
    place = np.arange(periods)
    last_begin = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    rows: Ints = (np.take_along_axis(starts, last_begin, axis=1) + place - last_begin) % periods
    return rows


def _resampled_means(
    values: Floats, samples: int, block_periods: float, draw: np.random.Generator
) -> Floats:
    periods = len(values)
    rows = stationary_rows(periods, samples, block_periods, draw)
    flat = (rows + np.arange(samples)[:, None] * periods).ravel()
    counts = np.bincount(flat, minlength=samples * periods).reshape(samples, periods)
    out: Floats = counts @ values / periods
    return out
