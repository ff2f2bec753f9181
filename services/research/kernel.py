"""The compiled backtest: one pass over the bars per parameter set.

The rule, exactly: decide at the close of bar i, fill at the open of bar i + 1. Equity begins at 1;
each side costs ``fee`` of what it trades; what is open at the end is closed at the last close, at
cost. A decision at the last close is never filled. Equity that is gone stays gone.

A short is a fixed quantity from its entry to its exit, as on a venue, and its exit costs what is
bought back. ``rebalanced`` brings it back to the size of equity at every open, free of cost, which
is what compounding the bars' returns amounts to; each side then costs its share of equity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from services.research.arrays import Floats, Ints
from services.research.rules import RULES, RuleParams, name_of, scale_of, threshold_of
from shared.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
SUM_MAX = 2**62
LOT_SLACK = 1e-14
"""Relative tolerance for rounding: a stake that is worth whole lots exactly buys all of them."""
FIGURES = (
    "final",
    "drawdown",
    "bar_sharpe",
    "sides",
    "round_trips",
    "bars_in_market",
    "fees",
    "turnover",
)
"""Of each run: final equity, deepest drawdown at closes, Sharpe ratio per bar, and so on; ``fees``
is money, ``turnover`` is what was traded as a multiple of the equity of that moment."""


class Costs(NamedTuple):
    """What trading costs, how much is traded, and how a short is held.

    Attributes:
        fee: Share of what a side trades.
        rebalanced: Whether a short is brought back to the size of equity at every open.
        half_spread: Share of the price that a buyer pays above it and a seller gets below it.
        stake: What an entry is worth, in quote units; 0 is all equity.
        lot: Step of an entry's quantity, in base units; 0 is none. Only with a stake.
        capital: Quote units that an equity of 1 stands for. Only with a stake.
    """

    fee: float = 0.0
    rebalanced: bool = False
    half_spread: float = 0.0
    stake: float = 0.0
    lot: float = 0.0
    capital: float = 1.0

    @property
    def of_a_side(self) -> float:
        """Share of what a side trades that it costs: the fee, and half the spread."""
        return self.fee + self.half_spread


class Runs(NamedTuple):
    """One row per parameter set.

    Attributes:
        equity: At the instants asked for.
        side: What is held then, as a share of equity: 1 is all of it, below 0 a short, 0 nothing.
        trips: Round trips closed by then.
        figures: Named by ``FIGURES``.
    """

    equity: Floats
    side: Floats
    trips: Floats
    figures: Floats

    def figure(self, name: str) -> Floats:
        """Return one figure of all sets."""
        out: Floats = self.figures[:, FIGURES.index(name)]
        return out


def compiled(function: F) -> F:
    """Compile, keep the result on disk if possible, and run without the interpreter's lock."""
    try:
        out: Any = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the sources' folder nor a home is there to be written to
        out = numba.njit(nogil=True)(function)
    return cast("F", out)


class _Setting(NamedTuple):
    """One parameter set in plain numbers."""

    rule: int
    fast: int
    slow: int
    edge: float
    costs: Costs


class _Bars(NamedTuple):
    opens: Floats
    closes: Floats
    units: Ints
    instants: Ints


class _Out(NamedTuple):
    equity: Floats
    side: Floats
    trips: Floats
    figures: Floats


@compiled
def _to_units(closes: Floats, scale: float, units: Ints) -> float:
    """Write closes in whole units; return the largest before it was made whole."""
    largest = 0.0
    for i in range(len(closes)):
        scaled = np.rint(closes[i] * scale)
        largest = max(largest, scaled)
        units[i] = int(scaled)
    return largest


