"""Known figures of real recordings, to the last digit that was published of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from services.research.overfitting import overfitting
from services.research.sharpe import (
    annualised,
    best,
    deflated_sharpe,
    expected_best,
    shape_of,
    sharpe,
    sharpes,
)

pytestmark = pytest.mark.recorded

PANEL = "perpfunding_PietroC21/binance_BTC_2020-01-01_2026-03-06.parquet"
DAY = 86_400
GRID = [(fast, slow) for fast in (5, 10, 15, 20, 30) for slow in (40, 60, 80, 100, 150, 200)]


def daily_bars(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return first opens and last closes of the UTC days of the hourly spot panel."""
    table = parquet.read_table(folder / PANEL)
    times = table["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    opens, closes = (table[f"{name}_spot_binance"].to_numpy() for name in ("open", "close"))
    there = ~np.isnan(opens) & ~np.isnan(closes)
    days = times[there] // DAY
    first = np.flatnonzero(np.diff(days, prepend=-1))
    return opens[there][first], closes[there][np.append(first[1:], len(days)) - 1]


def averages(values: np.ndarray, bars: int) -> np.ndarray:
    out = np.full(len(values), np.nan)
    out[bars - 1 :] = np.lib.stride_tricks.sliding_window_view(values, bars).mean(axis=1)
    return out


@pytest.fixture(scope="module")
def trials(recorded: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return daily returns of the grid (periods, trials), 10 bps taken off per side; of holding."""
    opens, closes = daily_bars(recorded)
    assert len(opens) == 2_256
    held = opens[1:] / opens[:-1] - 1
    columns = []
    for fast, slow in GRID:
        long = (averages(closes, fast) > averages(closes, slow)).astype(float)
        position = np.concatenate(([0.0], long[:-2]))
        columns.append(position * held - 0.001 * np.abs(np.diff(position, prepend=0)))
    return np.array(columns).T[200:], held[200:]


def test_the_best_of_thirty_has_a_deflated_sharpe_of_0_997(trials) -> None:
    returns, _ = trials
    assert returns.shape == (2_055, 30)
    ratios = sharpes(returns)
    top = int(ratios.argmax())
    assert GRID[top] == (5, 100)
    assert f"{ratios[top]:.7f}" == "0.0727789"
    assert f"{(np.prod(1 + returns[:, top]) - 1) * 100:,.2f}" == "1,660.40"
    variance = float(ratios.var(ddof=1))
    assert f"{variance:.5e}" == "3.85536e-05"
    assert f"{expected_best(variance, 30):.7f}" == "0.0128740"
    assert f"{deflated_sharpe(shape_of(returns[:, top]), variance, 30):.5f}" == "0.99712"


def test_but_more_than_half_of_its_picks_are_overfitted(trials) -> None:
    found = overfitting(trials[0])
    assert (found.splits, found.periods) == (12_870, 2_048)
    assert f"{found.probability:.5f}" == "0.54406"


def test_and_picking_by_the_last_180_days_loses_to_holding(trials) -> None:
    returns, holding = trials
    folds = range((len(returns) - 210) // 30 + 1)
    picks = [best(returns[30 * k : 30 * k + 180]) for k in folds]
    tests = [slice(30 * k + 180, 30 * k + 210) for k in folds]
    picked = np.concatenate([returns[t, p] for t, p in zip(tests, picks, strict=True)])
    held = np.concatenate([holding[t] for t in tests])
    assert len(folds) == 62
    assert f"{(np.prod(1 + picked) - 1) * 100:.3f}" == "63.868"
    assert f"{annualised(sharpe(picked), DAY):.5f}" == "0.44077"
    assert f"{(np.prod(1 + held) - 1) * 100:.3f}" == "72.444"
    assert f"{annualised(sharpe(held), DAY):.5f}" == "0.47463"
