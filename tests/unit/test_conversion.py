"""Buying in USD, selling in USDC, converting on USDC/USD: worked out by hand, and what stops it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.domain.conversion import (
    ConversionLimits,
    FxBook,
    FxLimits,
    FxObstacle,
    Terms,
    convert_leg,
    fx_obstacle,
    hold_leg,
    leg_of,
    price_conversion,
)
from shared.domain.depth import ExactLevel, Obstacle
from shared.domain.path import Outcome, PathLeg, order, simulate, trade
from shared.messages.base import BookState, Side

D = Decimal
MS = 1_000_000


def levels(*pairs: tuple[str, str]) -> list[ExactLevel]:
    return [(D(price), D(qty)) for price, qty in pairs]


def fx(bids: list[ExactLevel], asks: list[ExactLevel], instrument: str = "USDC/USD") -> FxBook:
    return FxBook(instrument, BookState.LIVE, 0, bids, asks)


PEG = fx(
    levels(("0.99", "1000"), ("0.90", "1000")),
    levels(
        ("0.995", "1000"),
    ),
)
BUY = leg_of(Side.BUY, levels(("100", "5"), ("102", "50")), Terms(D("0.01"), D(10)))
SELL = leg_of(Side.SELL, levels(("105", "50")), Terms(D("0.01"), D(10)))
CENT = Terms(D("0.01"), D(0))
LIMITS = ConversionLimits(D(0), D(0), D(10_000), lots_tried=100_000)


def converted(buy: PathLeg, sell: PathLeg, third: PathLeg, limits: ConversionLimits) -> Outcome:
    found = price_conversion(buy, sell, third, limits)
    assert isinstance(found, Outcome)
    return found


def test_three_books_are_walked_together() -> None:
    """5 at 100 pay; at 102 the second level of neither book does."""
    found = converted(BUY, SELL, convert_leg(PEG, "USDC", CENT), LIMITS)
    buy, sell, third = found.legs
    # A whole unit bought at 102 sells for 105 * 0.999 * 0.99 = 103.845: it pays too, until the
    # conversion's 1,000 at 0.99 are used up after 9.53 units; then 0.90 does not.
    assert buy.qty == sell.qty == D("9.53")
    cost = 5 * 100 + D("4.53") * 102
    assert cost <= buy.qty * buy.price_avg <= cost + D("1e-8")  # an average of 12 digits, up
    assert buy.spent == buy.qty * buy.price_avg + buy.fee
    assert sell.got == D("9.53") * 105 * D("0.999")
    assert third.qty == D("999.64")
    assert third.dust == sell.got - third.qty
    assert found.net == third.qty * D("0.99") - buy.spent
    assert found.edge_bps == (found.net / buy.spent * 10_000).quantize(D("0.0001"), "ROUND_FLOOR")


def test_at_one_to_one_it_would_buy_more_than_pays() -> None:
    one = fx(levels(("1", "100000")), levels(("1", "100000")))
    more = converted(BUY, SELL, convert_leg(one, "USDC", CENT), LIMITS)
    assert more.legs[0].qty == D("50")  # as much as B takes


def test_a_rate_can_be_the_other_way_round() -> None:
    """USD/USDC: USDC is paid at the asks."""
    other = fx(levels(("1.00", "1000")), levels(("1.01", "1000")), "USD/USDC")
    found = converted(BUY, SELL, convert_leg(other, "USDC", CENT), LIMITS)
    third = found.legs[2]
    assert third.spent == third.qty * D("1.01")
    assert third.spent + third.dust == found.legs[1].got
    with pytest.raises(ValueError, match="USD/USDC does not trade USDT"):
        convert_leg(other, "USDT", CENT)


def test_a_fee_in_base_leaves_less_to_sell() -> None:
    buy = BUY._replace(is_fee_in_base=True, lot_size=D("0.001"))
    sell = SELL._replace(lot_size=D("0.01"))
    found = converted(buy, sell, convert_leg(PEG, "USDC", CENT), LIMITS)
    bought, sold, _ = found.legs
    assert bought.fee == (bought.qty * D("0.001")).quantize(D("1e-8"), "ROUND_CEILING")
    assert bought.got == bought.qty - bought.fee
    assert sold.qty == bought.got.quantize(D("0.01"), "ROUND_DOWN")
    assert sold.dust == bought.got - sold.qty < D("0.01")
    assert bought.spent == bought.qty * bought.price_avg, "no fee in the quote asset"


def test_a_sell_fee_in_base_makes_the_order_smaller() -> None:
    leg = PathLeg(Side.SELL, levels(("100", "10")), D("0.01"), D(10), is_fee_in_base=True)
    traded = trade(leg, D(1))
    assert traded is not None
    assert traded.qty == D("0.99")
    assert (traded.spent, traded.got) == (D("0.99099"), D(99))
    assert traded.dust == D("0.00901")


@pytest.mark.parametrize(
    ("bid", "edge", "obstacle"),
    [
        ("101", "0", Obstacle.NOT_CROSSED),
        ("101.1", "0", Obstacle.FEES),
        ("103", "500", Obstacle.EDGE_MIN),
    ],
)
def test_what_does_not_pay(bid: str, edge: str, obstacle: Obstacle) -> None:
    sell = SELL._replace(levels=levels((bid, "50")))
    limits = LIMITS._replace(edge_bps_min=D(edge))
    assert price_conversion(BUY, sell, convert_leg(PEG, "USDC", CENT), limits) is obstacle


def test_moving_inventory_back_is_charged() -> None:
    third = convert_leg(PEG, "USDC", CENT)
    few = converted(BUY, SELL, third, LIMITS._replace(rebalance_bps=D(300)))
    assert few.legs[0].qty == 5  # the units at 102 earn 170 bps
    much = LIMITS._replace(rebalance_bps=D(400))
    assert price_conversion(BUY, SELL, third, much) is Obstacle.EDGE_MIN


def test_lots_may_leave_nothing() -> None:
    sell = SELL._replace(lot_size=D(1_000))
    assert price_conversion(BUY, sell, convert_leg(PEG, "USDC", CENT), LIMITS) is None
    sell = SELL._replace(notional_min=D(10_000))
    assert price_conversion(BUY, sell, convert_leg(PEG, "USDC", CENT), LIMITS) is None
    sell = SELL._replace(qty_min=D(100))
    assert price_conversion(BUY, sell, convert_leg(PEG, "USDC", CENT), LIMITS) is None


def test_holding_instead_of_converting_is_charged_spread_and_haircut() -> None:
    leg = hold_leg(PEG, "USDC", D(20))
    assert leg.levels[0][0] == D("0.99") * D("0.998")
    traded = order(leg, D(1_000))
    assert traded is not None
    assert traded.got == D("988.02")
    found = converted(BUY, SELL, leg, LIMITS)
    assert found.legs[0].qty == 50, "no book limits it; risk does"


def test_a_walk_needs_books() -> None:
    empty = fx([], levels(("1", "1")))
    third = convert_leg(empty, "USDC", CENT)
    assert price_conversion(BUY, SELL, third, LIMITS) is Obstacle.NOT_CROSSED
    assert simulate((BUY, SELL, third), D(100)) is None


GUARD = FxLimits(
    age_ms_max=500,
    older_ms_max=200,
    depth_base_min=D(500),
    depth_bps=D(10),
    deviation_bps_max=D(100),
)


@pytest.mark.parametrize(
    ("change", "reference", "legs_ms", "now_ms", "obstacle"),
    [
        ({}, "0.9925", 0, 0, None),
        ({"state": BookState.STALE}, "0.9925", 0, 0, FxObstacle.FX_NOT_LIVE),
        ({"bids": []}, "0.9925", 0, 0, FxObstacle.FX_NOT_LIVE),
        ({}, "0.9925", 200, 500, None),
        ({}, "0.9925", 0, 501, FxObstacle.FX_AGE),
        ({}, "0.9925", 201, 201, FxObstacle.FX_OLDER),
        ({"bids": levels(("0.99", "400"), ("0.98", "5000"))}, "0.9925", 0, 0, FxObstacle.FX_THIN),
        ({}, None, 0, 0, FxObstacle.FX_NO_REFERENCE),
        ({}, "0", 0, 0, FxObstacle.FX_NO_REFERENCE),
        ({}, "1.0025", 0, 0, None),
        ({}, "1.0026", 0, 0, FxObstacle.FX_DEPEG),
        ({}, "0.98", 0, 0, FxObstacle.FX_DEPEG),
    ],
)
def test_the_depeg_guard(
    change: dict[str, object],
    reference: str | None,
    legs_ms: int,
    now_ms: int,
    obstacle: FxObstacle | None,
) -> None:
    found = fx_obstacle(
        PEG._replace(**change),
        GUARD,
        reference=None if reference is None else D(reference),
        ts_legs_ns=legs_ms * MS,
        now_ns=now_ms * MS,
    )
    assert found is obstacle


def test_no_book_no_rate() -> None:
    found = fx_obstacle(None, GUARD, reference=D(1), ts_legs_ns=0, now_ns=0)
    assert found is FxObstacle.FX_NOT_LIVE
