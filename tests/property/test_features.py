"""Features: what is kept up to date is what would be computed anew, to 1e-12, whatever comes."""

from __future__ import annotations

import math
import statistics
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.base import BookState
from shared.strategies.features import books
from shared.strategies.features.grid import CATCH_UP_MAX, Grid, RealizedVolatility
from shared.strategies.features.moments import REBASE, Moments
from shared.strategies.features.smoothing import Ema, LaggedReturn, RobustZ
from shared.strategies.features.windows import ITEMS_MAX, LastN, Window
from tests.decision_builders import make_view

S = 1_000_000_000
ODD = (math.nan, math.inf, -math.inf)
PRICES = st.floats(min_value=1e-3, max_value=1e6)
NEAR = st.floats(min_value=59_999.9, max_value=60_000.1)
"""A deviation of cents at a high price: where naive sums lose everything."""
STEPS = st.integers(0, 3 * S)
SERIES = st.lists(st.tuples(st.one_of(NEAR, PRICES, st.sampled_from(ODD)), STEPS), max_size=120)
CALM = st.lists(st.tuples(NEAR, STEPS), min_size=2, max_size=120)


def near(found: float | None, right: float | None, scale: float = 0.0) -> bool:
    if found is None or right is None:
        return found is right
    return math.isclose(found, right, rel_tol=1e-12, abs_tol=1e-12 * scale)


