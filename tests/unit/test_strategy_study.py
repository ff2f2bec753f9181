"""A study's arithmetic: instants, folds and purge before anything runs, results as returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.lab.study import instants_of
from services.research.lab_study import LabStudy, PlannedSet, SetResult, StudyPlan
from services.research.search_html import heat_card
from services.research.settings import (
    StatisticsConfig,
    StudySettings,
    WalkForwardConfig,
    parse_settings,
)
from services.research.strategy_study import (
    axes_of,
    check_result,
    frame_of,
    optimize_strategy,
    outcomes_of,
    ranked,
)
from services.research.trials import TrialsLedger
from services.research.walk_forward import Fold, Windows, walk_forward
from shared.config_sections import ScannerConfig, StrategyConfig
from shared.errors import ConfigError
from shared.strategy_files import load

DAY = 86_400
BEGIN_S = 1_704_067_200
NS = 1_000_000_000
MARKETS = ("alpha|BTC/USDT", "beta|BTC/USDT:USDT")


def plan(days: float, *, horizon_ms: int = 0, warmup_ms: int = 0, sets: int = 2) -> StudyPlan:
    return StudyPlan(
        strategy="one",
        detector="two",
        sets=[PlannedSet({"x": n}, f"{n}", horizon_ms, warmup_ms) for n in range(sets)],
        left_out=0,
        why="",
        quote="USDT",
        first_ns=BEGIN_S * NS + 5,
        last_ns=BEGIN_S * NS + round(days * DAY * NS),
        source="recording",
        fees_bps=dict.fromkeys(MARKETS, 10.0),
        identity={},
        not_modelled=[],
    )


def settings(**windows: float) -> StudySettings:
    given = {"train_days": 20, "test_days": 10, **windows}
    return StudySettings(walk_forward=WalkForwardConfig(**given))


def result(number: int, profits: list[float | None], **more: object) -> SetResult:
    given: dict[str, object] = {
        "trips": [0] * len(profits),
        "held": {},
        "capital": 1_000.0,
        "fees": 0.0,
        "funding": 0.0,
        "fills": 1,
        "opportunities": 1,
        "plans": 1,
        "hash": "",
        "problems": [],
    }
    return SetResult(number=number, profits=profits, **(given | more))  # type: ignore[arg-type]


def test_the_lab_and_research_look_at_the_same_instants() -> None:
    given = plan(40.3)
    frame = frame_of(given, settings())
    instants = instants_of(given.first_ns, given.last_ns, frame.period_s)
    assert instants.total == len(frame.times_s) == 42
    assert [instants.ns(n) for n in (0, 41)] == [int(frame.times_s[n]) * NS for n in (0, 41)]
    assert int(frame.times_s[0]) == BEGIN_S


def test_the_purge_is_as_long_as_a_round_is_held_unless_it_is_given() -> None:
    held = plan(60, horizon_ms=3 * DAY * 1_000)
    frame = frame_of(held, settings())
    assert [int(fold.test[0] - fold.train[-1]) for fold in frame.folds] == [4, 4, 4, 4]
    given = frame_of(held, settings(purge_days=1))
    assert [int(fold.test[0] - fold.train[-1]) for fold in given.folds] == [2, 2, 2, 2]
    none = frame_of(plan(60), settings())
    assert [int(fold.test[0] - fold.train[-1]) for fold in none.folds] == [1, 1, 1, 1]
    told = settings().walk_forward.gaps_told(frame.horizon_s, why="so long")
    assert told == {"purge_s": 3 * DAY, "purge_why": "so long", "embargo_s": 0}
    told = settings(purge_days=1).walk_forward.gaps_told(frame.horizon_s, why="so long")
    assert told["purge_why"] == "as configured"


def test_windows_may_be_texts_which_count_before_days() -> None:
    given = WalkForwardConfig(train_days=3, train="4h", test="30m", purge="10m", embargo="1m")
    assert given.windows(77) == Windows(14_400, 1_800, purge_s=600, embargo_s=60)
    assert given.gaps_told(77, why="so long")["purge_why"] == "as configured"
    with pytest.raises(ConfigError, match="give whole periods of 1d"):
        frame_of(plan(60), settings(train_days=2.5))


def test_a_purge_that_leaves_nothing_is_told_with_its_reason() -> None:
    held = plan(60, horizon_ms=19 * DAY * 1_000)
    with pytest.raises(ConfigError, match="held up to 19d, so much is purged before a test") as no:
        frame_of(held, settings())
    assert str(no.value).endswith('or give a purge, like walk_forward.purge = "0s"')
    none = StudySettings(
        walk_forward=WalkForwardConfig(train_days=20, test_days=10, purge="0s", embargo="0s")
    )
    assert [int(fold.test[0] - fold.train[-1]) for fold in frame_of(held, none).folds] == [1] * 4
    assert none.walk_forward.gaps_told(DAY, why="so long")["purge_why"] == "as configured"
    with pytest.raises(ConfigError, match=r"walk_forward.train: '0s' is not a length of time"):
        WalkForwardConfig(train="0s").windows()


@pytest.mark.parametrize("name", ["train_days", "test_days", "purge_days", "embargo_days"])
def test_days_that_are_no_second_are_named(name: str) -> None:
    why = f"walk_forward.{name} = 1e-09 is less than a second; give days"
    with pytest.raises(ConfigError, match=why):
        frame_of(plan(60), settings(**{name: 1e-9}))
    with pytest.raises(ConfigError, match=why):
        parse_settings(f'[rule]\nname = "sma_cross"\n[walk_forward]\n{name} = 1e-9\n', "x")


def test_a_single_period_of_training_is_not_blamed_on_a_purge() -> None:
    with pytest.raises(ConfigError, match="train must be at least two periods of 86400 s"):
        frame_of(plan(60), settings(train_days=1))


def test_too_many_instants_are_refused_before_they_are_there() -> None:
    config = StudySettings(
        statistics=StatisticsConfig(period="1s"),
        walk_forward=WalkForwardConfig(train="4h", test="1h"),
    )
    with pytest.raises(ConfigError, match="2 sets at 31536000001 instants are over 10000000"):
        frame_of(plan(365_000), config)


def test_warm_up_is_scored_nowhere() -> None:
    frame = frame_of(plan(60, warmup_ms=5 * DAY * 1_000), settings())
    assert frame.scored == 6, "the first instant at which the last set is warm"
    assert int(frame.begins_s[0]) == BEGIN_S + 6 * DAY


def test_ratios_are_a_years_from_30_days_on_and_a_periods_before() -> None:
    assert frame_of(plan(60), settings()).ratio_s == DAY
    hours = StudySettings(
        statistics=StatisticsConfig(period="1h"),
        walk_forward=WalkForwardConfig(train_days=2, test_days=1),
    )
    assert frame_of(plan(5), hours).ratio_s == 365 * DAY


def test_profits_are_returns_of_the_capital_and_rounds_are_held_in_equities() -> None:
    given = plan(2)
    rounds = {MARKETS[0]: [0.0, 550.0], MARKETS[1]: [0.0, -550.0]}
    found = outcomes_of([result(0, [0.0, 100.0], held=rounds), result(1, [0.0, -50.0])], given)
    assert found.equity.tolist() == [[1.0, 1.1], [1.0, 0.95]]
    assert found.held.shape == (2, 2, 2)
    assert found.held[1, 0].tolist() == pytest.approx([0.5, -0.5])
    assert found.held[1, 1].tolist() == [0.0, 0.0]
    assert found.fees.tolist() == [0.001, 0.001]


def test_a_profit_that_is_unknown_is_not_zero() -> None:
    frame = frame_of(plan(60), settings())
    check_result(result(0, [0.0, 1.0]), plan(2), frame)
    with pytest.raises(ConfigError, match=f"x 1: the profit at {BEGIN_S + DAY} s is unknown"):
        check_result(result(1, [0.0, None]), plan(2), frame)
    with pytest.raises(ConfigError, match="no account has USDT to begin with"):
        check_result(result(0, [0.0, 1.0], capital=0.0), plan(2), frame)


class Given(LabStudy):
    """A lab that has these results."""

    def __init__(self, results: list[SetResult], days: int) -> None:
        self.plan = plan(days, sets=len(results))
        self.ran: list[int] = []
        self._results = results

    def run(self, period_s: int) -> Iterator[SetResult]:
        assert period_s == DAY
        for each in self._results:
            self.ran.append(each.number)
            yield each


def test_no_set_is_run_after_one_whose_profit_is_unknown(tmp_path: Path) -> None:
    profits: list[float | None] = [float(n % 3) for n in range(61)]
    unknown = [*profits[:5], None, *profits[6:]]
    lab = Given([result(n, unknown if n == 1 else profits) for n in range(4)], 60)
    ledger = TrialsLedger(tmp_path / "trials.jsonl")
    with pytest.raises(ConfigError, match=f"x 1: the profit at {BEGIN_S + 5 * DAY} s is unknown"):
        optimize_strategy(lab, settings(), ledger, lambda done, total: None)
    assert lab.ran == [0, 1]
    assert not ledger.read()


def test_parameters_named_like_results_are_kept_apart_from_them() -> None:
    grid = [{"net": net, "sharpe": ratio, "fills": 0} for net in (7.0, 8.0) for ratio in (3.0, 4.0)]
    given = msgspec.structs.replace(
        plan(60), sets=[PlannedSet(values, f"{values}", 0, 0) for values in grid]
    )
    frame = frame_of(given, settings())
    results = [result(n, [0.0, float(n)]) for n in range(4)]
    ratios = np.array([0.1, 0.2, 0.3, 0.4])
    rows = ranked(results, given, outcomes_of(results, given), ratios, frame)
    assert [row["params"] for row in rows] == grid[::-1]
    assert [row["net"] for row in rows] == pytest.approx([3.0, 2.0, 1.0, 0.0])
    drawn = heat_card({"axes": axes_of(grid), "sets": rows, "best": grid[3]})
    for values, ratio in zip(grid, ratios, strict=True):
        told = f"sharpe {values['sharpe']:g}, net {values['net']:g}: {ratio * 365**0.5:.3f}"
        assert told in drawn


def test_a_switch_costs_the_fee_of_every_market_whose_position_changes() -> None:
    """The first set is the pick of the first training, the other one of the second."""
    wobble = np.where(np.arange(12) % 2, 0.001, -0.001)
    first = np.where(np.arange(12) < 5, 0.01, -0.02)
    returns = np.column_stack([first + wobble, -first + wobble])
    held = np.zeros((13, 2, 2))
    held[:, 0] = (1.0, -1.0)  # long spot, short perpetual
    held[:, 1] = (-0.5, 0.0)
    folds = [
        Fold(np.arange(4), np.arange(4, 8)),
        Fold(np.arange(4, 8), np.arange(8, 12)),
    ]
    fees = np.array([0.001, 0.0005])
    ran = walk_forward(returns, held, np.zeros(12), folds, fee=fees, period_s=DAY)
    assert [fold.pick for fold in ran.folds] == [0, 1]
    entry = 1 - 0.999 * 0.9995
    switch = 1 - 0.999**1.5 * 0.9995
    assert ran.switch_cost == pytest.approx(entry + switch)
    assert 1 + ran.returns[0] == pytest.approx((1 + returns[4, 0]) * (1 - entry))
    assert 1 + ran.returns[4] == pytest.approx((1 + returns[8, 1]) * (1 - switch))


@pytest.mark.parametrize(
    ("named", "params", "ms"),
    [
        ("momentum", {"held_minutes_max": 90.0}, 90 * 60_000),
        ("spot_perp_basis", {"held_hours_max": 2.0}, 2 * 3_600_000),
        ("funding_carry", {"hold_hours_max": 3.0}, 3 * 3_600_000),
        ("cross_venue", {}, 0),
    ],
)
def test_a_strategy_says_how_long_it_holds_a_round(named: str, params: dict, ms: int) -> None:
    made = load(StrategyConfig(id="one", class_=named, params=params), ScannerConfig(), "x")
    assert made.strategy is not None
    assert made.strategy.horizon_ms() == ms
