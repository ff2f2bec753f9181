"""The depth walk against brute force, and the arithmetic of what the scanner makes of it."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction as F

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.depth import CrossedDepth, costs_of, take_crossed_depth
from shared.domain.fees import edge_bps, fee_amount
from shared.domain.rounding import exact, is_multiple
from shared.messages.arb import Opportunity
from tests.decision_builders import BOOKS, T0, make_info, make_scanner, make_view

Levels = list[tuple[float, float]]


def side_of_book(rising: bool) -> st.SearchStrategy[Levels]:
    prices = st.lists(st.integers(90, 110), min_size=1, max_size=6, unique=True)
    return prices.flatmap(
        lambda found: st.tuples(
            st.just(sorted(found, reverse=not rising)),
            st.lists(st.integers(1, 4), min_size=len(found), max_size=len(found)),
        )
    ).map(lambda pair: [(float(p), float(q)) for p, q in zip(*pair, strict=True)])


def units(levels: Levels) -> list[F]:
    return [F(price) for price, qty in levels for _ in range(int(qty))]


@given(
    asks=side_of_book(True),
    bids=side_of_book(False),
    fees=st.tuples(st.sampled_from([0, 10, 40, 100]), st.sampled_from([0, 5, 26, 100])),
    edge=st.sampled_from([0, 3, 50]),
    cap=st.integers(1, 20),
)
def test_walk_equals_brute_force(
    asks: Levels, bids: Levels, fees: tuple[int, int], edge: int, cap: int
) -> None:
    """Unit by unit in exact fractions: the most units whose every one earns the edge."""
    buy_fee, sell_fee = F(fees[0], 10_000), F(fees[1], 10_000)
    qty, net, best = 0, F(0), F(0)
    for ask, bid in zip(units(asks), units(bids), strict=False):
        unit_net = bid * (1 - sell_fee) - ask * (1 + buy_fee)
        if qty < cap:
            best = max(best, best + unit_net)  # what any size could have earned
        if qty >= cap or unit_net < ask * F(edge, 10_000) or bid <= ask:
            break
        qty, net = qty + 1, net + unit_net
    costs = costs_of(float(buy_fee), float(sell_fee), float(edge))
    found = take_crossed_depth(asks, bids, costs, notional_max=1e12, qty_max=float(cap))
    if not isinstance(found, CrossedDepth):
        assert qty == 0
        return
    assert found.qty == qty
    assert abs(found.net - float(net)) < 1e-9
    if edge == 0:
        assert abs(found.net - float(best)) < 1e-9


PRICES = st.decimals("95", "105", places=1)
QTYS = st.decimals("0.0001", "3", places=4)


@st.composite
def decimal_levels(draw: st.DrawFn, rising: bool) -> Levels:
    prices = sorted(draw(st.sets(PRICES, min_size=1, max_size=8)), reverse=not rising)
    return [(float(price), float(draw(QTYS))) for price in prices]


@settings(max_examples=300)
@given(
    asks=decimal_levels(True),
    bids=decimal_levels(False),
    lots=st.tuples(
        st.sampled_from(["0.001", "0.0001", "0.25"]), st.sampled_from(["0.001", "0.1", "0.0004"])
    ),
    notional_max=st.sampled_from([50.0, 133.7, 1_000.0]),
    edge_min=st.sampled_from([0.0, 2.0, 30.0]),
)
def test_opportunity_holds_what_it_says(
    asks: Levels, bids: Levels, lots: tuple[str, str], notional_max: float, edge_min: float
) -> None:
    engine = make_scanner(edge_bps_min=edge_min, notional_max=notional_max)
    for (venue, instrument), lot in zip(BOOKS[:2], lots, strict=True):
        info = make_info(venue, instrument, lot_size=D(lot), qty_min=D(lot), notional_min=D(1))
        engine.on_message(info, T0)
    engine.on_message(make_view(*BOOKS[0], asks=asks, bids=[(1.0, 1.0)]), T0)
    out = engine.on_message(make_view(*BOOKS[1], bids=bids, asks=[(1e4, 1.0)]), T0).messages
    walk = take_crossed_depth(
        asks, bids, costs_of(0.001, 0.001, edge_min), notional_max=notional_max
    )
    if not out:
        return
    (found,) = out
    assert isinstance(found, Opportunity)
    assert isinstance(walk, CrossedDepth)
    buy, sell = found.legs
    check_arithmetic(found)
    assert found.edge_bps >= exact(edge_min)
    assert found.qty <= D(str(walk.qty)) + D("1e-9")
    assert found.net <= D(str(walk.net)) + D("1e-9"), "rounding never raises what is promised"
    for leg, lot in zip(found.legs, lots, strict=True):
        assert leg.qty == found.qty
        assert is_multiple(leg.qty, D(lot))
        assert leg.qty * leg.price_limit <= D(str(notional_max))
    check_every_unit(asks, bids, found, edge_min)
    assert buy.price_limit == exact(asks[buy.levels_used - 1][0])
    assert sell.price_limit == exact(bids[sell.levels_used - 1][0])


def check_arithmetic(found: Opportunity) -> None:
    """Anybody can recompute it, exactly, with Decimal's default precision."""
    buy, sell = found.legs
    assert found.notional == buy.qty * buy.price_avg
    assert found.gross == sell.qty * sell.price_avg - buy.qty * buy.price_avg
    for leg in found.legs:
        assert leg.fee == fee_amount(leg.qty * leg.price_avg, leg.fee_bps)
    assert found.fees == buy.fee + sell.fee
    assert found.net == found.gross - found.fees
    assert found.edge_bps == edge_bps(found.net, found.notional)


def check_every_unit(asks: Levels, bids: Levels, found: Opportunity, edge_min: float) -> None:
    """The last unit of the quantity earns the edge, so every one before it does."""

    def price_at(levels: Levels) -> F:
        left = F(str(found.qty))
        for price, qty in levels:
            left -= F(str(qty))
            if left <= 0:
                return F(str(price))
        raise AssertionError("more than the book holds")

    ask, bid = price_at(asks), price_at(bids)
    net = bid * F(999, 1000) - ask * F(1001, 1000)
    assert net >= ask * F(str(edge_min)) / 10_000 - F(1, 10**12)
