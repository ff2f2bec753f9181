"""A grid of parameters of a strategy: run by the lab, judged, and made into a report's facts.

Each set trades all the data once, by the engines that trade live. Walk-forward picks and scores on
the returns of these runs, so a strategy is as warm in every test as it would be by then. Pure but
for the ledger of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.research.arrays import Floats, Ints
from services.research.candles import DAY_S, length_s, length_text
from services.research.gate import judge, passes
from services.research.identity import code_hash, identify, versions
from services.research.lab_study import LabStudy, SetResult, StudyPlan
from services.research.metrics import check_cells, drawdown, returns_of
from services.research.search import deflated_of, folds_of, judge_sets, trips_of
from services.research.settings import NO_LENGTH, StudySettings
from services.research.sharpe import YEAR_S, annualised, best, sharpes
from services.research.study import shown
from services.research.trading import SOURCES
from services.research.trading_days import SHARPE_DAYS_MIN
from services.research.trials import Trial, TrialsLedger, tried
from services.research.walk_forward import Fold, WalkForward, split, walk_forward
from shared.errors import ConfigError
from shared.wording import counted

SECOND_NS = 1_000_000_000
NO_RATIO_PERIODS = 8
"""With fewer periods a Sharpe ratio says nothing."""
NOT_MODELLED = (
    "in walk-forward, the balances and fee tiers that earlier picks would have left: a set begins "
    "a test with those of its own run",
    "half the spread of a switch between sets: it costs the fees of the rounds that change",
    "the return of the market: the benchmark is to keep the capital, which earns nothing",
)
HELD = "the maximum holding time of a round, of all sets"
NOTHING_HELD = "the strategy declares no maximum holding time (horizon_ms)"


class Frame(NamedTuple):
    """The instants that returns are taken at, and the folds.

    Attributes:
        times_s: Of all instants.
        scored: Number of the first instant that is scored: every set is warm by then.
        ratio_s: The period that annualises Sharpe ratios. A year where there are too few days for
            that: it leaves ratios per period.
    """

    period_s: int
    times_s: Ints
    scored: int
    folds: list[Fold]
    horizon_s: int
    ratio_s: float

    @property
    def begins_s(self) -> Ints:
        """When the scored periods begin."""
        return self.times_s[self.scored : -1]


def frame_of(plan: StudyPlan, config: StudySettings) -> Frame:
    """Return the instants and folds for the data, before anything runs.

    Raises:
        ConfigError: There is too little to judge, or too much for one piece of work.
    """
    period_s = length_s(config.statistics.period, "statistics.period")
    horizon_s = -(-max(each.horizon_ms for each in plan.sets) // 1_000)
    windows = config.walk_forward.windows(horizon_s)
    if windows.train_s % period_s or windows.test_s % period_s:
        raise ConfigError(
            f"walk-forward: train is {windows.train_s} s and test {windows.test_s} s; give whole "
            f"periods of {config.statistics.period}, like walk_forward.train = "
            f'"{length_text(20 * period_s)}": what is left over would be scored nowhere'
        )
    first_s = plan.first_ns // SECOND_NS // period_s * period_s
    last_s = -(-plan.last_ns // (period_s * SECOND_NS)) * period_s
    check_cells(len(plan.sets), (last_s - first_s) // period_s + 1)
    times_s = np.arange(first_s, last_s + 1, period_s, dtype=np.int64)
    warmup_ns = max(each.warmup_ms for each in plan.sets) * 1_000_000
    warm_ns = plan.first_ns + warmup_ns if warmup_ns else first_s * SECOND_NS
    scored = int(np.searchsorted(times_s, -(-warm_ns // SECOND_NS)))
    periods = max(0, len(times_s) - 1 - scored)
    least = max(2 * config.statistics.blocks, NO_RATIO_PERIODS)
    if periods < least:
        raise ConfigError(
            f"the data hold {counted(periods, 'period')} of {config.statistics.period} after "
            f"warm-up, at least {least}; give more data, or a shorter statistics.period"
        )
    is_held = horizon_s > 0 and not config.walk_forward.has_purge
    if is_held and horizon_s > windows.train_s - 2 * period_s:
        raise ConfigError(
            f"walk-forward: a round is held up to {length_text(horizon_s)}, so much is purged "
            "before a test, and nothing is left to train on; lengthen walk_forward.train, or give "
            f'a purge, like walk_forward.purge = "{NO_LENGTH}"'
        )
    folds = split(times_s[scored:-1], period_s, windows)
    is_long = periods * period_s >= SHARPE_DAYS_MIN * DAY_S
    return Frame(period_s, times_s, scored, folds, horizon_s, period_s if is_long else YEAR_S)


class Outcomes(NamedTuple):
    """All sets' results as arrays: one row per set, one column per instant.

    Attributes:
        equity: Begins at 1.
        trips: Round trips so far.
        held: (instant, set, market): what rounds hold, as a multiple of equity.
        fees: Of each of the markets, as a share.
    """

    equity: Floats
    trips: Floats
    held: Floats
    fees: Floats


def check_result(one: SetResult, plan: StudyPlan, frame: Frame) -> None:
    """Refuse a result that is no line of equity; the sets after it need not run then.

    Raises:
        ConfigError: There is no capital, or a profit is unknown.
    """
    if one.capital <= 0:
        raise ConfigError(
            f"no account has {plan.quote} to begin with; give backtest.venues.NAME.balances, or "
            "another study.quote"
        )
    if None in one.profits:
        at_s = frame.times_s[one.profits.index(None)]
        raise ConfigError(
            f"{text_of(plan.sets[one.number].values)}: the profit at {at_s} s is unknown: "
            "something was held whose book had no price; give data with its book"
        )


def outcomes_of(results: Sequence[SetResult], plan: StudyPlan) -> Outcomes:
    """Return checked results as arrays."""
    capital = results[0].capital
    equity = 1 + np.array([each.profits for each in results], dtype=np.float64) / capital
    markets = sorted({market for each in results for market in each.held})
    held = np.zeros((equity.shape[1], len(results), len(markets)))
    for row, each in enumerate(results):
        for market, line in each.held.items():
            held[:, row, markets.index(market)] = np.array(line) / capital
    held /= np.where(equity > 0, equity, 1.0).T[:, :, None]
    trips = np.array([each.trips for each in results], dtype=np.float64)
    fees = np.array([plan.fees_bps.get(market, 0.0) / 1e4 for market in markets])
    return Outcomes(equity, trips, held, fees)


def optimize_strategy(
    lab: LabStudy,
    config: StudySettings,
    ledger: TrialsLedger,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Run the grid of a strategy and return the facts of its report.

    Raises:
        ConfigError: The data or the ledger are not right, or there is too little to judge.
        LabEndedError: The lab did not run all sets.
    """
    plan = lab.plan
    ledger.read()  # what is wrong with it is told before the work and not after
    frame = frame_of(plan, config)
    results: list[SetResult] = []
    for each in lab.run(frame.period_s):
        check_result(each, plan, frame)
        results.append(each)
        on_progress(len(results), len(plan.sets))
    found = outcomes_of(results, plan)
    returns = np.column_stack([returns_of(each)[frame.scored :] for each in found.equity])
    top = best(returns)
    if top is None:
        given = counted(len(plan.sets), "set")
        raise ConfigError(f"none of {given} trades on these data; try other values")
    ran = walk_forward(
        returns,
        found.held[frame.scored :],
        np.zeros(len(returns)),
        frame.folds,
        fee=found.fees,
        period_s=frame.ratio_s,
    )
    trips = trips_of(found.trips, ran, frame.scored)
    judged = judge_sets(config.statistics, returns, top, ran, trips)
    ratios = sharpes(returns)
    trials = [
        trial_of(plan, number, frame, float(ratio)) for number, ratio in enumerate(ratios.tolist())
    ]
    count = tried(ledger.add(trials), frame.period_s)
    judged |= deflated_of(returns[:, top], count)
    checks = judge(judged, config.gate)
    sets = [each.values for each in plan.sets]
    why = HELD if frame.horizon_s else NOTHING_HELD
    gaps = config.walk_forward.gaps_told(frame.horizon_s, why=why)
    return head(plan, config, count.digest_input) | {
        "sharpe_of": (
            "a year" if frame.ratio_s != YEAR_S else f"a period of {length_text(frame.period_s)}"
        ),
        "capital": results[0].capital,
        "performance": performance(results[top], found, frame, top),
        "best": sets[top],
        "curves": curves(found.equity[top], ran, frame, results[0].capital),
        "sets": ranked(results, plan, found, ratios, frame),
        "axes": axes_of(sets),
        "walk_forward": folds_of(ran, sets, frame.begins_s) | gaps,
        "statistics": judged | {"trials": count.trials, "trials_variance": count.variance},
        "gate": [check._asdict() | {"passed": check.passed} for check in checks],
        "passed": passes(checks),
        "problems": [
            f"{text_of(sets[each.number])}: {problem}"
            for each in results
            for problem in each.problems
        ],
    }


