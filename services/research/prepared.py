"""Candles laid on the grid that statistics are taken on, and run by both engines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from services.research.arrays import Floats
from services.research.candles import Candles, length_s
from services.research.event_bars import Bar, BarBacktest, run_bars
from services.research.kernel import Bars, run_grid, stack
from services.research.metrics import Grid, make_grid, returns_of
from services.research.rules import RuleParams
from services.research.settings import ResearchConfig
from shared.errors import ArbError, ConfigError
from shared.wording import counted

AGREE = 1e-9
CHUNK_BARS = 4_096
"""Bars that are taken out of the arrays at once for the engine that sees one at a time."""


class Prepared(NamedTuple):
    """Candles with the grid that statistics are taken on.

    Attributes:
        scored: Number of the first instant that is scored: every set is warm by then.
    """

    candles: Candles
    bars: Bars
    grid: Grid
    scored: int


def prepare(candles: Candles, config: ResearchConfig, sets: Sequence[RuleParams]) -> Prepared:
    """Lay the grid over the candles.

    Raises:
        ConfigError: The period does not fit the bars, there are too many instants of it, or the
            data end before the warm-up does.
    """
    period_s = length_s(config.statistics.period, "statistics.period")
    period_s = max(period_s, candles.bar_s)
    if period_s % candles.bar_s:
        raise ConfigError(
            f"statistics.period = {config.statistics.period!r} is no multiple of the bars' "
            f"{candles.bar_s} s"
        )
    grid = make_grid(int(candles.times_s[0]), candles.closes_s, period_s, sets=len(sets))
    warm = max(each.slow_bars for each in sets)
    scored = int(np.searchsorted(grid.bars, warm))
    if scored > len(grid.times_s) - 3:
        raise ConfigError(
            f"{counted(len(candles.closes), 'bar')} given, too few: {warm} warm up the slowest "
            "average, and at least two periods must be left to score"
        )
    return Prepared(candles, Bars(candles.opens, candles.closes, grid.bars), grid, scored)


def holding_returns(prepared: Prepared) -> Floats:
    """Return what holding made per scored period, free of cost."""
    at = np.maximum(prepared.grid.bars - 1, 0)
    return returns_of(prepared.candles.closes[at])[prepared.scored :]


def bars_of(candles: Candles) -> Iterator[Bar]:
    """Yield bars one by one, of which only some are objects at a time."""
    columns = candles.times_s, candles.opens, candles.closes
    for begin in range(0, len(candles.closes), CHUNK_BARS):
        chunk = [column[begin : begin + CHUNK_BARS].tolist() for column in columns]
        yield from map(Bar, *chunk)


def run_both(prepared: Prepared, params: RuleParams, config: ResearchConfig) -> BarBacktest:
    """Run the engine that sees one bar at a time, and hold the kernel to it.

    Raises:
        ArbError: They differ: a bug, and no report is written.
    """
    candles, costs = prepared.candles, config.trading_costs()
    events = run_bars(bars_of(candles), params, costs, prepared.grid.bars.tolist())
    kernel = stack([runs for _, runs in run_grid(prepared.bars, [params], costs)])
    final = float(kernel.figure("final")[0])
    if not abs(events.value - final) <= AGREE * max(1.0, final) or events.sides != int(
        kernel.figure("sides")[0]
    ):
        raise ArbError(
            f"the two engines differ on {params}: {events.value!r} and {final!r}; this is a "
            "bug, please report it"
        )
    return events
