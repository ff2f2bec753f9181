"""What bringing inventory back costs is the same whether or not the books are walked for it."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.risk.inventory_costs import unit_cost_least
from shared.domain.depth import ExactLevel
from shared.domain.rebalance_steps import Market, TradeWay, TransferWay
from shared.domain.return_cost import Short, TradeBack, return_cost
from shared.messages.rules import InstrumentRules
from tests.decision_builders import make_rules

fees_bps = st.decimals(0, 60, places=2)
sizes = st.decimals("0.0001", 20, places=4)
steps = st.lists(st.tuples(st.decimals(0, 50, places=3), sizes), max_size=8)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[ExactLevel], list[ExactLevel]]:
    """Return bids and asks around one middle, as prices and sizes of any fineness."""
    middle = draw(st.decimals("0.001", 100_000, places=6))
    ratio = 1 + draw(st.decimals(-1, 1, places=9)) / 1_000
    sides = []
    for sign in (-1, 1):
        away, levels = draw(st.decimals(0, 5, places=3)), list[ExactLevel]()
        for further, size in [(D(0), draw(sizes)), *draw(steps)]:
            away += further
            levels.append((middle * ratio * (1 + sign * away / 10_000), size))
        sides.append(levels)
    return sides[0], sides[1]


def rules(fee_bps: D) -> InstrumentRules:
    made = make_rules("alpha", "BTC/USDT")
    return msgspec.structs.replace(made, taker_fee_bps=fee_bps, lot_size=D("0.0001"))


@given(
    books(),
    st.tuples(fees_bps, fees_bps),
    sizes,
    st.decimals(1, 50, places=2),
    st.decimals(0, 5, places=6),
)
def test_books_that_are_not_walked_would_have_cost_no_less(
    sides, fees, qty, times, transfer_fee
) -> None:
    bids, asks = sides
    sell, buy = map(rules, fees)
    way = TradeWay(
        "BTC",
        Market("a", "BTC/USDT", bids, bids, sell.lot_size, sell.taker_fee_bps),
        Market("b", "BTC/USDT", asks, asks, buy.lot_size, buy.taker_fee_bps),
    )
    price = asks[0][0]
    short = Short(("b", "BTC"), qty, qty * times)
    network = TransferWay("BTC", "a", "b", "BTC", transfer_fee, None)
    prices = {"BTC": price, "USDT": D(1)}
    least = qty * unit_cost_least(bids[0][0], asks[0][0], sell, buy)
    skipping, walking = (
        return_cost(
            [short], [network], TradeBack(qty, bound, lambda: way), lambda asset, _: prices[asset]
        )
        for bound in (least, D("-Infinity"))
    )
    assert skipping == walking
