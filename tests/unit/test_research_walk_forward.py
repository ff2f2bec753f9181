"""Walk-forward: the arithmetic of folds, what may be known when, and what switching costs."""

from __future__ import annotations

import numpy as np
import pytest

from services.research.walk_forward import Fold, Windows, split, walk_forward
from shared.errors import ConfigError

DAY = 86_400


def days(count: int) -> np.ndarray:
    return DAY * np.arange(20_000, 20_000 + count, dtype=np.int64)


def fold_days(folds: list[Fold]) -> list[tuple[int, int, int, int]]:
    return [(int(f.train[0]), int(f.train[-1]), int(f.test[0]), int(f.test[-1])) for f in folds]


@pytest.mark.parametrize(
    ("count", "folds"),
    [(210, 1), (239, 1), (240, 2), (269, 2), (270, 3), (2_055, 62)],
)
def test_a_last_fold_that_fits_exactly_is_a_fold(count, folds) -> None:
    found = split(days(count), DAY, Windows(180 * DAY, 30 * DAY))
    assert len(found) == folds == (count - 210) // 30 + 1
    assert all(len(f.train) == 180 and len(f.test) == 30 for f in found)


def test_too_little_data_for_a_fold_is_one_line() -> None:
    with pytest.raises(ConfigError, match="209 days of data after warm-up hold no window of 210"):
        split(days(209), DAY, Windows(180 * DAY, 30 * DAY))


def test_windows_are_time_and_not_rows() -> None:
    """A month without data in the middle: windows keep their dates and hold fewer periods."""
    begins = np.delete(days(100), np.arange(20, 50))
    folds = split(begins, DAY, Windows(40 * DAY, 20 * DAY))
    assert [len(f.train) for f in folds] == [20, 10, 30]
    assert [len(f.test) for f in folds] == [10, 20, 20]


def test_a_test_without_a_single_period_is_no_fold() -> None:
    begins = np.delete(days(100), np.arange(40, 70))
    assert [len(f.test) for f in split(begins, DAY, Windows(40 * DAY, 20 * DAY))] == [10, 20]


def test_purge_ends_training_before_the_test() -> None:
    folds = split(days(100), DAY, Windows(40 * DAY, 20 * DAY, purge_s=5 * DAY))
    assert fold_days(folds) == [(0, 34, 40, 59), (20, 54, 60, 79), (40, 74, 80, 99)]


def test_anchored_training_begins_at_the_beginning() -> None:
    folds = split(days(100), DAY, Windows(40 * DAY, 20 * DAY, anchored=True))
    assert fold_days(folds) == [(0, 39, 40, 59), (0, 59, 60, 79), (0, 79, 80, 99)]


def test_nothing_is_trained_on_for_a_while_after_a_test() -> None:
    windows = Windows(40 * DAY, 20 * DAY, embargo_s=3 * DAY, anchored=True)
    folds = split(days(100), DAY, windows)
    assert set(range(60)) - set(folds[1].train.tolist()) == set()
    assert set(range(80)) - set(folds[2].train.tolist()) == {60, 61, 62}


@pytest.mark.parametrize(
    ("windows", "why"),
    [
        (Windows(DAY // 2, DAY), "at least one period"),
        (Windows(10 * DAY, 5 * DAY, step_s=2 * DAY), "scores periods twice"),
        (Windows(10 * DAY, 5 * DAY, purge_s=9 * DAY), "leaves nothing to train on"),
        (Windows(10 * DAY, 5 * DAY, embargo_s=-1), "not below 0"),
    ],
)
def test_windows_that_make_no_sense(windows, why) -> None:
    with pytest.raises(ConfigError, match=why):
        split(days(100), DAY, windows)


def two_sets() -> tuple[np.ndarray, np.ndarray]:
    """Set 0 is good in the first half, set 1 in the second; both wobble so that they vary."""
    wobble = np.where(np.arange(80) % 2, 0.001, -0.001)
    first = np.where(np.arange(80) < 40, 0.01, -0.01)
    return np.column_stack([first + wobble, -first + wobble]), np.zeros(80)


def run(returns, holding, sides, fee=0.0, windows=Windows(20 * DAY, 10 * DAY)):
    folds = split(days(len(returns)), DAY, windows)
    return walk_forward(returns, sides, holding, folds, fee=fee, period_s=DAY)


def test_the_pick_of_each_training_is_scored_on_what_came_next() -> None:
    returns, holding = two_sets()
    ran = run(returns, holding, np.ones((81, 2)))
    picks = [fold.pick for fold in ran.folds]
    assert picks == [0, 0, 0, 0, 1, 1]
    expected = [returns[20 + 10 * k : 30 + 10 * k, pick] for k, pick in enumerate(picks)]
    assert ran.returns.tolist() == np.concatenate(expected).tolist()
    assert [fold.rank for fold in ran.folds] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert ran.switches == 1
    assert ran.folds[0].spread > 0


def test_switching_costs_the_change_of_position_and_so_does_the_entry() -> None:
    returns, holding = two_sets()
    sides = np.column_stack([np.ones(81), -np.ones(81)])
    free, paid = run(returns, holding, sides), run(returns, holding, sides, fee=0.001)
    # long from the start: one side; from long to short at the fifth fold: two
    changed = np.flatnonzero(free.returns != paid.returns)
    assert changed.tolist() == [0, 40]
    assert 1 + paid.returns[0] == pytest.approx((1 + free.returns[0]) * 0.999)
    assert 1 + paid.returns[40] == pytest.approx((1 + free.returns[40]) * 0.999**2)
    assert paid.switch_cost == pytest.approx(0.001 + 1 - 0.999**2)


def test_where_no_set_traded_nothing_is_picked_and_nothing_is_earned() -> None:
    returns, holding = np.zeros((60, 3)), np.full(60, 0.01)
    returns[45:, 1] = 0.05
    ran = run(returns, holding, np.zeros((61, 3)))
    assert [fold.pick for fold in ran.folds[:3]] == [None, None, None]
    assert ran.returns[:25].tolist() == [0.0] * 25


def test_out_of_sample_over_in_sample_is_unknown_where_nothing_was_gained_in_sample() -> None:
    draw = np.random.Generator(np.random.PCG64(3))
    losing = draw.normal(-0.01, 0.001, (60, 2))
    assert run(losing, np.zeros(60), np.zeros((61, 2))).oos_to_is is None


def test_training_never_sees_its_test() -> None:
    returns, holding = two_sets()
    ran = run(returns, holding, np.ones((81, 2)))
    for at in (30, 40, 50):
        garbage = returns.copy()
        garbage[at:] = np.random.Generator(np.random.PCG64(at)).normal(0, 1, garbage[at:].shape)
        other = run(garbage, holding, np.ones((81, 2)))
        known = [k for k in range(len(ran.folds)) if 20 + 10 * k <= at]
        assert [ran.folds[k].pick for k in known] == [other.folds[k].pick for k in known]
