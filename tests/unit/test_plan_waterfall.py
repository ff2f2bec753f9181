"""From a plan's expected edge to what it realized: the steps, and that they add up."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.accounting import Books
from shared.domain.executions import execution_of
from shared.messages.base import Certainty, Side
from shared.messages.execution import OrderPurpose
from shared.messages.terms import InventoryCost
from shared.watch.plan_waterfall import STEPS, Order, waterfall
from tests.decision_builders import PERP, T0
from tests.ledger_builders import D, approved, done, fill

PLAN = approved(1, T0)
BOUGHT, SOLD = "arbp0000010", "arbp0000011"
ORDERS = {BOUGHT: Order(OrderPurpose.LEG, 0), SOLD: Order(OrderPurpose.LEG, 1)}
PRICED = {
    BOUGHT: Order(OrderPurpose.LEG, 0, D(10_004)),
    SOLD: Order(OrderPurpose.LEG, 1, D(10_060)),
}
UNWIND = {**ORDERS, "unwind": Order(OrderPurpose.UNWIND, 0)}


def amounts(found: dict) -> dict[str, Decimal | None]:
    steps = {name: each["amount"] for name, each in found["steps"].items()}
    return {name: amount for name, amount in steps.items() if amount}


def test_a_plan_that_went_as_expected_earns_its_edge():
    fills = [fill(PLAN, 0, D(10_000)), fill(PLAN, 1, D(10_050))]
    found = waterfall(PLAN, ORDERS, fills, None)
    assert amounts(found) == {
        "expected_edge": D("2.995"),
        "expected_fees": D("2.005"),
        "fees": D("-2.005"),
    }
    assert found["realized"] == {"amount": D("2.995"), "certainty": Certainty.KNOWN}
    assert found["spread_captured"]["amount"] == D(5)
    assert found["funding"] == {"amount": D(0), "certainty": Certainty.KNOWN}
    assert found["latency_drift"] == {"amount": None, "certainty": Certainty.UNKNOWN}


def test_worse_prices_are_slippage():
    fills = [fill(PLAN, 0, D(10_010)), fill(PLAN, 1, D(10_045))]
    found = waterfall(PLAN, ORDERS, fills, None)
    assert amounts(found)["slippage"] == D("-1.5")
    assert found["steps"]["slippage"]["certainty"] is Certainty.KNOWN
    assert found["realized"]["amount"] == D("3.5") - D("1.001") - D("1.0045")


def test_what_the_price_moved_before_the_order_is_drift_and_the_rest_slippage():
    """Bought 0.1 at 10,010 of 10,004 seen and 10,000 expected; sold at 10,045 of 10,060 seen."""
    fills = [fill(PLAN, 0, D(10_010)), fill(PLAN, 1, D(10_045))]
    found = waterfall(PLAN, PRICED, fills, None)
    assert amounts(found)["latency_drift"] == D("-0.4") + D(1)
    assert amounts(found)["slippage"] == D("-0.6") - D("1.5")
    for name in ("latency_drift", "slippage"):
        assert found["steps"][name]["certainty"] is Certainty.ESTIMATED
    assert found["latency_drift"] == found["steps"]["latency_drift"]
    whole = waterfall(PLAN, ORDERS, fills, None)
    assert found["realized"] == whole["realized"]
    assert found["realized"]["certainty"] is Certainty.KNOWN, "the two together are known"


def test_drift_of_some_fills_only_is_not_known_and_stays_in_the_slippage():
    fills = [fill(PLAN, 0, D(10_010)), fill(PLAN, 1, D(10_045))]
    for orders in ({**PRICED, SOLD: ORDERS[SOLD]}, {BOUGHT: PRICED[BOUGHT]}):
        found = waterfall(PLAN, orders, fills, None)
        assert found["latency_drift"] == {"amount": None, "certainty": Certainty.UNKNOWN}
        assert amounts(found)["slippage"] == D("-1.5")


def test_a_hedge_has_no_drift_and_a_plan_without_fills_none_either():
    hedge = fill(PLAN, 1, D(10_020), client_order_id="hedge", trade_id="h")
    orders = {**PRICED, "hedge": Order(OrderPurpose.HEDGE, 1)}
    found = waterfall(PLAN, orders, [fill(PLAN, 0, D(10_000)), hedge], None)
    assert amounts(found)["unwind_cost"] == D(-3)
    assert (amounts(found)["latency_drift"], amounts(found)["slippage"]) == (D("-0.4"), D("0.4"))
    none = waterfall(PLAN, PRICED, [], None)
    assert none["latency_drift"] == {"amount": D(0), "certainty": Certainty.KNOWN}


def test_what_is_unwound_at_a_loss_is_its_cost():
    back = fill(PLAN, 0, D(9_970), client_order_id="unwind", trade_id="u", side=Side.SELL)
    found = waterfall(PLAN, UNWIND, [fill(PLAN, 0, D(10_000)), back], None)
    assert amounts(found) == {
        "expected_edge": D("2.995"),
        "expected_fees": D("2.005"),
        "not_filled": D(-5),
        "unwind_cost": D(-3),
        "fees": D("-1.997"),
    }
    assert found["realized"]["amount"] == D("-4.997")


def test_what_is_left_open_has_realized_nothing_but_its_fee():
    found = waterfall(PLAN, ORDERS, [fill(PLAN, 0, D(10_000))], None)
    assert amounts(found)["left_open"] == D(1_000)
    assert found["realized"]["amount"] == D(-1)


@pytest.mark.parametrize("asset, worth", [("BNB", D("0.9")), ("BTC", None)])
def test_a_fee_in_another_asset_is_worth_something(asset, worth):
    fee = D("0.0015") if asset == "BNB" else D("0.0001")
    bought = fill(PLAN, 0, D(10_000), fee=fee, fee_asset=asset, fee_quote=worth)
    found = waterfall(PLAN, ORDERS, [bought, fill(PLAN, 1, D(10_050))], None)
    assert amounts(found)["fees"] == -(worth or D(1)) - D("1.005")
    assert sum(amounts(found).values()) == found["realized"]["amount"]
    known = Certainty.ESTIMATED if worth else Certainty.KNOWN
    assert found["realized"]["certainty"] is known


def test_a_fee_that_is_not_told_or_has_no_price_is_unknown():
    for changes in ({"fee": None}, {"fee_asset": "BNB", "fee_quote": None}):
        fills = [fill(PLAN, 0, D(10_000), **changes), fill(PLAN, 1, D(10_050))]
        found = waterfall(PLAN, ORDERS, fills, None)
        assert found["realized"]["certainty"] is Certainty.UNKNOWN
        assert found["steps"]["fees"]["certainty"] is Certainty.UNKNOWN


def test_what_cannot_be_told_apart_is_unknown_and_the_end_is_as_told():
    legs = [PLAN.legs[0], msgspec.structs.replace(PLAN.legs[1], instrument="BTC/USDC")]
    plan = msgspec.structs.replace(PLAN, legs=legs)
    found = waterfall(plan, ORDERS, [fill(plan, 0, D(10_000))], done(plan, D(3), D(1)))
    assert amounts(found) == {"expected_edge": D("2.995")}
    assert found["realized"] == {"amount": D(3), "certainty": Certainty.KNOWN}
    of_perp = [PLAN.legs[0], msgspec.structs.replace(PLAN.legs[1], instrument=PERP)]
    held = waterfall(msgspec.structs.replace(PLAN, legs=of_perp), ORDERS, [], None)
    assert held["funding"]["amount"] is None


prices = st.decimals("9000", "11000", places=2)
quantities = st.decimals("0.001", "0.1", places=3)
assets = st.sampled_from(("USDT", "BNB", "BTC"))


@given(
    st.lists(
        st.tuples(st.sampled_from((BOUGHT, SOLD, "unwind")), prices, quantities, assets),
        max_size=6,
    ),
    st.lists(st.just(D(0)) | prices, min_size=2, max_size=2),
)
def test_the_steps_add_up_to_what_the_accounts_realized(parts, arrivals):
    fills = []
    for number, (order, price, qty, asset) in enumerate(parts):
        index = 1 if order == SOLD else 0
        side = Side.BUY if order == BOUGHT else Side.SELL
        changes = {"client_order_id": order, "trade_id": str(number), "qty": qty, "side": side}
        fees = {"fee_asset": asset, "fee_quote": D("0.77")}
        fills.append(fill(PLAN, index, price, **changes, **fees))
    legs = {
        BOUGHT: Order(OrderPurpose.LEG, 0, arrivals[0]),
        SOLD: Order(OrderPurpose.LEG, 1, arrivals[1]),
    }
    found = waterfall(PLAN, {**UNWIND, **legs}, fills, None)
    books = Books()
    for each in fills:
        books.trade(execution_of(each))
    steps = [found["steps"][name]["amount"] for name in STEPS]
    drift = found["latency_drift"]["amount"]
    priced = {own_id for own_id, price in zip((BOUGHT, SOLD), arrivals, strict=True) if price}
    traded = {order for order, *_ in parts} - {"unwind"}
    assert (drift is not None) is (traded <= priced), "known where every leg's order has its price"
    total = sum((amount for amount in steps if amount is not None), D(0))
    assert total == found["realized"]["amount"] == books.result("USDT").realized


def test_what_bringing_inventory_back_will_cost_is_a_line_of_its_own() -> None:
    fills = [fill(PLAN, 0, D(10_000)), fill(PLAN, 1, D(10_050))]
    without = waterfall(PLAN, ORDERS, fills, None)
    assert without["inventory_cost"] is None
    for amount, certainty in ((D("2.11"), Certainty.KNOWN), (None, Certainty.UNKNOWN)):
        cost = InventoryCost(amount=amount, certainty=certainty, route="by hand")
        plan = msgspec.structs.replace(PLAN, inventory_cost=cost)
        found = waterfall(plan, ORDERS, fills, None)
        assert found["inventory_cost"] == {"amount": amount, "certainty": certainty}
        assert found["realized"] == without["realized"]
