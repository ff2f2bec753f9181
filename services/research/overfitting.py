"""Probability of backtest overfitting by combinatorially symmetric cross-validation. Pure.

The periods are cut into ``blocks`` of equal length; every half of the blocks is once the sample in
which the best trial is picked, and the other half shows where the pick ranks. Where picking helps
nothing, half of the picks end below the median: the probability is 0.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from services.research.arrays import Bools, Floats
from services.research.sharpe import FLAT
from shared.errors import ConfigError

BLOCKS = 16
CELLS_AT_ONCE = 2**21
"""Splits times trials that are in memory at a time."""


class Overfitting(NamedTuple):
    """What the splits show.

    Attributes:
        probability: Share of splits whose pick is at or below the median outside its sample.
        splits: How many there were.
        periods: Of the returns, how many were used: the last multiple of ``blocks``.
        rank_mean: Where the picks rank on the mean outside, from 0 (worst) to 1 (best).
        loss_probability: Share of splits whose pick loses outside its sample.
    """

    probability: float
    splits: int
    periods: int
    rank_mean: float
    loss_probability: float


def overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfitting:
    """Return how often the best of the trials (columns) in a sample is none outside of it.

    Raises:
        ConfigError: An odd number of blocks, a single trial, or too few periods.
    """
    periods, trials = returns.shape
    length = periods // blocks
    if blocks < 2 or blocks % 2:
        raise ConfigError(f"{blocks} blocks: overfitting needs an even number of at least 2")
    if trials < 2:
        raise ConfigError("overfitting of a single trial cannot be told; give at least 2")
    if length < 2:
        raise ConfigError(f"{periods} periods: overfitting needs at least {2 * blocks}")
    used = returns[periods - length * blocks :]
    cut = used.reshape(blocks, length, trials)
    # Deviation of each column from its own mean: squares of it do not cancel.
    cut = cut - used.mean(axis=0)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    logits: list[Floats] = []
    ranks: list[Floats] = []
    losing = 0
    for inside in _halves(blocks, max(1, CELLS_AT_ONCE // trials)):
        chosen = _sharpes(inside, sums, squares, length, used.mean(axis=0)).argmax(axis=1)
        outside = _sharpes(~inside, sums, squares, length, used.mean(axis=0))
        rank = _relative_rank(outside, chosen)
        ranks.append(rank)
        logits.append(np.log(rank / (1 - rank)))
        losing += int((outside[np.arange(len(chosen)), chosen] < 0).sum())
    found, ranked = np.concatenate(logits), np.concatenate(ranks)
    return Overfitting(
        probability=float((found <= 0).mean()),
        splits=len(found),
        periods=len(used),
        rank_mean=float(ranked.mean()),
        loss_probability=losing / len(found),
    )


def _halves(blocks: int, at_once: int) -> Iterator[Bools]:
    """Yield every half of the blocks as rows of masks, so many rows at a time."""
    chosen = itertools.combinations(range(blocks), blocks // 2)
    while rows := list(itertools.islice(chosen, at_once)):
        mask = np.zeros((len(rows), blocks), dtype=np.bool_)
        np.put_along_axis(mask, np.array(rows), True, axis=1)
        yield mask


def _sharpes(mask: Bools, sums: Floats, squares: Floats, length: int, base: Floats) -> Floats:
    """Return Sharpe ratios (split, trial) over the blocks of a mask; 0 where nothing varies."""
    weights = mask.astype(np.float64)
    periods = length * mask.sum(axis=1, keepdims=True)
    shifted = weights @ sums / periods
    variance = (weights @ squares - periods * shifted**2) / (periods - 1)
    varies = variance > FLAT**2
    ratio = (shifted + base) / np.sqrt(np.where(varies, variance, 1.0))
    out: Floats = np.where(varies, ratio, 0.0)
    return out


def _relative_rank(
    values: Floats, chosen: np.ndarray[tuple[int, ...], np.dtype[np.intp]]
) -> Floats:
    """Return rank / (trials + 1) of the chosen one of each row; equals share their mean rank."""
    own = values[np.arange(len(chosen)), chosen][:, None]
    below, equal = (values < own).sum(axis=1), (values == own).sum(axis=1)
    out: Floats = (below + (equal + 1) / 2) / (values.shape[1] + 1)
    return out
