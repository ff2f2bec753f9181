"""The comparison with the venues' own truth finds what is missing, doubled or wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.exchange.accounts import AccountLedger
from shared.messages.base import Side
from shared.messages.execution import Fill, FundingPaid
from shared.venues.registry import load_simulated
from shared.watch.collector import Collector
from shared.watch.money import VenuePosition
from shared.watch.venue_comparison import (
    Account,
    VenueComparison,
    VenueOrder,
    compare,
    open_positions,
    read_accounts,
    totals,
)
from tests.decision_builders import order_of

D = Decimal
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


def fill(trade_id: str, side: Side, qty: str, price: str, **changes: Any) -> Fill:
    one = Fill(
        ts_ns=1,
        plan_id="p",
        client_order_id=f"c{trade_id}",
        venue="v",
        instrument=SPOT,
        side=side,
        trade_id=trade_id,
        price=D(price),
        qty=D(qty),
        fee=D("0.5"),
        fee_asset="BNB",
    )
    return msgspec.structs.replace(one, **changes)


def row(one: Fill) -> dict[str, str]:
    return {
        "instrument": one.instrument,
        "client_order_id": one.client_order_id,
        "side": one.side.value,
        "price": f"{one.price:f}00",
        "qty": str(one.qty),
    }


def accounts(
    fills: list[Fill], balances: dict[str, str], positions: dict[str, str] | None = None
) -> dict[str, Account]:
    return read_accounts(
        {
            "v": {
                "balances": {
                    asset: {"free": free, "used": "0"} for asset, free in balances.items()
                },
                "positions": positions or {},
                "open_orders": [],
                "fills": [row(one) for one in fills],
            }
        }
    )


def collected(fills: list[Fill]) -> Collector:
    collector = Collector()
    for one in fills:
        collector.on_message(order_of(one))
        collector.on_message(one)
    return collector


BEFORE = accounts([], {"USDT": "1000", "BTC": "1", "BNB": "10"})
FILLS = [fill("1", Side.BUY, "2", "100.0"), fill("2", Side.SELL, "2", "101.0")]
AFTER = accounts(FILLS, {"USDT": "1002", "BTC": "1", "BNB": "9"})


def test_equal_when_fills_and_balances_agree() -> None:
    truth = compare(collected(FILLS), BEFORE, AFTER)
    assert (truth.ledger_equal, truth.differences, truth.open_orders) == (True, [], 0)


@pytest.mark.parametrize(
    ("ours", "after", "says"),
    [
        (FILLS[:1], AFTER, "that we do not know"),
        ([*FILLS, fill("3", Side.BUY, "1", "5.0")], AFTER, "does not know"),
        (FILLS, accounts(FILLS, {"USDT": "1002", "BTC": "1", "BNB": "9.5"}), "BNB changed by -0.5"),
        ([FILLS[0], fill("2", Side.SELL, "2", "101.5")], AFTER, "101.5"),
        (FILLS, accounts([*FILLS, FILLS[0]], {"USDT": "1002", "BTC": "1", "BNB": "9"}), "1 fill"),
    ],
)
def test_a_difference_is_said(ours: list[Fill], after: dict[str, Account], says: str) -> None:
    truth = compare(collected(ours), BEFORE, after)
    assert not truth.ledger_equal
    assert says in "; ".join(truth.differences)


def with_orders(*names: str) -> dict[str, Account]:
    """The accounts after the fills, with orders of these names."""
    orders = [VenueOrder(name, SPOT, Side.BUY, D("2.0")) for name in names]
    return {"v": msgspec.structs.replace(AFTER["v"], orders=orders)}


def taken(*fills: Fill) -> Collector:
    """What we know when the venue has named its own id of each order."""
    collector = collected(list(fills))
    for one in fills:
        event = msgspec.structs.replace(order_of(one), venue_order_id=f"v{one.trade_id}")
        collector.on_message(event)
    return collector


def test_orders_are_compared_both_ways() -> None:
    assert compare(taken(*FILLS), BEFORE, with_orders("c1", "c2")).ledger_equal
    more = compare(taken(*FILLS), BEFORE, with_orders("c1", "c2", "c3"))
    assert more.differences == ["v has an order that we do not know: c3 buy 2 BTC/USDT"]
    fewer = compare(taken(*FILLS), BEFORE, with_orders("c1"))
    assert fewer.differences == ["v does not know an order of ours: c2"]
    earlier = {"v": msgspec.structs.replace(BEFORE["v"], orders=with_orders("c3")["v"].orders)}
    assert compare(taken(*FILLS), earlier, with_orders("c1", "c2", "c3")).ledger_equal


def test_a_perpetual_moves_quote_only_and_its_position_is_compared() -> None:
    fills = [
        fill("1", Side.BUY, "2", "100.0", instrument=PERP, fee=D("0.1"), fee_asset="USDT"),
        fill("2", Side.SELL, "2", "99.0", instrument=PERP, fee=D("0.1"), fee_asset="USDT"),
    ]
    closed = accounts(fills, {"USDT": "997.8", "BTC": "1", "BNB": "10"}, {PERP: "0"})
    assert compare(collected(fills), BEFORE, closed).ledger_equal
    opened = accounts(fills[:1], {"USDT": "999.9", "BTC": "1", "BNB": "10"}, {PERP: "1"})
    truth = compare(collected(fills[:1]), BEFORE, opened)
    assert "position BTC/USDT:USDT is 1 there and 2 here" in truth.differences[0]


def test_open_orders_are_counted() -> None:
    after = read_accounts(
        {"v": {"balances": {}, "positions": {}, "open_orders": [{}, {}], "fills": []}}
    )
    assert compare(Collector(), {}, after).open_orders == 2


SECOND_NS = 1_000_000_000


def funded(booked_s: list[int], ended_s: int) -> VenueComparison:
    """What is found where 3 were paid at 10, 20 and 30 s, and we booked these, up to then."""
    collector = collected([])
    for ts_s in booked_s:
        collector.on_message(
            FundingPaid(
                ts_ns=ts_s * SECOND_NS,
                venue="v",
                instrument=PERP,
                payment_id=f"f{ts_s}",
                amount=D(3),
                asset="USDT",
                ts_funding_ns=ts_s * SECOND_NS,
            )
        )
    after = read_accounts(
        {
            "v": {
                "balances": {"USDT": {"free": "1009", "used": "0"}},
                "positions": {},
                "open_orders": [],
                "fills": [],
                "funding": {"USDT": "9"},
                "fundings": [
                    {"ts_ms": ts_s * 1_000, "asset": "USDT", "amount": "3"} for ts_s in (10, 20, 30)
                ],
            }
        }
    )
    before = accounts([], {"USDT": "1000"})
    return compare(collector, before, after, ended_ns=ended_s * SECOND_NS)


def test_funding_paid_after_our_end_is_no_difference() -> None:
    comparison = funded([10, 20], ended_s=25)
    assert comparison.differences == []
    assert totals(comparison.accounts) == {"v": {"USDT": D(1006)}}, "nor is it in what was earned"


def test_funding_that_was_booked_at_our_end_is_no_difference_either() -> None:
    comparison = funded([10, 20, 30], ended_s=25)
    assert comparison.differences == []
    assert totals(comparison.accounts) == {"v": {"USDT": D(1009)}}


def test_funding_that_we_missed_while_we_ran_is_a_difference() -> None:
    missed = "v paid 6 USDT of funding, and 3 is booked here"
    assert missed in funded([10], ended_s=25).differences
    missed = "v paid 9 USDT of funding, and 6 is booked here"
    assert missed in funded([10, 20], ended_s=35).differences


@pytest.mark.parametrize("side", Side)
def test_what_an_inverse_position_cost_is_the_same_there_and_here(side: Side) -> None:
    name = "BTC/USD:BTC"
    (listing,) = (x for x in load_simulated("bybit").more_listings() if x.instrument == name)
    ledger, books = AccountLedger({"BTC": D(1)}, D(20)), Books()
    for price in (D(40_000), D(41_000)):
        ledger.settle_perpetual(listing, side, D(7_000), price)
        cost = cost_of(name, D(7_000), price)
        books.trade(
            Execution(venue="v", instrument=name, side=side, qty=D(7_000), cost=cost, fee=D(0))
        )
    held = ledger.positions[name]
    raw = {"balances": {}, "open_orders": [], "fills": []}
    raw |= {"positions": {name: held.qty}, "position_costs": {name: held.cost}}
    (found,) = open_positions(read_accounts({"v": raw}))
    assert found == VenuePosition("v", name, held.qty, books.cost_of(f"v|{name}", held.qty))
