"""Lots by hand: what was bought when, and what became of it."""

from __future__ import annotations

from decimal import Decimal as D

from shared.domain.lots import FEE, Lots
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, Fill

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
SECOND = 1_000_000_000


def fill(number: int, side: str, qty: str, price: str, **changes: object) -> Fill:
    values: dict[str, object] = {
        "ts_ns": number * SECOND,
        "plan_id": "p",
        "client_order_id": "c",
        "venue": "a",
        "instrument": SPOT,
        "side": Side(side),
        "trade_id": f"t{number}",
        "price": D(price),
        "qty": D(qty),
        "fee": D(0),
        "strategy": "cross_venue",
        **changes,
    }
    return Fill(**values)


def lots_of(*fills: Fill) -> Lots:
    lots = Lots()
    for one in fills:
        lots.trade(one)
    return lots


def test_the_oldest_is_sold_first_and_a_part_of_a_lot_is_a_lot() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "100"),
        fill(2, "buy", "2", "110", venue="b"),
        fill(5, "sell", "1.5", "120", venue="c"),
    )
    first, second = lots.closed()
    assert (first.qty, first.profit, first.opened.venue) == (D(1), D(20), "a")
    assert first.closed is not None
    assert (first.closed.venue, first.closed.trade_id) == ("c", "t5"), "coins are coins anywhere"
    assert (second.qty, second.opened.trade_id, second.profit) == (D("0.5"), "t2", D(5))
    (left,) = lots.open()
    assert (left.qty, left.opened_amount, left.profit) == (D("1.5"), D(165), None)


def test_a_flip_closes_all_and_opens_the_rest_short() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "100", instrument=PERP),
        fill(2, "sell", "3", "90", instrument=PERP),
        fill(3, "buy", "2", "80", instrument=PERP),
    )
    long, short = lots.closed()
    assert (long.side, long.profit) == (Side.BUY, D(-10))
    assert (short.side, short.qty, short.profit) == (Side.SELL, D(2), D(20))
    assert not lots.open()


def test_a_perpetual_is_closed_at_its_own_venue_only() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "100", instrument=PERP),
        fill(2, "sell", "1", "101", instrument=PERP, venue="b"),
    )
    assert not lots.closed()
    assert [lot.side for lot in lots.open()] == [Side.BUY, Side.SELL]


def test_fees_are_shared_out_beside_the_price_and_never_added() -> None:
    lots = lots_of(
        fill(1, "buy", "3", "100", fee=D("0.1"), fee_asset="BNB"),
        fill(2, "sell", "1", "110", fee=D("0.05"), fee_asset="USDT"),
        fill(3, "sell", "2", "110", fee=None),
    )
    first, second = lots.closed()
    assert first.closed is not None
    assert second.closed is not None
    assert (first.profit, second.profit) == (D(10), D(20))
    assert (first.opened.fee, first.opened.fee_asset) == (D("0.03333333"), "BNB")
    assert second.opened.fee == D("0.06666667"), "together 0.1"
    assert (first.closed.fee, first.closed.fee_asset) == (D("0.05"), "USDT")
    assert (second.closed.fee, second.closed.fee_asset) == (None, ""), "not told is not zero"


def test_units_that_a_fee_took_are_gone() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "100", fee=D("0.01"), fee_asset="BTC"), fill(2, "sell", "0.99", "110")
    )
    taken, sold = lots.closed()
    assert taken.closed is not None
    assert (taken.qty, taken.closed.trade_id, taken.profit) == (D("0.01"), FEE, D(-1))
    assert (sold.qty, sold.profit) == (D("0.99"), D("9.9"))
    assert not lots.open()


def test_a_fee_in_a_coin_that_was_bought_here_takes_it_from_that_lot() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "600", instrument="BNB/USDT"),
        fill(2, "buy", "1", "100", fee=D("0.25"), fee_asset="BNB"),
    )
    (taken,) = lots.closed()
    assert (taken.instrument, taken.qty, taken.profit) == ("BNB/USDT", D("0.25"), D(-150))
    assert [(lot.instrument, lot.qty) for lot in lots.open()] == [
        ("BNB/USDT", D("0.75")),
        (SPOT, D(1)),
    ]


def test_strategies_keep_their_lots_apart_and_an_operator_closes_anyones() -> None:
    lots = lots_of(
        fill(1, "buy", "1", "100", instrument=PERP, strategy="b"),
        fill(2, "sell", "1", "110", instrument=PERP, strategy="a"),
    )
    assert not lots.closed()
    lots.trade(fill(3, "sell", "1", "120", instrument=PERP, strategy=OPERATOR_STRATEGY))
    (closed,) = lots.closed()
    assert (closed.strategy, closed.profit) == ("b", D(20))


def test_amounts_of_an_inverse_contract_are_coins() -> None:
    inverse = {"instrument": "BTC/USD:BTC"}
    lots = lots_of(
        fill(1, "buy", "100", "100", **inverse), fill(2, "sell", "100", "125", **inverse)
    )
    (closed,) = lots.closed()
    assert (closed.opened_amount, closed.closed_amount) == (D(1), D("0.8"))
    assert closed.profit == D("0.2")
    lots = lots_of(
        fill(1, "sell", "100", "100", **inverse), fill(2, "buy", "100", "125", **inverse)
    )
    assert lots.closed()[0].profit == D("-0.2")