def head(plan: StudyPlan, config: StudySettings, trials: bytes) -> dict[str, Any]:
    """Return what identifies a study, with its id."""
    identity = plan.identity
    parts = {
        **identity,
        "kind": "study",
        "strategy": plan.strategy,
        "detector": plan.detector,
        "quote": plan.quote,
        "params": [[each.values, each.strategy_hash] for each in plan.sets],
        "judged_by": msgspec.to_builtins(config),
        "research_code": code_hash(),
        "versions": versions() | identity["versions"],
        "trials": identify({"ids": trials.decode()}),
    }
    return {
        "run_id": identify(parts),
        **parts,
        "from": SOURCES[plan.source],
        "span": {"first_ns": plan.first_ns, "last_ns": plan.last_ns},
        "left_out": {"sets": plan.left_out, "why": plan.why},
        "not_modelled": [*plan.not_modelled, *NOT_MODELLED],
    }


def trial_of(plan: StudyPlan, number: int, frame: Frame, ratio: float) -> Trial:
    """Return the line of the ledger of one set; its id is what was tried, not how it went."""
    identity, one = plan.identity, plan.sets[number]
    what = {name: identity[name] for name in ("data", "config", "terms", "strategies")}
    return Trial(
        id=identify(what | {"strategy": one.strategy_hash, "quote": plan.quote}),
        data=identify({"data": identity["data"]}),
        rule=plan.detector,
        params={name: float(value) for name, value in one.values.items()},
        fee_bps=max(plan.fees_bps.values()),
        period_s=float(frame.period_s),
        periods=len(frame.begins_s),
        sharpe=ratio,
    )


