"""One parameter set, or a grid of them, run on candles and made into the facts of a report.

The report of a backtest shows one set; that of a search shows the whole grid, walk-forward and the
gate. Both say what bars cannot show. Pure but for the ledger of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.research.arrays import Floats, Ints
from services.research.candle_files import Loaded
from services.research.candles import DAY_S
from services.research.event_bars import BarBacktest
from services.research.gate import judge, passes
from services.research.identity import code_hash, identify, versions
from services.research.kernel import Runs, run_grid, stack
from services.research.metrics import (
    drawdown,
    headline_sharpe,
    returns_of,
    rolling_sharpe,
)
from services.research.prepared import Prepared, holding_returns, prepare, run_both
from services.research.rules import RuleParams
from services.research.search import deflated_of, folds_of, judge_sets, trips_of
from services.research.settings import CostsConfig, ResearchConfig, axes_of
from services.research.sharpe import (
    annualised,
    best,
    deflated_sharpe,
    expected_best,
    probabilistic_sharpe,
    shape_of,
    sharpes,
)
from services.research.trials import Trial, TrialsLedger, Tried, tried
from services.research.walk_forward import split, walk_forward
from shared.errors import ConfigError
from shared.wording import counted

ROLLING_DAYS = 90
CURVE_POINTS_MAX = 10_000
"""Points of each line in a report; figures are of every instant."""
NOT_MODELLED = (
    "latency: the open that fills is the first trade after the close that decided",
    "the path within a bar: drawdown and loss are those at closes",
    "funding, borrowing, margin and liquidation before equity is gone",
    "missing bars: what was decided before a hole is filled at the first open after it",
)


def not_modelled(costs: CostsConfig) -> list[str]:
    """Return what a run leaves out."""
    spread = "" if costs.spread_bps else "no spread, "
    lot = "" if costs.lot_base else ", lot"
    return [
        "the order book: every fill is whole, at the open of a bar, whatever its size; "
        f"{spread}no slippage and no impact of one's own beyond what is configured",
        *NOT_MODELLED,
        f"tick{lot} and least order of a venue",
    ]


def trial_of(
    prepared: Prepared, params: RuleParams, config: ResearchConfig, data: str, ratio: float
) -> Trial:
    """Return the line of the ledger of one set; its id is what was tried, not how it went."""
    values = {name: float(value) for name, value in msgspec.structs.asdict(params).items()}
    what = {
        "data": data,
        "read": config.data,
        "rule": config.rule.name,
        "params": values,
        "costs": config.costs.identity(),
    }
    return Trial(
        id=identify(what),
        data=data,
        rule=config.rule.name,
        params=values,
        fee_bps=config.costs.fee_bps,
        period_s=float(prepared.grid.period_s),
        periods=len(prepared.grid.times_s) - 1 - prepared.scored,
        sharpe=ratio,
    )


def head(
    kind: str, loaded: Loaded, config: ResearchConfig, count: Tried, params: Any
) -> dict[str, Any]:
    """Return what identifies a run, with its id."""
    parts = {
        "kind": kind,
        "data": loaded.manifest,
        "config": msgspec.to_builtins(config),
        "params": params,
        "seed": config.statistics.seed,
        "code": code_hash(),
        "versions": versions(),
        "trials": identify({"ids": count.digest_input.decode()}),
    }
    return {"run_id": identify(parts), **parts, "not_modelled": not_modelled(config.costs)}


def performance(prepared: Prepared, equity: Floats, events: BarBacktest | None) -> dict[str, Any]:
    """Return the metrics of equity on the grid; those of trades only where there are any."""
    grid = prepared.grid
    fall = drawdown(equity)
    ratio = headline_sharpe(grid.times_s, equity, grid.period_s)
    years = (grid.times_s[-1] - grid.times_s[0]) / (365 * DAY_S)
    final = float(equity[-1])
    found: dict[str, Any] = {
        "final": final,
        "total_return": final - 1,
        "annual_return": final ** (1 / years) - 1 if final > 0 else -1.0,
        "sharpe": ratio._asdict(),
        "drawdown": fall.share,
        "drawdown_from_s": int(grid.times_s[fall.peak]),
        "drawdown_to_s": int(grid.times_s[fall.trough]),
    }
    if events is not None:
        gross = final - 1 + events.fees
        found |= {
            "sides": events.sides,
            "round_trips": events.round_trips,
            "winners": events.winners,
            "turnover": events.turnover,
            "bars_in_market": events.bars_in_market / len(prepared.candles.closes),
            "drawdown_at_closes": events.drawdown,
            "fees": events.fees,
            "fee_share_of_gross": events.fees / gross if gross > 0 else None,
            "waterfall": {"gross": gross, "fees": -events.fees, "net": final - 1},
        }
    return found


def curves(prepared: Prepared, equity: Floats, holding: Floats) -> dict[str, Any]:
    """Return the lines of the charts: one value per instant of the grid that is shown.

    ``rolling_from`` is the number of the shown instant that ``rolling_sharpe`` begins at.
    """
    period_s = prepared.grid.period_s
    window = max(2, ROLLING_DAYS * DAY_S // period_s)
    at = shown(len(equity))
    rolling_at = at[at >= window]
    rolling = rolling_sharpe(returns_of(equity), window, period_s)
    return {
        "times_s": prepared.grid.times_s[at].tolist(),
        "equity": equity[at].tolist(),
        "holding": holding[at].tolist(),
        "drawdown": (equity / np.maximum.accumulate(equity) - 1)[at].tolist(),
        "rolling_sharpe": rolling[rolling_at - window].tolist() if len(rolling) else [],
        "rolling_periods": window,
        "rolling_from": len(at) - len(rolling_at),
    }


def shown(instants: int) -> Ints:
    """Return the numbers of the instants that lines show: all, or some and the last."""
    step = -(-instants // (CURVE_POINTS_MAX - 1))
    chosen: Ints = np.unique(np.append(np.arange(0, instants, step), instants - 1))
    return chosen


def backtest(
    loaded: Loaded, config: ResearchConfig, params: RuleParams, ledger: Path
) -> dict[str, Any]:
    """Run one parameter set and return the facts of its report.

    Raises:
        ConfigError: The data or the ledger are not right.
    """
    prepared = prepare(loaded.candles, config, [params])
    events = run_both(prepared, params, config)
    equity = np.array(events.equity)
    scored = returns_of(equity)[prepared.scored :]
    shape = shape_of(scored)
    trial = trial_of(prepared, params, config, loaded.manifest["sha256"], shape.sharpe)
    count = tried(TrialsLedger(ledger).add([trial]), prepared.grid.period_s)
    price = prepared.candles.closes[np.maximum(prepared.grid.bars - 1, 0)]
    held = np.where(prepared.grid.bars > 0, price, prepared.candles.opens[0])
    return head("backtest", loaded, config, count, msgspec.to_builtins(params)) | {
        "performance": performance(prepared, equity, events),
        "curves": curves(prepared, equity, held / prepared.candles.opens[0]),
        "trades": msgspec.to_builtins(list(events.trades)),
        "statistics": {
            "trials": count.trials,
            "trials_variance": count.variance,
            "shape": shape._asdict(),
            "probabilistic_sharpe": probabilistic_sharpe(shape, 0.0),
            "expected_best_of_trials": expected_best(count.variance, count.trials),
            "deflated_sharpe": deflated_sharpe(shape, count.variance, count.trials),
        },
    }


def optimize(
    loaded: Loaded,
    config: ResearchConfig,
    sets: Sequence[RuleParams],
    ledger: Path,
    *,
    jobs: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Run a grid of parameter sets and return the facts of its report.

    Raises:
        ConfigError: The data or the ledger are not right, or there is too little to judge.
    """
    TrialsLedger(ledger).read()  # what is wrong with it is told before the work and not after
    prepared = prepare(loaded.candles, config, sets)
    begins = prepared.grid.times_s[prepared.scored : -1]
    folds = split(begins, prepared.grid.period_s, config.walk_forward.windows())
    rows: list[Runs] = []
    for number, runs in run_grid(prepared.bars, sets, config.trading_costs(), jobs=jobs):
        rows.append(runs)
        on_progress(number + 1, len(sets))
    runs = stack(rows)
    returns = np.column_stack([returns_of(each)[prepared.scored :] for each in runs.equity])
    ratios = sharpes(returns)
    top = best(returns)
    if top is None:
        given = counted(len(sets), "set")
        raise ConfigError(f"none of {given} trades on these data; try other values")
    data = loaded.manifest["sha256"]
    trials = [
        trial_of(prepared, each, config, data, float(ratio))
        for each, ratio in zip(sets, ratios, strict=True)
    ]
    ran = walk_forward(
        returns,
        runs.side.T[prepared.scored :],
        holding_returns(prepared),
        folds,
        fee=config.trading_costs().of_a_side,
        period_s=prepared.grid.period_s,
    )
    trips = trips_of(runs.trips, ran, prepared.scored)
    judged = judge_sets(config.statistics, returns, top, ran, trips)
    count = tried(TrialsLedger(ledger).add(trials), prepared.grid.period_s)
    judged |= deflated_of(returns[:, top], count)
    checks = judge(judged, config.gate)
    events = run_both(prepared, sets[top], config)
    equity = runs.equity[top]
    held = np.concatenate(([1.0], np.cumprod(1 + holding_returns(prepared))))
    held = np.concatenate((np.ones(prepared.scored), held))
    lines = curves(prepared, equity, held)
    picked = np.full(len(equity), np.nan)
    picked[prepared.scored + ran.periods[0]] = 1.0
    picked[prepared.scored + ran.periods + 1] = np.cumprod(1 + ran.returns)
    picked = picked[shown(len(picked))]
    lines["walk_forward"] = [None if np.isnan(value) else float(value) for value in picked]
    return head("optimize", loaded, config, count, [msgspec.to_builtins(s) for s in sets]) | {
        "performance": performance(prepared, equity, events),
        "best": msgspec.to_builtins(sets[top]),
        "curves": lines,
        "trades": msgspec.to_builtins(list(events.trades)),
        "sets": _sets(sets, runs, ratios, prepared.grid.period_s),
        "axes": axes_of(sets),
        "walk_forward": folds_of(ran, sets, begins) | config.walk_forward.gaps_told(),
        "statistics": judged | {"trials": count.trials, "trials_variance": count.variance},
        "gate": [check._asdict() | {"passed": check.passed} for check in checks],
        "passed": passes(checks),
    }


def _sets(
    sets: Sequence[RuleParams], runs: Runs, ratios: Floats, period_s: int
) -> list[dict[str, Any]]:
    return [
        {
            "params": msgspec.to_builtins(each),
            "sharpe": annualised(float(ratio), period_s),
            "total_return": float(runs.figure("final")[at]) - 1,
            "drawdown": float(runs.figure("drawdown")[at]),
            "round_trips": int(runs.figure("round_trips")[at]),
        }
        for at, (each, ratio) in enumerate(zip(sets, ratios, strict=True))
    ]
