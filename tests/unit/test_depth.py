"""Depth walks: where they stop and what they say."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from shared.domain.depth import (
    CrossedDepth,
    Obstacle,
    Uncrossed,
    costs_of,
    take_crossed_depth,
    walk_quantity,
)
from shared.messages.base import Side

FREE = costs_of(0.0, 0.0, 0.0)
TEN_BPS = costs_of(0.001, 0.001, 0.0)


@pytest.mark.parametrize(
    ("bid", "edge_min", "expected"),
    [
        (100.0, 0.0, Obstacle.NOT_CROSSED),
        (100.1, 0.0, Obstacle.FEES),
        (100.25, 10.0, Obstacle.EDGE_MIN),
    ],
)
def test_says_what_stopped_it(bid: float, edge_min: float, expected: Obstacle) -> None:
    costs = costs_of(0.001, 0.001, edge_min)
    found = take_crossed_depth([(100.0, 1.0)], [(bid, 1.0)], costs, notional_max=1e6)
    assert isinstance(found, Uncrossed)
    assert found.obstacle is expected
    assert found.edge_bps == pytest.approx((bid * 0.999 - 100.1) / 100 * 1e4)


def test_a_crossed_book_without_fees_is_not_taken_at_equal_prices() -> None:
    found = take_crossed_depth([(100.0, 1.0)], [(100.0, 1.0)], FREE, notional_max=1e6)
    assert found == Uncrossed(Obstacle.NOT_CROSSED, 0.0)


def test_a_good_first_level_does_not_pay_for_a_bad_one() -> None:
    asks = [(100.0, 1.0), (101.0, 5.0)]
    bids = [(102.0, 2.0), (100.5, 5.0)]
    found = take_crossed_depth(asks, bids, TEN_BPS, notional_max=1e6)
    assert isinstance(found, CrossedDepth)
    # 1 at 100/102, 1 at 101/102; the next unit, 101 against 100.5, would lose.
    assert found.qty == 2.0
    assert (found.buy_worst, found.sell_worst) == (101.0, 102.0)
    assert (found.buy_levels, found.sell_levels) == (2, 1)
    assert found.gross == pytest.approx(3.0)
    assert found.fees == pytest.approx(0.201 + 0.204)
    assert found.net == pytest.approx(3.0 - 0.405)


def test_stops_at_the_caps() -> None:
    asks, bids = [(100.0, 10.0)], [(110.0, 10.0)]
    by_notional = take_crossed_depth(asks, bids, FREE, notional_max=220.0)
    by_qty = take_crossed_depth(asks, bids, FREE, notional_max=1e6, qty_max=1.5)
    assert isinstance(by_notional, CrossedDepth)
    assert isinstance(by_qty, CrossedDepth)
    assert by_notional.qty == 2.0  # at the best bid, the dearest price in the walk
    assert by_qty.qty == 1.5


def test_stops_where_a_side_ends() -> None:
    found = take_crossed_depth([(100.0, 1.0), (100.5, 1.0)], [(110.0, 5.0)], FREE, notional_max=1e9)
    assert isinstance(found, CrossedDepth)
    assert found.qty == 2.0


def test_walk_of_a_quantity_is_exact() -> None:
    asks = [(100.1, 0.1), (100.2, 0.2), (100.3, 5.0)]
    walked = walk_quantity(asks, D("0.3"), Side.BUY)
    assert walked is not None
    assert walked.price_worst == D("100.2")
    assert walked.levels_used == 2
    assert walked.price_avg == D("100.166666667")
    assert walk_quantity(asks, D("5.31"), Side.BUY) is None
