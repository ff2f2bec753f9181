"""How a search over parameter sets is judged, of a rule or of a strategy alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from services.research.arrays import Floats, Ints
from services.research.bootstrap import best_of_many
from services.research.overfitting import overfitting
from services.research.settings import StatisticsConfig
from services.research.sharpe import (
    deflated_sharpe,
    expected_best,
    probabilistic_sharpe,
    shape_of,
)
from services.research.trials import Tried
from services.research.walk_forward import WalkForward


def folds_of(ran: WalkForward, sets: Sequence[Any], begins: Ints) -> dict[str, Any]:
    """Return the folds, their picks, and the result of all tests in sequence."""
    rows = [
        {
            "begin_s": int(begins[fold.begin]),
            "end_s": int(begins[fold.end]),
            "pick": None if fold.pick is None else msgspec.to_builtins(sets[fold.pick]),
            "is_sharpe": fold.is_sharpe,
            "oos_sharpe": fold.oos_sharpe,
            "oos_return": fold.oos_return,
            "spread": fold.spread,
            "rank": fold.rank,
        }
        for fold in ran.folds
    ]
    return {
        "folds": rows,
        "picks": len({fold.pick for fold in ran.folds}),
        "switches": ran.switches,
        "switch_cost": ran.switch_cost,
        "rank_mean": ran.rank_mean,
        "total_return": float(np.prod(1 + ran.returns) - 1),
        "sharpe": ran.oos_sharpe,
        "holding_return": float(np.prod(1 + ran.holding) - 1),
        "holding_sharpe": ran.holding_sharpe,
        "oos_to_is": ran.oos_to_is,
    }


def trips_of(trips: Floats, ran: WalkForward, scored: int) -> int:
    """Count the round trips that the picks closed within their tests.

    ``trips`` are those of each set (row) up to each instant.
    """
    return sum(
        int(trips[fold.pick, scored + fold.end + 1] - trips[fold.pick, scored + fold.begin])
        for fold in ran.folds
        if fold.pick is not None
    )


def judge_sets(
    config: StatisticsConfig, returns: Floats, top: int, ran: WalkForward, trips: int
) -> dict[str, float | None]:
    """Return the statistics that need no ledger."""
    chance = best_of_many(returns, seed=config.seed, samples=config.bootstrap_samples)
    split_up = overfitting(returns, config.blocks)
    return {
        "overfitting_probability": split_up.probability,
        "overfitting_rank_mean": split_up.rank_mean,
        "overfitting_splits": float(split_up.splits),
        "reality_check_p": chance.reality_check,
        "spa_lower_p": chance.spa_lower,
        "spa_p": chance.spa,
        "spa_upper_p": chance.spa_upper,
        "oos_rank": ran.rank_mean,
        "oos_to_is": ran.oos_to_is,
        "oos_over_holding_sharpe": ran.oos_sharpe - ran.holding_sharpe,
        "round_trips": float(trips),
        "probabilistic_sharpe": probabilistic_sharpe(shape_of(returns[:, top]), 0.0),
    }


def deflated_of(returns: Floats, count: Tried) -> dict[str, float | None]:
    """Return the deflated Sharpe ratio of the best, with every trial of the ledger counted."""
    shape = shape_of(returns)
    return {
        "best_sharpe_per_period": shape.sharpe,
        "expected_best_of_trials": expected_best(count.variance, count.trials),
        "deflated_sharpe": deflated_sharpe(shape, count.variance, count.trials),
    }