def to_units(closes: Floats, sets: Sequence[RuleParams]) -> Ints:
    """Return closes in whole units.

    Raises:
        ConfigError: The averages would be too long for prices that rise as these do.
    """
    units = np.empty(len(closes), dtype=np.int64)
    largest = _to_units(closes, scale_of(float(closes[0])), units)
    if largest * max(s.fast_bars * s.slow_bars for s in sets) >= SUM_MAX:
        raise ConfigError(
            f"averages over {max(s.slow_bars for s in sets)} bars of prices that rise "
            f"{closes.max() / closes[0]:.0f}-fold are not exact; use shorter ones or later data"
        )
    return units


@compiled
def _decide(setting: _Setting, side: int, lead: int, lead_before: int, ratio: float) -> int:
    """Return the side wanted; ``lead`` is above 0 where the fast average is above the slow one."""
    if setting.rule == 0:
        if side == 0 and lead > 0 and lead_before <= 0:
            return 1
        if side > 0 and lead < 0:
            return 0
        return side
    if ratio > setting.edge and side <= 0:
        return 1
    if ratio < -setting.edge and side >= 0:
        return -1
    return side


@compiled
def staked_qty(price: float, costs: Costs) -> float:
    """Return the quantity that the stake buys at a price, down to the lot, per unit of capital."""
    if costs.lot == 0.0:
        return costs.stake / price / costs.capital
    lots = np.floor(costs.stake / (price * costs.lot) * (1 + LOT_SLACK))
    return float(lots) * costs.lot / costs.capital


@compiled
def _enter(
    cash: float, wanted: int, price: float, costs: Costs
) -> tuple[float, float, float, float]:
    """Return cash and holding after an entry, what it cost, and how much of equity was traded."""
    price *= 1 + wanted * costs.half_spread
    if costs.stake == 0.0:
        cost = cash * costs.fee
        stake = cash - cost
        return 0.0 if wanted > 0 else 2 * stake, wanted * stake / price, cost, 1.0
    qty = staked_qty(price, costs)
    cost = costs.fee * qty * price
    return cash - wanted * qty * price - cost, wanted * qty, cost, qty * price / cash


@compiled
def _close(cash: float, held: float, price: float, costs: Costs) -> tuple[float, float, float]:
    """Return cash after closing, what it cost, and how much of equity was traded."""
    price *= 1 - np.sign(held) * costs.half_spread
    equity = max(cash + held * price, 0.0)
    traded = equity if costs.rebalanced else abs(held) * price
    cost = costs.fee * traded
    return max(equity - cost, 0.0), cost, traded / equity if equity > 0 else 0.0


@compiled
def _side_of(cash: float, held: float, price: float, costs: Costs) -> float:
    """Return what a holding is of equity: the share that closing it trades, below 0 if short."""
    if held == 0.0 or costs.rebalanced:
        return float(np.sign(held))
    return held * price / (cash + held * price)