def walked(series: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Values with times that only rise."""
    now_ns, out = 0, []
    for value, step_ns in series:
        now_ns += step_ns
        out.append((value, now_ns))
    return out


@pytest.mark.parametrize("window", [lambda: LastN(7), lambda: Window(5 * S)])
@given(series=st.one_of(SERIES, CALM))
def test_moments(window: Any, series: list[tuple[float, int]]) -> None:
    moments = Moments(window())
    for value, ts_ns in walked(series):
        moments.update(value, ts_ns)
        mean, variance = moments.recompute()
        values = list(moments._window.values())
        scale = max(map(abs, values), default=0.0)
        assert near(moments.mean(), mean, scale)
        # Squares of doubles: what lies below their resolution at that price is nothing.
        assert near(moments.variance(), variance, (scale * 1e-4) ** 2)


@given(CALM)
def test_cents_at_a_high_price_are_not_lost(series: list[tuple[float, int]]) -> None:
    moments = Moments(LastN(100))
    for value, _ in series:
        moments.update(value)
    exact = statistics.variance([value for value, _ in series][-100:])
    found = moments.variance()
    assert found is not None
    assert math.isclose(found, exact, rel_tol=1e-12, abs_tol=1e-24)


def test_moments_of_a_long_walk_do_not_drift() -> None:
    draw, price, moments = Random(1), 60_000.0, Moments(LastN(100))
    for number in range(3 * REBASE):
        price *= 1 + draw.gauss(0, 1) * 1e-5
        moments.update(price)
        if number % 97 == 0:
            mean, variance = moments.recompute()
            assert near(moments.mean(), mean)
            assert near(moments.variance(), variance)


def test_equal_values_have_no_variance() -> None:
    moments = Moments(LastN(5))
    for value in (1.0, 60_000.1, 60_000.1, 60_000.1, 60_000.1, 60_000.1, 60_000.1):
        moments.update(value)
    assert moments.variance() == 0.0


@given(SERIES)
def test_ema(series: list[tuple[float, int]]) -> None:
    ema = Ema(2 * S)
    for value, ts_ns in walked(series):
        ema.update(value, ts_ns)
        assert near(ema.value(), ema.recompute())


def test_a_value_counts_half_after_its_half_life() -> None:
    whole, parts = Ema(S), Ema(S)
    for ema in (whole, parts):
        ema.update(100.0, 0)
    whole.update(200.0, S)
    for part in range(1, 11):
        parts.update(200.0, part * S // 10)
    assert whole.value() == pytest.approx(150.0)
    assert parts.value() == pytest.approx(150.0)  # whatever came between
    whole.update(1.0, 0)
    assert whole.late == 1


@given(SERIES)
def test_robust_z(series: list[tuple[float, int]]) -> None:
    score = RobustZ(9)
    for value, _ in series:
        score.update(value)
        assert near(score.value(), score.recompute())


def test_robust_z_is_robust() -> None:
    score = RobustZ(9)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1e9, 8.0):
        score.update(value)
    assert score.value() == pytest.approx((8 - 5) / (2 * 1.4826))


@given(SERIES)
def test_realized_volatility(series: list[tuple[float, int]]) -> None:
    volatility = RealizedVolatility(S, 5)
    for value, ts_ns in walked(series):
        volatility.update(value, ts_ns)
        assert near(volatility.value(), volatility.recompute(), 1.0)


@given(CALM, st.randoms(use_true_random=False))
def test_messages_left_out_between_instants_change_nothing(
    series: list[tuple[float, int]], draw: Any
) -> None:
    """A late reader gets fewer views, but always the last before each instant."""
    whole, fewer = RealizedVolatility(S, 3), RealizedVolatility(S, 3)
    events = walked(series)
    for number, (value, ts_ns) in enumerate(events):
        whole.update(value, ts_ns)
        last = number + 1 == len(events)
        ends_a_step = not last and -(-ts_ns // S) != -(-events[number + 1][1] // S)
        first = number == 0
        if first or last or ends_a_step or draw.random() < 0.5:
            fewer.update(value, ts_ns)
        whole.advance(ts_ns)
        fewer.advance(ts_ns)
    assert whole.value() == fewer.value()


def test_grid_takes_the_last_value_at_or_before_an_instant() -> None:
    grid = Grid(10)
    assert grid.update(1.0, 5) == []
    assert grid.update(2.0, 10) == []  # at the instant itself: it may still be replaced
    assert grid.update(3.0, 10) == []
    assert grid.update(4.0, 11) == [3.0]
    assert grid.update(5.0, 35) == [4.0, 4.0]
    assert grid.advance(40) == []
    assert grid.advance(41) == [5.0]
    grid.update(6.0, 1)
    assert grid.late == 1
    assert grid.advance(41 + 10 * (CATCH_UP_MAX + 2)) == []
    assert grid.restarts == 1


@given(SERIES)
def test_lagged_return(series: list[tuple[float, int]]) -> None:
    lagged, seen = LaggedReturn(2 * S), []
    for value, ts_ns in walked(series):
        lagged.update(value, ts_ns)
        if math.isfinite(value):
            seen.append((value, ts_ns))
        if not seen:
            continue
        old = [v for v, t in seen if t <= seen[-1][1] - 2 * S]
        right = math.log(seen[-1][0] / old[-1]) if old else None
        assert lagged.value() == right


@given(SERIES)
def test_window_holds_its_span(series: list[tuple[float, int]]) -> None:
    window, seen = Window(5 * S), []
    for value, ts_ns in walked(series):
        window.update(value, ts_ns)
        if math.isfinite(value):
            seen.append((value, ts_ns))
        assert window.values() == [v for v, t in seen if t > ts_ns - 5 * S]
    assert window.is_whole


def test_windows_have_bounds_and_say_so() -> None:
    window = Window(S, items_max=2)
    for number in range(5):
        window.update(float(number), number)
    assert (window.values(), window.overflowed, window.is_whole) == ([3.0, 4.0], 3, False)
    assert window.update(9.0, 0) == []
    assert window.late == 1
    last = LastN(2)
    assert [last.update(x) for x in (1.0, math.nan, 2.0, 3.0)] == [None, None, None, 1.0]
    assert last.refused == 1
    for wrong in (0, -1, ITEMS_MAX + 1):
        with pytest.raises(ValueError, match="a window of"):
            LastN(wrong)


def test_what_a_book_says() -> None:
    view = make_view(bids=[(99.0, 3.0), (98.0, 1.0)], asks=[(101.0, 1.0), (102.0, 1.0)])
    assert books.mid(view) == 100.0
    assert books.microprice(view) == pytest.approx((99 * 1 + 101 * 3) / 4)
    assert books.spread_bps(view) == pytest.approx(200.0)
    assert books.imbalance(view) == pytest.approx(0.5)
    assert books.imbalance(view, levels=2) == pytest.approx(2 / 6)
    assert books.basis_bps(view, view) == pytest.approx(
        ((99 / 101 - 1) * 1e4, (101 / 99 - 1) * 1e4)
    )
    for state in BookState:
        if state is not BookState.LIVE:
            assert books.mid(make_view(state=state)) is None
    assert books.microprice(make_view(bids=[])) is None
