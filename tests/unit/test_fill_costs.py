"""What fills cost: drift, spread, slippage, conversion; they add up exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.lab.fill_costs import VIEWS_MAX, FillCosts, Parts, cash_flow, split_of, splits_of
from services.risk.approval import approved_plan
from services.risk.reservations import Reservation
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, OrderPurpose
from tests.decision_builders import SPOT, T0, D, make_leg, make_offer, make_order, make_view

MONEY = ("USD", "USDT", "USDC")
MARKET = ("alpha", SPOT)
INVERSE = "BTC/USD:BTC"
ADDED = ("at_middles", "latency_drift", "spread", "slippage", "conversion", "fees", "funding")


def view(bid: float, ask: float, seq: int, instrument: str = SPOT, **changes: object):
    given = {"bids": [(bid, 5.0)], "asks": [(ask, 5.0)], "seq": seq, "ts_ns": T0 + seq, **changes}
    return make_view("alpha", instrument, **given)


def plan_of(costs: FillCosts, instrument: str, side: Side, *, is_offered: bool = True) -> None:
    """Decide on the book of ``seq`` 1, and write the order of the plan down."""
    leg = make_leg("alpha", side, "2", "100", instrument=instrument)
    found = make_offer([leg], opportunity_id="found", ts_depth_ns=T0 + 1)
    if is_offered:
        costs.on_message(found)
    costs.on_message(plan(found))
    costs.on_message(make_order("p", instrument=instrument, side=side, client_order_id="order"))


def plan(found) -> ApprovedPlan:
    held = Reservation(
        plan_id="p",
        opportunity_id=found.opportunity_id,
        base=found.base,
        quote=found.quote,
        notional=found.notional,
        loss_cap=D(10),
        legs=[],
        ts_expire_ns=T0 + 10**9,
    )
    return approved_plan(found, held, T0)


@pytest.mark.parametrize("is_offered", [True, False], ids=["of an opportunity", "of a signal"])
def test_a_purchase_is_split_from_the_middle_it_was_decided_at(is_offered: bool) -> None:
    costs = FillCosts(MONEY)
    costs.on_view(view(99, 101, 1))
    plan_of(costs, SPOT, Side.BUY, is_offered=is_offered)
    costs.on_view(view(101, 103, 2))
    costs.on_fill("order", MARKET, Side.BUY, D(1), D(103))
    costs.on_fill("order", MARKET, Side.BUY, D(1), D(104))
    parts = costs.parts["USDT"]
    # two units: middle 100 -> 102, best 103, paid 103 and 104
    assert (parts.drift, parts.spread, parts.slippage) == (D(-4), D(-2), D(-1))
    assert (parts.traded, parts.fills, parts.no_decision, parts.no_book) == (D(207), 2, 0, 0)
    # sold elsewhere for 215; 0.5 of fees; what was decided was to pay 200
    split = split_of(parts, D(215) - D(207) - D("0.5"), D("0.5"), D(0))
    assert split["at_middles"] == D(15)


def test_coins_of_an_inverse_contract_are_split_in_coins() -> None:
    costs = FillCosts(MONEY)
    costs.on_view(view(96, 104, 1, INVERSE))
    plan_of(costs, INVERSE, Side.SELL)
    costs.on_view(view(120, 180, 2, INVERSE))
    costs.on_fill("order", ("alpha", INVERSE), Side.SELL, D(30_000), D(100))
    parts = costs.parts["BTC"]
    # 30,000 USD sold: owed 300 coins at 100, 200 at 150, 250 at 120, and 300 where it was filled
    assert (parts.drift, parts.spread, parts.slippage) == (D(100), D(-50), D(-50))
    assert parts.traded == D(300)


def test_a_leg_between_quote_assets_is_a_conversion() -> None:
    costs = FillCosts(MONEY)
    market = ("alpha", "USDC/USD")
    costs.on_view(view(0.998, 1.0, 1, "USDC/USD"))
    plan_of(costs, "USDC/USD", Side.SELL)
    costs.on_view(view(0.996, 0.998, 2, "USDC/USD"))
    costs.on_fill("order", market, Side.SELL, D(1_000), D("0.995"))
    parts = costs.parts["USD"]
    assert parts.conversion == D(-4)  # the middle was 0.999
    assert (parts.drift, parts.spread, parts.slippage) == (0, 0, 0)
    assert not costs.is_conversion("ETH/BTC")
    assert not costs.is_conversion("USDC/USD:USD")


def test_a_hedge_is_of_its_plan_and_what_nobody_planned_of_the_book_it_met() -> None:
    costs = FillCosts(MONEY)
    costs.on_view(view(99, 101, 1))
    plan_of(costs, SPOT, Side.BUY)
    costs.on_view(view(101, 103, 2))
    for plan_id, order_id in (("p", "hedge"), ("other", "flatten")):
        given = {"purpose": OrderPurpose.HEDGE, "client_order_id": order_id, "side": Side.SELL}
        costs.on_message(make_order(plan_id, **given))
    costs.on_fill("hedge", MARKET, Side.SELL, D(1), D(101))
    assert costs.parts["USDT"].drift == D(2)  # sold two above the middle of the decision
    costs.on_fill("flatten", MARKET, Side.SELL, D(1), D(101))
    assert costs.parts["USDT"].drift == D(2)
    assert costs.parts["USDT"].no_decision == 0


def test_what_is_not_known_is_no_zero() -> None:
    costs = FillCosts(MONEY)
    costs.on_view(view(99, 101, 1))
    costs.on_fill("unheard of", MARKET, Side.BUY, D(1), D(101))
    split = split_of(costs.parts["USDT"], D(-2), D(1), None)
    assert (split["latency_drift"], split["funding"]) == (None, None)
    assert (split["spread"], split["slippage"], split["at_middles"]) == (D(-1), D(0), D(0))
    costs.on_forced(SPOT, D(1), D(50))
    other = FillCosts(MONEY)
    other.on_view(view(99, 101, 1, asks=[]))
    other.on_fill("order", MARKET, Side.SELL, D(1), D(99))
    split = split_of(other.parts["USDT"], None, D(1), D(0))
    assert {split[name] for name in ADDED[:5]} == {None}
    assert (split["fills"], split["no_decision"], split["no_book"]) == (1, 1, 1)
    assert costs.parts["USDT"].no_book == 1
    nothing = split_of(Parts(), D(0), D(0), D(0))
    assert {nothing[name] for name in ADDED} == {D(0)}


def test_a_book_that_was_decided_on_long_ago_is_not_known_any_more() -> None:
    costs = FillCosts(MONEY)
    for seq in range(1, VIEWS_MAX + 2):
        costs.on_view(view(99, 101, seq))
    plan_of(costs, SPOT, Side.BUY)
    costs.on_fill("order", MARKET, Side.BUY, D(1), D(101))
    assert (costs.parts["USDT"].no_decision, costs.parts["USDT"].no_book) == (1, 0)


PRICES = st.decimals("0.00000001", "100000", places=8)
FILLS = st.tuples(
    st.sampled_from(list(Side)),
    st.decimals("0.00000001", "10000", places=8),
    PRICES,
    st.booleans(),
)


@given(
    st.lists(FILLS, max_size=8),
    st.sampled_from([SPOT, INVERSE, "USDC/USDT"]),
    PRICES,
    st.none() | st.decimals("-1000", "1000", places=8),
)
def test_parts_add_up_to_the_result_exactly(fills, instrument, start, funding) -> None:
    costs, market = FillCosts(MONEY), ("alpha", instrument)
    net = Decimal(0)
    for seq, (side, qty, price, is_known) in enumerate(fills):
        costs.on_view(view(float(start), float(price) + float(start), seq, instrument))
        if is_known:
            given = {"purpose": OrderPurpose.HEDGE, "client_order_id": str(seq)}
            costs.on_message(make_order("p", instrument=instrument, side=side, **given))
        costs.on_view(view(float(price), 2 * float(price), seq + 100, instrument))
        costs.on_fill(str(seq), market, side, qty, price)
        net += cash_flow(instrument, side, qty, price)
    paid = {} if funding is None else {"funding": funding}
    cash = "BTC" if instrument == INVERSE else "USDT"
    net += (funding or 0) - Decimal("1.5")
    unknown = [cash] if funding is None else []
    split = splits_of(costs.parts, {cash: net}, {cash: {"fees": D("1.5"), **paid}}, unknown)[cash]
    known = [Decimal(split[name]) for name in ADDED if split[name] is not None]
    assert sum(known) == Decimal(split["net"])
    assert abs(Decimal(split["net"]) - net) <= Decimal("1e-8")