@compiled
def _run(setting: _Setting, bars: _Bars, out: _Out) -> None:
    count, costs, fast, slow = len(bars.closes), setting.costs, setting.fast, setting.slow
    cash, held, side, wanted = 1.0, 0.0, 0, 0
    sum_fast, sum_slow, lead_before = 0, 0, 0
    sides, round_trips, bars_in, fees, turnover = 0, 0, 0, 0.0, 0.0
    value, peak, deepest, total, squares = 1.0, 1.0, 0.0, 0.0, 0.0
    at = 0
    while at < len(bars.instants) and bars.instants[at] == 0:
        out.equity[at], out.side[at], out.trips[at] = 1.0, 0.0, 0.0
        at += 1
    for i in range(count):
        price = bars.opens[i]
        if wanted != side:
            if side != 0:
                cash, cost, traded = _close(cash, held, price, costs)
                held, fees, turnover = 0.0, fees + cost, turnover + traded
                sides, round_trips = sides + 1, round_trips + 1
            if wanted != 0 and cash > 0:
                cash, held, cost, traded = _enter(cash, wanted, price, costs)
                fees, turnover, sides = fees + cost, turnover + traded, sides + (held != 0)
            side = wanted if held != 0 else 0
        elif costs.rebalanced and side < 0:
            whole = max(cash + held * price, 0.0)
            held, cash = -whole / price, 2 * whole
        price = bars.closes[i]
        if side != 0:
            bars_in += 1
            if i == count - 1 or cash + held * price <= 0:
                cash, cost, traded = _close(cash, held, price, costs)
                held, side, fees, turnover = 0.0, 0, fees + cost, turnover + traded
                sides, round_trips = sides + 1, round_trips + 1
        now = cash + held * price
        change = now / value - 1 if value > 0 else 0.0
        value, total, squares = now, total + change, squares + change * change
        peak = max(peak, value)
        deepest = max(deepest, 1 - value / peak)
        while at < len(bars.instants) and bars.instants[at] == i + 1:
            out.equity[at], out.trips[at] = value, round_trips
            out.side[at] = _side_of(cash, held, price, costs)
            at += 1
        sum_fast += bars.units[i] - (bars.units[i - fast] if i >= fast else 0)
        sum_slow += bars.units[i] - (bars.units[i - slow] if i >= slow else 0)
        wanted = side
        if i >= slow - 1 and value > 0:
            high, low = sum_fast * slow, sum_slow * fast
            ratio = float(high) / float(low) - 1.0 if setting.rule != 0 else 0.0
            # the first bar with both averages has none before it, so it is no crossing
            wanted = _decide(setting, side, high - low, lead_before if i >= slow else 1, ratio)
            lead_before = high - low
    variance = (squares - total * total / count) / (count - 1) if count > 1 else 0.0
    out.figures[0], out.figures[1] = value, deepest
    out.figures[2] = total / count / variance**0.5 if variance > 1e-28 else 0.0
    out.figures[3], out.figures[4], out.figures[5] = sides, round_trips, bars_in
    out.figures[6], out.figures[7] = fees, turnover


class Bars(NamedTuple):
    """Opens and closes, and at which counts of closed bars the results are wanted."""

    opens: Floats
    closes: Floats
    instants: Ints


def run_grid(
    bars: Bars, sets: Sequence[RuleParams], costs: Costs, *, jobs: int = 1
) -> Iterator[tuple[int, Runs]]:
    """Run parameter sets of one rule in parallel; yield (number of the set, its one-row result).

    Raises:
        ConfigError: There are no bars, or the averages would not be exact.
    """
    if not len(bars.closes):
        raise ConfigError("there are no bars to run on")
    units = to_units(bars.closes, sets)

    def run_one(number: int) -> tuple[int, Runs]:
        return number, _run_set(bars, units, sets[number], costs)

    pool = ThreadPoolExecutor(max(1, jobs))
    try:
        yield from pool.map(run_one, range(len(sets)))
    finally:  # whoever is interrupted does not wait for the sets that have not begun
        pool.shutdown(cancel_futures=True)


def _run_set(bars: Bars, units: Ints, params: RuleParams, costs: Costs) -> Runs:
    points = len(bars.instants)
    sizes = (points, points, points, len(FIGURES))
    runs = Runs(*(np.empty((1, size)) for size in sizes))
    setting = _Setting(
        rule=RULES[name_of(params)].code,
        fast=params.fast_bars,
        slow=params.slow_bars,
        edge=threshold_of(params),
        costs=costs,
    )
    _run(
        setting,
        _Bars(bars.opens, bars.closes, units, bars.instants),
        _Out(runs.equity[0], runs.side[0], runs.trips[0], runs.figures[0]),
    )
    return runs


def run_all(bars: Bars, sets: Sequence[RuleParams], costs: Costs, *, jobs: int = 1) -> Runs:
    """Run parameter sets and return all results, in their order."""
    rows = [runs for _, runs in run_grid(bars, sets, costs, jobs=jobs)]
    return stack(rows)


def stack(rows: Sequence[Runs]) -> Runs:
    """Return one-row results as one."""
    return Runs(*(np.concatenate([getattr(r, name) for r in rows]) for name in Runs._fields))
