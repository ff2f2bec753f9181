"""Quotes that are priced by their hedge: the formula, the band, and when they must go."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.depth import ExactLevel
from shared.domain.quotes import (
    Band,
    Hedge,
    QuoteCosts,
    Withdrawal,
    band_problem,
    hedge_of,
    hedge_price,
    must_requote,
    quote_price,
    withdrawal,
)
from shared.messages.base import BookState, Side

D = Decimal
BIDS: list[ExactLevel] = [(D(100), D(2)), (D(99), D(2)), (D(98), D(2))]
COSTS = QuoteCosts(D(2), D(5), D(10))


def test_all_open_quotes_are_hedged_at_one_average() -> None:
    assert hedge_price(BIDS, D(1)) == 100
    assert hedge_price(BIDS, D(4)) == D("99.5")
    assert hedge_price(BIDS, D(6)) == 99
    assert hedge_price(BIDS, D("6.1")) is None


def test_a_hedge_on_its_way_takes_the_best_levels_first() -> None:
    assert hedge_price(BIDS, D(2), pending_qty=D(2)) == 99
    assert hedge_price(BIDS, D(2), pending_qty=D(3)) == D("98.5")
    assert hedge_price(BIDS, D(2), pending_qty=D(5)) is None


def test_quotes_by_the_formula() -> None:
    bid = quote_price(Side.BUY, D(100), COSTS, D("0.01"), opposite_best=None)
    ask = quote_price(Side.SELL, D(100), COSTS, D("0.01"), opposite_best=None)
    # 100 * 0.9995 * 0.999 / 1.0002 = 99.83008..., 100 * 1.0005 * 1.001 / 0.9998 = 100.17008...
    assert (bid, ask) == (D("99.83"), D("100.18"))


def test_a_quote_never_takes() -> None:
    bid = quote_price(Side.BUY, D(100), COSTS, D("0.01"), opposite_best=D("99.5"))
    ask = quote_price(Side.SELL, D(100), COSTS, D("0.01"), opposite_best=D("100.5"))
    assert (bid, ask) == (D("99.49"), D("100.51"))
    assert quote_price(Side.BUY, D(100), COSTS, D(500), opposite_best=None) is None


prices = st.integers(1_000, 10**9).map(lambda n: D(n) / 1_000)


@given(
    prices,
    st.builds(
        QuoteCosts,
        st.integers(-5, 30).map(D),
        st.integers(0, 30).map(D),
        st.integers(0, 200).map(D),
    ),
    st.sampled_from(list(Side)),
    st.sampled_from([D("0.001"), D("0.01"), D("0.5")]),
)
def test_a_fill_that_is_hedged_earns_the_edge(
    hedge: Decimal, costs: QuoteCosts, side: Side, tick: Decimal
) -> None:
    price = quote_price(side, hedge, costs, tick, opposite_best=None)
    if price is None:
        return
    assert price % tick == 0
    maker, taker, edge = (bps / 10_000 for bps in costs)
    if side is Side.BUY:
        earned = hedge * (1 - taker) / (price * (1 + maker)) - 1
    else:
        earned = price * (1 - maker) / (hedge * (1 + taker)) - 1
    assert earned >= edge - D("1e-24")


def test_a_quote_inside_its_band_stays() -> None:
    band = Band(better_bps=D(5), worse_bps=D(2))
    for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
        assert not must_requote(side, D(100), D(100), band)
        assert not must_requote(side, 100 + sign * D("0.02"), D(100), band)
        assert must_requote(side, 100 + sign * D("0.0201"), D(100), band)
        assert not must_requote(side, 100 - sign * D("0.05"), D(100), band)
        assert must_requote(side, 100 - sign * D("0.0501"), D(100), band)


def test_a_band_must_leave_something_of_the_edge() -> None:
    assert band_problem(Band(D(5), D(2)), D(10)) == ""
    assert "all of its edge of 2 bps; give less" in band_problem(Band(D(5), D(2)), D(2))
    assert "give 0 or more" in band_problem(Band(D(-1), D(0)), D(2))


@pytest.mark.parametrize(
    ("state", "open_qty", "unhedged", "why"),
    [
        (BookState.LIVE, "2", "0", None),
        (BookState.LIVE, "2.1", "0", Withdrawal.DEPTH),
        (BookState.STALE, "2", "0", Withdrawal.NOT_LIVE),
        (BookState.GAP, "2.1", "9", Withdrawal.NOT_LIVE),
        (BookState.LIVE, "2", "0.99", None),
        (BookState.LIVE, "2", "-1", Withdrawal.CAP),
    ],
)
def test_when_quotes_must_go(
    state: BookState, open_qty: str, unhedged: str, why: Withdrawal | None
) -> None:
    found = withdrawal(
        state,
        BIDS,
        open_qty=D(open_qty),
        depth_ratio=D(3),
        unhedged_qty=D(unhedged),
        unhedged_qty_max=D(1),
    )
    assert found is why


def test_fills_are_hedged_at_once_or_add_up() -> None:
    def hedge(qty: str) -> Hedge:
        return hedge_of(D(qty), D(100), lot_size=D("0.01"), qty_min=D("0.02"), notional_min=D(5))

    assert hedge("0.059") == Hedge(Side.SELL, D("0.05"))
    assert hedge("-0.059") == Hedge(Side.BUY, D("0.05"))
    assert hedge("0.049") == Hedge(Side.SELL, D(0)), "4 of the 5 quote units of a least order"
    assert hedge("0") == Hedge(Side.BUY, D(0))
