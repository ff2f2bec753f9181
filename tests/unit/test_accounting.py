"""Accounting by average cost: the figures of each rule, worked out by hand."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from shared.domain.accounting import Books, unrealized
from shared.domain.executions import Execution, cost_of
from shared.messages.base import Certainty, Side

SPOT, PERP, INVERSE = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"


def execution(
    side: str, qty: str, price: str, instrument: str = SPOT, venue: str = "a", **fee: object
) -> Execution:
    fee.setdefault("fee", D(0))
    return Execution(
        venue=venue,
        instrument=instrument,
        side=Side(side),
        qty=D(qty),
        cost=D(qty) * D(price),
        **fee,
    )


def booked(*executions: Execution) -> Books:
    books = Books()
    for done in executions:
        books.trade(done)
    return books


def test_spot_bought_here_and_sold_there_is_realized_and_moves_inventory() -> None:
    books = booked(
        execution("buy", "1", "100", venue="a", fee=D("0.1"), fee_asset="USDT"),
        execution("sell", "1", "103", venue="b", fee=D("0.2"), fee_asset="USDT"),
    )
    assert books.results["USDT"].realized == D("2.7")
    assert books.results["USDT"].fees == D("0.3")
    assert books.positions(lambda *_: D(1)) == []
    assert books.exposure == {"BTC": 0}
    assert books.inventory_change() == {
        "a": {"BTC": D(1), "USDT": D("-100.1")},
        "b": {"BTC": D(-1), "USDT": D("102.8")},
    }


def test_a_hedge_with_a_perpetual_has_realized_nothing_but_its_fees() -> None:
    books = booked(
        execution("buy", "2", "100", fee=D("0.2"), fee_asset="USDT"),
        execution("sell", "2", "110", PERP, "f", fee=D("0.11"), fee_asset="USDT"),
    )
    assert books.exposure == {"BTC": 0}, "flat in base units"
    assert books.results["USDT"].realized == D("-0.31")
    spot, perp = books.positions(lambda venue, _, __: D(112) if venue else D(99))
    assert (spot.venue, spot.instrument, spot.qty, spot.entry) == ("", SPOT, 2, 100)
    assert (perp.venue, perp.instrument, perp.qty, perp.entry) == ("f", PERP, -2, 110)
    assert (spot.unrealized, perp.unrealized) == (D(-2), D(-4))
    assert books.inventory_change()["f"] == {"USDT": D("-0.11")}, "margin is not spent"


@pytest.mark.parametrize(
    ("executions", "qty", "entry", "realized"),
    [
        (["buy 3 100", "sell 1 110"], "2", "100", "10"),
        (["buy 1 100", "buy 1 130", "sell 1 120"], "1", "115", "5"),
        (["sell 2 100", "buy 1 90"], "-1", "100", "10"),
        (["buy 2 100", "sell 3 110"], "-1", "110", "20"),
        (["sell 2 100", "buy 5 90"], "3", "90", "20"),
        (["buy 2 100", "sell 2 90"], "0", None, "-20"),
        (["buy 3 100", "sell 1 100", "sell 2 103"], "0", None, "6"),
    ],
)
def test_partial_closes_and_flips_by_average_cost(
    executions: list[str], qty: str, entry: str | None, realized: str
) -> None:
    books = booked(*(execution(*one.split(), PERP, "f") for one in executions))
    holding = books.holdings[f"f|{PERP}"]
    assert holding.qty == D(qty)
    assert holding.entry == (None if entry is None else D(entry))
    assert books.results["USDT"].realized == holding.realized == D(realized)


def test_the_same_perpetual_at_two_venues_is_two_positions() -> None:
    books = booked(
        execution("buy", "1", "100", PERP, "f"), execution("sell", "1", "105", PERP, "g")
    )
    assert books.results["USDT"].realized == 0
    assert [p.venue for p in books.positions(lambda *_: None)] == ["f", "g"]


def test_quotes_are_never_added() -> None:
    books = booked(
        execution("buy", "1", "100", "BTC/USDT"), execution("sell", "1", "103", "BTC/USD", "b")
    )
    assert {q: r.realized for q, r in books.results.items()} == {"USDT": 0, "USD": 0}
    open_ = books.positions(lambda _, instrument, __: D(101) if instrument == SPOT else None)
    assert unrealized(open_) == {"USD": None, "USDT": D(1)}


def test_a_fee_in_the_base_asset_lowers_the_holding() -> None:
    books = booked(execution("buy", "2", "100", fee=D("0.01"), fee_asset="BTC"))
    assert books.exposure == {"BTC": D("1.99")}
    assert books.quantities == {"a|BTC/USDT": D("1.99")}
    result = books.results["USDT"]
    assert (result.realized, result.fees, result.certainty) == (-1, 1, Certainty.KNOWN)
    holding = books.holdings[SPOT]
    assert (holding.qty, holding.cost) == (D("1.99"), D(199))


def test_a_fee_in_a_third_asset_is_paid_from_the_holding_of_that_asset() -> None:
    fee = {"fee": D("0.5"), "fee_asset": "BNB", "fee_quote": D(300)}
    books = booked(
        execution("buy", "1", "60000", **fee), execution("sell", "1", "60500", venue="b")
    )
    result = books.results["USDT"]
    assert (result.realized, result.fees) == (D(200), D(300))
    assert result.certainty is Certainty.ESTIMATED
    assert books.exposure == {"BTC": 0}, "a fee in BNB is no exposure of the trade"
    (bnb,) = books.positions(lambda *_: D(640))
    assert (bnb.instrument, bnb.qty, bnb.unrealized) == ("BNB/USDT", D("-0.5"), D(-20))
    assert books.inventory_change()["a"]["BNB"] == D("-0.5")


def test_a_fee_without_a_price_is_unknown_and_not_zero() -> None:
    books = booked(execution("buy", "1", "100", fee=D("0.5"), fee_asset="BNB"))
    assert books.results["USDT"].certainty is Certainty.UNKNOWN
    assert books.holdings["BNB/USDT"].qty == D("-0.5"), "its quantity is known"


def test_a_fee_told_later_settles_the_doubt() -> None:
    books = booked(execution("buy", "1", "100", fee=None))
    assert books.results["USDT"].certainty is Certainty.UNKNOWN
    books.fee_told(execution("buy", "1", "100", fee=D("0.1"), fee_asset="USDT"))
    result = books.results["USDT"]
    assert (result.certainty, result.fees, result.realized) == (
        Certainty.KNOWN,
        D("0.1"),
        D("-0.1"),
    )
    assert books.exposure == {"BTC": 1}, "the quantity is booked once"


def test_funding_is_realized_and_a_transfer_is_not() -> None:
    books = booked(execution("sell", "1", "100", PERP, "f"))
    books.fund("f", PERP, D("0.75"))
    books.transfer("f", "USDT", D(500))
    result = books.results["USDT"]
    assert (result.realized, result.funding) == (D("0.75"), D("0.75"))
    assert books.inventory_change() == {"f": {"USDT": D("0.75")}}
    assert books.transfers == {"f|USDT": D(500)}


def inverse(side: str, qty: str, price: str, fee: str | None = "0") -> Execution:
    """Quote units of an inverse contract, as the accounts take them."""
    cost = cost_of(INVERSE, D(qty), D(price))
    return replace(
        execution(side, qty, price, INVERSE, fee=None if fee is None else D(fee)), cost=cost
    )


def test_an_inverse_contract_earns_pays_and_holds_coins() -> None:
    # 10,000 of quote units sold at 50,000 are 0.2 coins, at 40,000 they are 0.25.
    books = booked(inverse("sell", "10000", "50000", fee="0.0001"))
    assert (books.exposure, books.results["BTC"].realized) == ({"BTC": D("-0.2001")}, D("-0.0001"))
    (held,) = books.positions(lambda *_: D(40_000))
    assert (held.qty, held.entry, held.unrealized) == (-10_000, 50_000, D("0.05"))
    assert unrealized([held]) == {"BTC": D("0.05")}
    books.fund("a", INVERSE, D("0.00002"))
    books.trade(inverse("buy", "10000", "40000", fee="0.000125"))
    result = books.results["BTC"]
    assert set(books.results) == {"BTC"}
    assert (result.realized, result.fees) == (D("0.049795"), D("0.000225"))
    assert (result.funding, result.certainty) == (D("0.00002"), Certainty.KNOWN)
    assert books.inventory_change() == {"a": {"BTC": D("0.049795")}}
    assert books.exposure == {"BTC": D("0.049795")}, "coins earned are held"
    assert books.quantities == {f"a|{INVERSE}": 0}


def test_the_entry_of_an_inverse_contract_is_the_harmonic_mean() -> None:
    books = booked(inverse("buy", "100", "50000"), inverse("buy", "100", "40000"))
    (held,) = books.positions(lambda *_: None)
    assert held.entry == 2 / (1 / D(50_000) + 1 / D(40_000))
    assert books.exposure == {"BTC": D("0.0045")}
    # A part at the average: 100 of 200 have half of the coins.
    books.trade(inverse("sell", "100", "50000"))
    assert books.results["BTC"].realized == D("0.00225") - D("0.002")


def test_spot_against_an_inverse_short_is_worth_the_same_at_every_price() -> None:
    spot = execution("buy", "0.2", "50000", "BTC/USD")
    for price in (D(20_000), D(50_000), D(123_456)):
        books = booked(spot, inverse("sell", "10000", "50000"))
        assert books.exposure == {"BTC": 0}
        books.trade(execution("sell", "0.2", str(price), "BTC/USD"))
        books.trade(inverse("buy", "10000", str(price)))
        coins, quote = books.results["BTC"].realized, books.results["USD"].realized
        assert abs(quote + coins * price) <= D("1e-8") * price


def test_funding_in_the_quote_asset_of_an_inverse_contract_is_not_accounted_for() -> None:
    books = booked(inverse("sell", "10000", "50000"))
    books.fund("a", INVERSE, D(1), "USD")
    assert books.inventory == {"a|USD": 1}
    assert books.results["BTC"].certainty is Certainty.UNKNOWN


def test_funding_in_a_third_asset_makes_the_result_unknown() -> None:
    books = booked(execution("sell", "1", "100", PERP, "f"))
    assert books.results["USDT"].certainty is Certainty.KNOWN
    books.fund("f", PERP, D("-0.01"), "BNB")
    assert books.inventory_change() == {"f": {"BNB": D("-0.01")}}
    assert books.results["USDT"].certainty is Certainty.UNKNOWN


def test_who_held_a_derivative_at_an_instant_is_known_later() -> None:
    books = Books()
    for ts_ns, side, qty in ((10, "sell", "3"), (20, "buy", "1"), (30, "buy", "2")):
        books.trade(replace(execution(side, qty, "100", PERP, "f"), ts_ns=ts_ns))
    held = [books.held_at("f", PERP, ts_ns) for ts_ns in (9, 10, 19, 20, 29, 30, 99)]
    assert held == [0, -3, -3, -2, -2, 0, 0]
    assert books.held_at("elsewhere", PERP, 10) == 0


def test_shares_of_a_cost_that_does_not_divide_lose_nothing() -> None:
    books = booked(
        execution("buy", "3", "33.33333333"),
        execution("buy", "4", "33.33333334"),
        execution("sell", "1", "40"),
        execution("sell", "2", "41"),
    )
    (left,) = books.positions(lambda *_: D("39.5"))
    assert left.unrealized is not None
    cash = D(40) + D(82) - 3 * D("33.33333333") - 4 * D("33.33333334")
    assert books.results["USDT"].realized + left.unrealized == cash + 4 * D("39.5")