def performance(one: SetResult, found: Outcomes, frame: Frame, top: int) -> dict[str, Any]:
    """Return what a set earned, in the quote asset and as a share of the capital."""
    equity = found.equity[top]
    fall = drawdown(equity)
    net = (float(equity[-1]) - 1) * one.capital
    ratio = float(sharpes(returns_of(equity)[frame.scored :, None])[0])
    return {
        "net": net,
        "total_return": float(equity[-1]) - 1,
        "gross": net + one.fees - one.funding,
        "fees": one.fees,
        "funding": one.funding,
        "sharpe": annualised(ratio, frame.ratio_s),
        "drawdown": fall.share,
        "drawdown_from_s": int(frame.times_s[fall.peak]),
        "drawdown_to_s": int(frame.times_s[fall.trough]),
        "round_trips": one.trips[-1],
        "opportunities": one.opportunities,
        "plans": one.plans,
        "fills": one.fills,
        "decisions_hash": one.hash,
    }


def curves(equity: Floats, ran: WalkForward, frame: Frame, capital: float) -> dict[str, Any]:
    """Return the lines of the charts: profit of the best set and of the picks, and drawdown."""
    at = shown(len(equity))
    picked = np.full(len(equity), np.nan)
    picked[frame.scored + ran.periods[0]] = 0.0
    picked[frame.scored + ran.periods + 1] = (np.cumprod(1 + ran.returns) - 1) * capital
    return {
        "times_s": frame.times_s[at].tolist(),
        "profit": ((equity - 1) * capital)[at].tolist(),
        "walk_forward": [None if np.isnan(each) else float(each) for each in picked[at]],
        "drawdown": (equity / np.maximum.accumulate(equity) - 1)[at].tolist(),
    }


def ranked(
    results: Sequence[SetResult], plan: StudyPlan, found: Outcomes, ratios: Floats, frame: Frame
) -> list[dict[str, Any]]:
    """Return the result of every set, the best first; those that never traded last."""
    rows = []
    for each, ratio in zip(results, ratios.tolist(), strict=True):
        equity = found.equity[each.number]
        own = {
            "params": plan.sets[each.number].values,
            "sharpe": annualised(ratio, frame.ratio_s),
            "net": (float(equity[-1]) - 1) * each.capital,
            "total_return": float(equity[-1]) - 1,
            "drawdown": drawdown(equity).share,
            "round_trips": each.trips[-1],
            "fills": each.fills,
        }
        rows.append(own)
    return sorted(rows, key=lambda row: (not row["fills"], -row["sharpe"]))


def axes_of(sets: Sequence[dict[str, int | float | bool]]) -> dict[str, list[float]]:
    """Return the parameters that differ between sets, with their values in order."""
    values = {name: sorted({float(each[name]) for each in sets}) for name in sets[0]}
    return {name: found for name, found in values.items() if len(found) > 1}


def text_of(values: dict[str, int | float | bool]) -> str:
    """Return a parameter set in one line."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
