"""Metrics of an equity curve: the grid, the year, the start value."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from services.research.metrics import (
    drawdown,
    headline_sharpe,
    make_grid,
    monthly_returns,
    on_grid,
    returns_of,
    rolling_sharpe,
)
from shared.errors import ConfigError

DAY = 86_400
MONDAY = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())


def test_the_grid_holds_whole_days_of_utc_whatever_bars_are_missing() -> None:
    closes = np.array([MONDAY + 6 * 3_600, MONDAY + 7 * 3_600, MONDAY + 3 * DAY])
    grid = make_grid(MONDAY + 5 * 3_600, closes, DAY)
    assert grid.times_s.tolist() == [MONDAY + n * DAY for n in range(4)]
    assert grid.bars.tolist() == [0, 2, 2, 3]
    # day two has no bar: nothing changed, and it is a day all the same
    assert on_grid(np.array([1.1, 1.2, 0.9]), grid).tolist() == [1.0, 1.2, 1.2, 0.9]


def test_a_bar_that_closes_on_the_instant_belongs_to_the_period_before() -> None:
    grid = make_grid(MONDAY, np.array([MONDAY + DAY]), DAY)
    assert grid.bars.tolist() == [0, 1]


def test_a_hole_of_many_years_is_refused_before_its_instants_are_there() -> None:
    with pytest.raises(ConfigError, match="1 set at 1704067202 instants are over 10000000"):
        make_grid(0, np.array([1, MONDAY + 1]), 1)


def test_a_loss_in_the_first_period_is_a_drawdown() -> None:
    found = drawdown(np.array([1.0, 0.8, 0.9]))
    assert found.share == pytest.approx(0.2)
    assert (found.peak, found.trough) == (0, 1)
    assert drawdown(np.array([1.0, 1.1, 1.2])).share == 0.0


def test_after_everything_is_lost_nothing_changes_any_more() -> None:
    assert returns_of(np.array([1.0, 0.5, 0.0, 0.0])).tolist() == [-0.5, -1.0, 0.0]


def days(values: np.ndarray) -> np.ndarray:
    return MONDAY + DAY * np.arange(len(values), dtype=np.int64)


def test_months_are_complete_months_of_the_calendar() -> None:
    values = np.arange(1.0, 101.0)  # 1 January (leap year) to 9 April
    returns = monthly_returns(days(values), values)
    assert returns == pytest.approx([32 / 1 - 1, 61 / 32 - 1, 92 / 61 - 1])


def test_where_days_and_months_differ_the_lower_is_the_headline() -> None:
    draw = np.random.Generator(np.random.PCG64(3))
    slow = np.repeat(draw.normal(0.0004, 0.001, 40), 30)  # each month of one mood
    values = np.concatenate(([1.0], np.cumprod(1 + slow)))
    found = headline_sharpe(days(values), values, DAY)
    assert found.monthly is not None
    assert found.monthly < 0.75 * found.daily
    assert found.headline == found.monthly
    assert "lower" in found.why


def test_a_short_history_has_no_monthly_ratio_and_says_so() -> None:
    values = np.cumprod(1 + np.random.Generator(np.random.PCG64(4)).normal(0.001, 0.01, 200))
    found = headline_sharpe(days(values), values, DAY)
    assert found.monthly is None
    assert "6 complete months" in found.why


def test_hours_are_brought_to_days_before_they_are_a_headline() -> None:
    draw = np.random.Generator(np.random.PCG64(5)).normal(0.0001, 0.004, 24 * 100)
    values = np.concatenate(([1.0], np.cumprod(1 + draw)))
    hours = MONDAY + 3_600 * np.arange(len(values), dtype=np.int64)
    daily = values[::24]
    assert headline_sharpe(hours, values, 3_600).daily == pytest.approx(
        headline_sharpe(days(daily), daily, DAY).daily
    )


def test_rolling_sharpe_has_one_value_per_whole_window() -> None:
    returns = np.random.Generator(np.random.PCG64(6)).normal(0.001, 0.01, 50)
    rolling = rolling_sharpe(returns, 30, DAY)
    last = returns[20:]
    assert len(rolling) == 21
    assert rolling[-1] == pytest.approx(last.mean() / last.std(ddof=1) * 365**0.5)
    assert len(rolling_sharpe(returns, 51, DAY)) == 0
