"""Rounds whose holdings are in the records only, ended once nothing of the base is open."""

from __future__ import annotations

from decimal import Decimal as D

from services.risk.round_closes import cancel_unowned
from services.risk.rounds import Round
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.messages.base import Side

SPOT, PERP = "a|BTC/USDT", "d|BTC/USDT:USDT"
PRICES = {SPOT: D(60_000), "b|BTC/USDT": D(60_000), PERP: D(60_100)}


def execution(market: str, qty: str, price: str = "59000") -> Execution:
    venue, _, instrument = market.partition("|")
    signed = D(qty)
    side = Side.BUY if signed > 0 else Side.SELL
    cost = abs(signed) * D(price)
    return Execution(
        venue=venue, instrument=instrument, side=side, qty=abs(signed), cost=cost, fee=D(0), ts_ns=1
    )


def a_round(*trades: tuple[str, str], name: str = "r1") -> Round:
    found = Round(
        strategy="s", round_id=name, base="BTC", quote="USDT", is_directional=False, ts_opened_ns=1
    )
    for trade in trades:
        found.trade(execution(*trade))
    return found


def of_all(*trades: tuple[str, str]) -> dict[str, D]:
    books = Books()
    for trade in trades:
        books.trade(execution(*trade))
    return books.opened()


def test_a_round_whose_close_was_booked_to_nobody_ends() -> None:
    found = a_round((SPOT, "0.033"), (PERP, "-0.031"))
    rest = of_all((SPOT, "0.0000005"))
    assert cancel_unowned([found], rest, "BTC", PRICES, 2) == [found]
    assert found.held == {"BTC/USDT": D("0.0000005")}
    # Sold at the last prices without a fee: 0.0329995 of 1,000 more, 0.031 of 1,100 less.
    assert found.books.results["USDT"].realized == D("32.9995") - D("34.1")


def test_spot_at_several_venues_ends_at_each() -> None:
    found = a_round((SPOT, "0.02"), ("b|BTC/USDT", "0.01"), (PERP, "-0.03"))
    assert cancel_unowned([found], {}, "BTC", PRICES, 2) == [found]
    assert found.held == {}
    assert not any(found.books.quantities.values())


def test_while_any_of_it_is_open_nothing_is_ended() -> None:
    found = a_round((SPOT, "0.033"), (PERP, "-0.033"))
    for opened in (
        of_all((SPOT, "0.033"), (PERP, "-0.033")),
        of_all((PERP, "-0.033")),
        of_all(("e|BTC/USDT:USDT", "0.01")),
    ):
        assert cancel_unowned([found], opened, "BTC", PRICES, 2) == []
    assert found.held == {"BTC/USDT": D("0.033"), "d|BTC/USDT:USDT": D("-0.033")}


def test_other_bases_rests_and_markets_without_a_price_are_left() -> None:
    found, rest = a_round((SPOT, "0.033")), a_round((SPOT, "0.000001"), name="r2")
    rest.is_dust = True
    assert cancel_unowned([found, rest], {}, "ETH", PRICES, 2) == []
    assert cancel_unowned([found], {}, "BTC", {}, 2) == []
    assert cancel_unowned([found, rest], {}, "BTC", PRICES, 2) == [found]
    assert rest.held == {"BTC/USDT": D("0.000001")}
