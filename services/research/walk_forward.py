"""Walk-forward: pick on what was known, score on what came next, again and again. Pure.

Windows are cut in time and not in rows. Every parameter set runs once over all the data, so it is
warm wherever a window begins, and its warm-up is scored nowhere. Training ends ``purge`` before its
test, as long as a position may be held; for ``embargo`` after each test nothing is trained on.
Changing from one set to another costs what the change of position costs: the fee of each side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.research.arrays import Floats, Ints
from services.research.sharpe import FLAT, annualised, best, sharpe, sharpes
from shared.errors import ConfigError


class Windows(NamedTuple):
    """How long things are, in seconds; ``step_s`` 0 is as long as a test.

    Attributes:
        anchored: Training always begins at the first period, and so grows.
    """

    train_s: int
    test_s: int
    step_s: int = 0
    purge_s: int = 0
    embargo_s: int = 0
    anchored: bool = False


class Fold(NamedTuple):
    """Periods (numbers of the grid) to train on and to test on."""

    train: Ints
    test: Ints


class Picked(NamedTuple):
    """What one fold came to; ``pick`` is None where no set traded in training: stay out.

    Attributes:
        spread: Annual Sharpe ratio in training of the pick, less the median of all sets.
        rank: Of the pick in the test: 1 is the best of all sets, 0 the worst.
    """

    begin: int
    end: int
    pick: int | None
    is_sharpe: float
    oos_sharpe: float
    oos_return: float
    spread: float
    rank: float


class WalkForward(NamedTuple):
    """All folds, and the returns of the tests in a row.

    Attributes:
        returns: Per period, costs of switching taken off.
        holding: Of the same periods.
        periods: Numbers of the grid that they belong to.
        switches: How many times another set was picked.
        switch_cost: What that cost, as a share of equity, summed.
        rank_mean: Mean rank of the picks in their tests.
        oos_to_is: Sharpe ratio of ``returns`` over the mean one in training.
    """

    folds: tuple[Picked, ...]
    returns: Floats
    holding: Floats
    periods: Ints
    switches: int
    switch_cost: float
    rank_mean: float
    oos_sharpe: float
    holding_sharpe: float
    oos_to_is: float | None


def split(begins_s: Ints, period_s: int, windows: Windows) -> list[Fold]:
    """Return the folds of periods that begin at these times, one after the other.

    Of n periods, with training and test of whole periods, there are
    floor((n - train - test) / step) + 1.

    Raises:
        ConfigError: No window fits, or a length is impossible.
    """
    step_s = windows.step_s or windows.test_s
    if min(windows.train_s, windows.test_s, step_s) < period_s or min(windows[3:5]) < 0:
        raise ConfigError(
            f"walk-forward: train, test and step must each be at least one period of {period_s} s, "
            "and purge and embargo not below 0"
        )
    if windows.train_s < 2 * period_s:
        raise ConfigError(
            f"walk-forward: train must be at least two periods of {period_s} s: a Sharpe ratio of "
            "one return is none"
        )
    if step_s < windows.test_s:
        raise ConfigError("walk-forward: a step shorter than the test scores periods twice")
    if windows.purge_s > windows.train_s - 2 * period_s:
        raise ConfigError("walk-forward: the purge leaves nothing to train on; lengthen train")
    end_s = int(begins_s[-1]) + period_s if len(begins_s) else 0
    begin_s = int(begins_s[0]) if len(begins_s) else 0
    folds: list[Fold] = []
    barred = np.zeros(len(begins_s), dtype=np.bool_)
    start_s = begin_s
    while start_s + windows.train_s + windows.test_s <= end_s:
        test_s = start_s + windows.train_s
        first_s = begin_s if windows.anchored else start_s
        ends = begins_s + period_s
        in_train = (begins_s >= first_s) & (ends <= test_s - windows.purge_s) & ~barred
        in_test = (begins_s >= test_s) & (ends <= test_s + windows.test_s)
        if in_test.any():
            folds.append(Fold(np.flatnonzero(in_train), np.flatnonzero(in_test)))
        after_s = test_s + windows.test_s
        barred |= (begins_s >= after_s) & (begins_s < after_s + windows.embargo_s)
        start_s += step_s
    if not folds:
        days = (end_s - begin_s) / 86_400
        needed = (windows.train_s + windows.test_s) / 86_400
        raise ConfigError(
            f"walk-forward: {days:g} days of data after warm-up hold no window of {needed:g} days; "
            "give more data, or shorten train_days or test_days"
        )
    return folds


def walk_forward(
    returns: Floats,
    sides: Floats,
    holding: Floats,
    folds: Sequence[Fold],
    *,
    fee: float | Floats,
    period_s: float,
) -> WalkForward:
    """Pick the best set of each training window and score it on the test that follows.

    Args:
        returns: Of every set, one column each, per period.
        sides: What every set holds when a period begins, in equities: one number for each period
            and set, or one for each market, signed.
        holding: Returns of holding, per period.
        folds: Which periods to train and test on.
        fee: Of each side of a switch, as a share; one number, or one for each market.
        period_s: Length of a period; ratios are given for a year.
    """
    parts: list[Floats] = []
    picked: list[Picked] = []
    out, before, switches, paid = np.zeros_like(sides[0, 0]), None, 0, 0.0
    held = out
    for fold in folds:
        train, test = returns[fold.train], returns[fold.test]
        pick = best(train) if len(train) > 1 else None
        scored = test[:, pick].copy() if pick is not None else np.zeros(len(test))
        side = sides[fold.test[0], pick] if pick is not None else out
        if pick != before or before is None:
            cost = float(1 - np.prod((1 - fee) ** np.abs(side - held)))
            scored[0] -= cost * (1 + scored[0])
            switches += bool(picked)
            paid += cost
        last = fold.test[-1] + 1
        held = sides[last, pick] if pick is not None and last < len(sides) else out
        before = pick
        parts.append(scored)
        picked.append(_fold(fold, train, test, (pick, scored), period_s))
    joined, periods = np.concatenate(parts), np.concatenate([fold.test for fold in folds])
    inside = [f.is_sharpe for f in picked if f.pick is not None]
    trained = float(np.mean(inside)) if inside else 0.0
    scored_sharpe = annualised(sharpe(joined), period_s)
    return WalkForward(
        folds=tuple(picked),
        returns=joined,
        holding=holding[periods],
        periods=periods,
        switches=switches,
        switch_cost=paid,
        rank_mean=float(np.mean([f.rank for f in picked])),
        oos_sharpe=scored_sharpe,
        holding_sharpe=annualised(sharpe(holding[periods]), period_s),
        oos_to_is=scored_sharpe / trained if trained > FLAT else None,
    )


def _fold(
    fold: Fold, train: Floats, test: Floats, chosen: tuple[int | None, Floats], period_s: float
) -> Picked:
    pick, scored = chosen
    year = annualised(1.0, period_s)
    begin, end = int(fold.test[0]), int(fold.test[-1])
    change = float(np.prod(1 + scored) - 1)
    if pick is None:
        return Picked(begin, end, None, 0.0, 0.0, change, 0.0, 0.0)
    inside, outside = sharpes(train), sharpes(test)
    below, equal = (outside < outside[pick]).sum(), (outside == outside[pick]).sum()
    others = len(outside) - 1
    rank = float(below + (equal - 1) / 2) / others if others else 0.5
    return Picked(
        begin=begin,
        end=end,
        pick=pick,
        is_sharpe=float(inside[pick]) * year,
        oos_sharpe=sharpe(scored) * year,
        oos_return=change,
        spread=float(inside[pick] - np.median(inside)) * year,
        rank=rank,
    )
