"""The momentum rule on closed bars, its stops, and the mistakes it must not make."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.stops import Exit, exit_of, stop_price
from shared.messages.base import Side
from shared.strategies.features.momentum import Momentum
from tests.tables import parquet_columns

D = Decimal
MS = 1_000_000


def rule_after(closes: list[float], **given_: float) -> Momentum:
    rule = Momentum(**given_)
    for close in closes:
        rule.take(close)
    return rule


def test_nothing_is_said_before_the_slow_average_is_full() -> None:
    assert rule_after([100.0 + n for n in range(19)]).value() is None
    assert rule_after([100.0 + n for n in range(20)]).value() == pytest.approx(7.5 / 109.5)


def test_a_direction_is_wanted_only_where_the_position_is_not() -> None:
    """The source never updated its position, so it ordered on every tick."""
    up = rule_after([100.0 + n for n in range(20)])
    assert [up.wanted(position) for position in (-1, 0, 0.5)] == [Side.BUY, Side.BUY, None]
    down = rule_after([100.0 - n for n in range(20)])
    assert [down.wanted(position) for position in (1, 0, -0.5)] == [Side.SELL, Side.SELL, None]
    flat = rule_after([100.0] * 20)
    assert flat.wanted(0) is None


def test_the_threshold_itself_is_not_enough() -> None:
    rule = rule_after([1.0, 1.0, 1.0, 1.5], fast_bars=1, slow_bars=4, threshold_bps=10_000 / 3)
    assert rule.value() == pytest.approx(1 / 3)
    assert rule.wanted(0) is None


def test_a_bar_that_is_no_price_or_missing_begins_anew() -> None:
    for bad in (0.0, -1.0, math.nan, math.inf):
        rule = rule_after([100.0 + n for n in range(20)])
        rule.take(bad)
        assert rule.value() is None
        assert rule.refused == 1
    rule = rule_after([100.0 + n for n in range(20)])
    rule.restart()
    for n in range(20):
        rule.take(50.0 + n)
    assert rule.value() == rule_after([50.0 + n for n in range(20)]).value()


def test_averages_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="20 and 20 bars"):
        Momentum(20, 20)


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_incremental_is_recomputed(closes: list[float], fast: int, more: int) -> None:
    rule = Momentum(fast, fast + more)
    for close in closes:
        rule.take(close)
        now, anew = rule.value(), rule.recompute()
        assert (now is None) is (anew is None)
        if now is not None:
            assert now == pytest.approx(anew, rel=1e-12, abs=1e-12)


@given(
    st.decimals("0.000001", "99999", places=6),
    st.decimals("0.000001", "99999", places=6),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_a_market_that_stands_still_is_followed_by_no_threshold(
    before: Decimal, price: Decimal, fast: int, more: int
) -> None:
    """Averages of 27769.68 over 12 and over 34 bars were unequal in the last digit, and it bought.

    So were those of 0.1 and 0.3, and 0.2.
    """
    rule = Momentum(fast, fast + more, threshold_bps=0)
    for close in [before] * 3 + [price] * (fast + more):
        rule.take(float(close))
    assert rule.value() == 0
    assert rule.wanted(0) is None
    assert rule_after([0.1, 0.3, 0.2, 0.2], fast_bars=2, slow_bars=4, threshold_bps=0).value() == 0


def test_after_many_bars_the_sums_have_not_drifted() -> None:
    rule = Momentum()
    for n in range(9_000):
        rule.take(60_000.0 + (n * 7_919) % 1_000 / 7)
    assert rule.value() == pytest.approx(rule.recompute(), rel=1e-12, abs=1e-15)


@pytest.mark.recorded
def test_flips_on_recorded_minutes(recorded: Path) -> None:
    """633 orders with the position, 10,295 without it."""
    (closes,) = parquet_columns(recorded / "iaqf_dhruv1432" / "coinbase_btcusd.parquet", "close")
    rule = Momentum()
    position, flips, orders = 0, {Side.BUY: 0, Side.SELL: 0}, {Side.BUY: 0, Side.SELL: 0}
    for close in closes:
        rule.take(close)
        wanted, always = rule.wanted(position), rule.wanted(0)
        if always is not None:
            orders[always] += 1
        if wanted is not None:
            flips[wanted] += 1
            position = 1 if wanted is Side.BUY else -1
    assert len(closes) == 29_950
    assert flips == {Side.BUY: 317, Side.SELL: 316}
    assert orders == {Side.BUY: 5_457, Side.SELL: 4_838}


def test_a_stop_lies_on_the_tick_that_loses_no_more() -> None:
    assert stop_price(Side.BUY, D("60000"), D(200), D("0.1")) == D(58_800)
    assert stop_price(Side.BUY, D("60000.07"), D(200), D("0.1")) == D("58800.1")
    assert stop_price(Side.SELL, D("60000.07"), D(200), D("0.1")) == D("61200.0")


@pytest.mark.parametrize(
    ("side", "executable", "wanted", "after_ms", "why"),
    [
        (Side.BUY, "98.1", None, 999, None),
        (Side.BUY, "98", Side.SELL, 1_000, Exit.STOP),
        (Side.BUY, "99", Side.SELL, 1_000, Exit.REVERSE),
        (Side.BUY, "99", Side.BUY, 1_000, Exit.TIME),
        (Side.SELL, "97", None, 0, None),
        (Side.SELL, "98", None, 0, Exit.STOP),
        (Side.SELL, "97", Side.BUY, 0, Exit.REVERSE),
    ],
)
def test_exits(
    side: Side, executable: str, wanted: Side | None, after_ms: int, why: Exit | None
) -> None:
    found = exit_of(
        side,
        stop=D(98),
        executable=D(executable),
        wanted=wanted,
        ts_opened_ns=0,
        now_ns=after_ms * MS,
        held_ms_max=1_000,
    )
    assert found is why
