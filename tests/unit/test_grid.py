"""The grid that shows in recorded numbers, however they are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.venues.grid import Grid

numbers = st.one_of(
    st.decimals(0, 10**9, places=8).map(str),
    st.floats(0, 1e9).map(str),
    st.sampled_from(
        ["0", "100", "1.50000000", "1e-7", "1.5E-7", "-0.25", "1E+3", "nan", "-inf", "", ".", "x-y"]
    ),
)


def needed(text: str) -> int:
    """Return the decimals of a number by the plain way."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        return 0
    exponent = value.normalize().as_tuple().exponent
    return min(18, max(0, -exponent)) if isinstance(exponent, int) else 0


@given(st.lists(st.tuples(numbers, numbers), max_size=8))
def test_the_grid_is_as_fine_as_the_finest_number(levels: list[tuple[str, str]]) -> None:
    grid = Grid()
    for level in levels:
        grid.add([level])
    rules = grid.rules("v", "A/B", taker_fee_bps=Decimal(1), notional_min=Decimal(1))
    price, qty = (max((needed(each[side]) for each in levels), default=0) for side in (0, 1))
    assert rules.tick_size == Decimal(1).scaleb(-price)
    assert rules.lot_size == Decimal(1).scaleb(-qty)


@pytest.mark.parametrize(("text", "tick"), [("1.5e-7", "1e-8"), ("61828.01000000", "0.01")])
def test_a_number_after_finer_ones_still_counts(text: str, tick: str) -> None:
    grid = Grid()
    grid.add([("1.0", "0.12345"), (text, "1")])
    rules = grid.rules("v", "A/B", taker_fee_bps=Decimal(1), notional_min=Decimal(1))
    assert (rules.tick_size, rules.lot_size) == (Decimal(tick), Decimal("0.00001"))


def test_a_least_value_in_dollars_is_none_of_a_market_between_coins() -> None:
    """A recording of ETH/BTC once refused every order below 5 BTC."""
    grid = Grid()
    grid.add([("0.04844", "1.2300")])
    for instrument, least in {"ETH/BTC": "0", "BTC/USDC": "5", "BTC/USDT:USDT": "5"}.items():
        rules = grid.rules("v", instrument, taker_fee_bps=Decimal(10), notional_min=Decimal(5))
        assert rules.notional_min == Decimal(least)
        assert rules.qty_min == rules.lot_size == Decimal("0.01")
