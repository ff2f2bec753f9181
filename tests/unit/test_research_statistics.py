"""Statistics of research against closed forms, brute force, and what another library says."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from services.research.bootstrap import best_of_many, long_run_variance, stationary_rows
from services.research.gate import GateConfig, judge, passes
from services.research.overfitting import overfitting
from services.research.sharpe import (
    Shape,
    annualised,
    best,
    deflated_sharpe,
    expected_best,
    probabilistic_sharpe,
    shape_of,
    sharpe,
)
from shared.errors import ConfigError


def random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_sharpe_has_the_sample_deviation_and_nothing_to_say_of_flat_returns() -> None:
    assert sharpe(np.array([0.01, 0.03])) == pytest.approx(0.02 / (0.01 * math.sqrt(2)))
    assert sharpe(np.zeros(5)) == 0.0
    assert sharpe(np.full(50, 0.001)) == 0.0
    assert sharpe(np.array([0.5])) == 0.0


def test_what_never_traded_is_not_picked_although_its_ratio_is_above_a_negative_one() -> None:
    losing = np.array([[0.0, -0.02, -0.01], [0.0, 0.01, -0.02], [0.0, -0.01, 0.001]])
    assert best(losing) == 1
    assert best(losing[:, :1]) is None


def test_a_year_is_365_days_of_the_grid_it_was_measured_on() -> None:
    assert annualised(0.01, 3_600) == pytest.approx(0.01 * math.sqrt(8_760))
    assert annualised(0.01, 86_400) == pytest.approx(0.01 * math.sqrt(365))


def test_probabilistic_sharpe_of_normal_returns_is_the_closed_form() -> None:
    shape = Shape(periods=1_001, sharpe=0.05, skew=0.0, kurtosis=3.0)
    z = 0.05 * math.sqrt(1_000) / math.sqrt(1 + 0.05**2 / 2)
    assert probabilistic_sharpe(shape, 0.0) == pytest.approx(NormalDist().cdf(z))
    # raw kurtosis: fat tails and a negative skew make it less sure
    assert probabilistic_sharpe(Shape(1_001, 0.05, -2.0, 20.0), 0.0) < probabilistic_sharpe(
        shape, 0.0
    )


def test_the_published_example_of_a_deflated_sharpe_ratio() -> None:
    """Bailey and Lopez de Prado (2014): SR 2.5 a year of 250 days, 100 trials of variance 1/2."""
    shape = Shape(1_250, 2.5 / math.sqrt(250), -3.0, 10.0)
    assert expected_best(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(shape, 0.5 / 250, 100) == pytest.approx(0.9004, abs=5e-5)


def test_one_trial_has_nothing_to_deflate() -> None:
    assert expected_best(0.1, 1) == 0.0
    assert expected_best(1e-4, 1_000) > expected_best(1e-4, 10) > 0


def test_shape_of_returns_is_raw_kurtosis() -> None:
    values = random(3).normal(0.001, 0.02, 200_000)
    shape = shape_of(values)
    assert shape.kurtosis == pytest.approx(3.0, abs=0.05)
    assert shape.skew == pytest.approx(0.0, abs=0.02)


def brute_force_overfitting(returns: np.ndarray, blocks: int) -> float:
    length = len(returns) // blocks
    parts = np.split(returns[len(returns) - length * blocks :], blocks)
    bad, count = 0, 0
    for inside in itertools.combinations(range(blocks), blocks // 2):
        sample = np.concatenate([parts[i] for i in inside])
        rest = np.concatenate([parts[i] for i in range(blocks) if i not in inside])
        chosen = int(np.argmax([sharpe(column) for column in sample.T]))
        ratios = [sharpe(column) for column in rest.T]
        rank = sum(value <= ratios[chosen] for value in ratios) / (len(ratios) + 1)
        bad += math.log(rank / (1 - rank)) <= 0
        count += 1
    return bad / count


def test_overfitting_equals_every_split_done_one_by_one() -> None:
    returns = random(5).normal(0.0002, 0.01, (203, 7))
    found = overfitting(returns, blocks=8)
    assert found.splits == 70
    assert found.periods == 200
    assert found.probability == pytest.approx(brute_force_overfitting(returns, 8), abs=1e-12)


def test_the_best_of_noise_is_overfitted_half_of_the_time() -> None:
    draws = [random(seed).normal(0, 0.01, (160, 20)) for seed in range(60)]
    assert np.mean([overfitting(d, 8).probability for d in draws]) == pytest.approx(0.5, abs=0.07)


def test_a_trial_that_is_really_better_is_not_overfitted() -> None:
    returns = random(2).normal(0, 0.01, (1_600, 20))
    returns[:, 4] += 0.004
    found = overfitting(returns)
    assert found.splits == 12_870
    assert found.probability == 0.0
    assert found.rank_mean > 0.9


def test_equal_trials_share_their_rank() -> None:
    """All alike: whichever is picked is exactly the median, which is no success."""
    one = random(4).normal(0, 0.01, (160, 1))
    assert overfitting(np.repeat(one, 5, axis=1)).probability == 1.0


@pytest.mark.parametrize(
    ("shape", "blocks", "why"),
    [
        ((100, 1), 16, "single trial"),
        ((20, 3), 16, "at least 32"),
        ((100, 3), 5, "even number"),
    ],
)
def test_overfitting_that_cannot_be_told_says_so(shape, blocks, why) -> None:
    with pytest.raises(ConfigError, match=why):
        overfitting(np.ones(shape), blocks)


def oracle_case(case: str) -> np.ndarray:
    draw = np.random.Generator(np.random.PCG64(11))
    common = draw.normal(0, 1, (500, 1))
    values = (0.6 * common + draw.normal(0, 1, (500, 12))) * np.linspace(0.5, 2, 12)
    for i in range(1, 500):
        values[i] += 0.25 * values[i - 1]
    shift = {
        "none": np.linspace(-0.2, 0.06, 12),
        "some": np.linspace(-0.3, 0.16, 12),
        "hopeless": np.r_[np.full(11, -1.5), 0.12],
    }[case]
    return values - values.mean(axis=0) + shift


ORACLE = {
    "none": (0.8573, 0.76455, 0.879, 0.9452),
    "some": (0.32505, 0.3713, 0.4493, 0.61195),
    "hopeless": (0.537, 0.1697, 0.1697, 0.78775),
}
"""By arch 8.0.0, ``SPA(zeros, -x, block_size=10, reps=20_000, seed=3)``: the reality check is its
upper value; the others are of x over its deviation, because its statistic is not studentised."""


@pytest.mark.parametrize("case", ORACLE)
def test_reality_check_and_spa_are_what_another_library_says(case) -> None:
    found = best_of_many(oracle_case(case), seed=5, samples=6_000, block_periods=10)
    assert found[:4] == pytest.approx(ORACLE[case], abs=0.02)


def test_a_hopeless_crowd_hides_a_good_trial_from_the_reality_check_but_not_from_spa() -> None:
    draw = random(8)
    good = draw.normal(0.12, 1, (800, 1))
    crowd = draw.normal(-3, 12, (800, 30))
    found = best_of_many(np.hstack([good, crowd]), seed=1, samples=2_000)
    assert found.spa < 0.05 < found.reality_check


def test_the_chance_of_the_bootstrap_is_its_seed() -> None:
    values = random(6).normal(0.02, 1, (300, 4))
    assert best_of_many(values, seed=1) == best_of_many(values, seed=1)
    assert best_of_many(values, seed=1) != best_of_many(values, seed=2)


def test_trials_that_never_trade_are_no_evidence() -> None:
    assert best_of_many(np.zeros((50, 3)), seed=1, samples=50)[:4] == (1, 1, 1, 1)


def test_blocks_of_the_bootstrap_have_the_mean_length_asked_for() -> None:
    rows = stationary_rows(1_000, 200, 20, random(9))
    follows = (np.diff(rows, axis=1) % 1_000) == 1
    assert 1 / (1 - follows.mean()) == pytest.approx(20, rel=0.05)
    assert np.bincount(rows.ravel(), minlength=1_000).min() > 0


def test_long_run_variance_is_the_plain_sum_over_all_lags() -> None:
    values = random(10).normal(0, 1, (60, 3))
    centred, n, stays = values - values.mean(axis=0), 60, 1 - 1 / 7
    plain = (centred**2).mean(axis=0)
    for lag in range(1, n):
        weight = (1 - lag / n) * stays**lag + lag / n * stays ** (n - lag)
        plain = plain + 2 * weight * (centred[:-lag] * centred[lag:]).sum(axis=0) / n
    assert long_run_variance(values, 7) == pytest.approx(plain)


@pytest.mark.parametrize("block", [0.5, 51])
def test_a_block_is_at_least_one_period_and_at_most_all(block) -> None:
    with pytest.raises(ConfigError, match="blocks of 1 period up to all"):
        best_of_many(np.ones((50, 2)), seed=1, block_periods=block)


GOOD = {
    "deflated_sharpe": 0.99,
    "overfitting_probability": 0.05,
    "reality_check_p": 0.01,
    "spa_p": 0.01,
    "oos_rank": 0.8,
    "oos_to_is": 0.9,
    "oos_over_holding_sharpe": 0.5,
    "round_trips": 120,
}


def test_everything_together_passes() -> None:
    assert passes(judge(GOOD, GateConfig()))


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, math.nan])
def test_no_statistic_is_left_out_and_an_unknown_one_fails(name, value) -> None:
    checks = judge(GOOD | {name: value}, GateConfig())
    assert [check.name for check in checks if not check.passed] == [name]


def test_a_deflated_sharpe_of_0_997_does_not_pass_beside_overfitting() -> None:
    assert not passes(judge(GOOD | {"overfitting_probability": 0.544}, GateConfig()))
