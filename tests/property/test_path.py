"""What must hold of orders in a row whatever books, lots and fees are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.depth import ExactLevel, Uncrossed, costs_of, take_crossed_depth
from shared.domain.path import PathLeg, best_outcome, greedy, marginal, simulate
from shared.messages.base import Side

D = Decimal
ONE_BP = D("0.0001")


@st.composite
def legs(draw: Any) -> PathLeg:
    """A market of an asset worth about as much as the other, so that cycles pay now and then."""
    side = draw(st.sampled_from(list(Side)))
    price = D(draw(st.integers(9_700, 10_300))) / 10_000
    levels: list[ExactLevel] = []
    for _ in range(draw(st.integers(1, 4))):
        levels.append((price, D(draw(st.integers(1, 400))) / 10))
        step = D(draw(st.integers(1, 60))) / 10_000
        price += step if side is Side.BUY else -step
    return PathLeg(
        side,
        levels,
        D(draw(st.sampled_from(["0.01", "0.1", "0.3", "1", "2.5"]))),
        D(draw(st.integers(0, 20))),
        is_fee_in_base=draw(st.booleans()),
        qty_min=D(draw(st.sampled_from(["0", "0", "1"]))),
        notional_min=D(draw(st.sampled_from(["0", "0", "2"]))),
    )


def buys(
    qty: str,
    lot: str,
    qty_min: str = "0",
    notional_min: str = "0",
    fee_bps: int = 0,
) -> PathLeg:
    """A market with one level at 0.97, its fee in what is bought."""
    level = (D("0.97"), D(qty))
    least = {"qty_min": D(qty_min), "notional_min": D(notional_min)}
    return PathLeg(Side.BUY, [level], D(lot), D(fee_bps), is_fee_in_base=True, **least)


paths = st.lists(legs(), min_size=2, max_size=4)
starts = st.integers(1, 3_000).map(lambda n: D(n) / 10)


@settings(deadline=None)
@given(paths, starts)
def test_every_order_is_of_whole_lots_and_paid_by_what_came_in(
    path: list[PathLeg], start: Decimal
) -> None:
    found = simulate(path, start)
    if found is None:
        return
    came_in = start
    for leg, traded in zip(path, found.legs, strict=True):
        assert traded.qty > 0
        assert traded.qty % leg.lot_size == 0
        assert traded.qty >= leg.qty_min
        assert traded.spent + traded.dust == came_in
        assert traded.dust >= 0
        came_in = traded.got
    assert found.got == came_in
    assert found.spent == found.legs[0].spent


@settings(deadline=None)
@given(paths, starts)
def test_lots_and_rounding_never_help(path: list[PathLeg], start: Decimal) -> None:
    """What comes out is at most what the best prices would give without lots."""
    found = simulate(path, start)
    if found is None:
        return
    best = found.spent
    for leg in path:
        best *= marginal(leg, leg.levels[0][0])
    assert found.got <= best * (1 + D("1e-11"))


@settings(deadline=None)
@given(paths, st.integers(-100, 50))
def test_greedy_stops_where_the_next_unit_misses_the_edge(
    path: list[PathLeg], edge_bps: int
) -> None:
    need = 1 + D(edge_bps) * ONE_BP
    start = greedy(path, need, D(10_000))
    assert 0 <= start <= 10_000
    tiny = D("1e-9")
    if start > tiny:
        assert unit_at(path, start - tiny) >= need
    after = unit_at(path, start + tiny)
    assert after is None or after < need


sides_of_books = st.lists(
    st.tuples(st.integers(9_900, 10_100), st.integers(1, 500)),
    min_size=1,
    max_size=5,
    unique_by=lambda level: level[0],
)


@settings(deadline=None)
@given(sides_of_books, sides_of_books, st.integers(1, 20), st.integers(1, 3_000))
def test_two_orders_are_what_the_walk_of_two_books_finds(
    asks: list[tuple[int, int]], bids: list[tuple[int, int]], fee_bps: int, most: int
) -> None:
    """Against an older walk, in floats, that knows no paths (``domain/depth.py``)."""
    asks, bids = sorted(asks), sorted(bids, reverse=True)
    fee = fee_bps / 1e4
    found = take_crossed_depth(
        [(price / 1e4, qty / 10) for price, qty in asks],
        [(price / 1e4, qty / 10) for price, qty in bids],
        costs_of(fee, fee, 0.0),
        notional_max=1e9,
        qty_max=most / 10,
    )
    buy, sell = (
        PathLeg(
            side,
            [(D(price) / 10_000, D(qty) / 10) for price, qty in levels],
            D("0.0000001"),
            D(fee_bps),
            qty_max=D(most) / 10,
        )
        for side, levels in ((Side.BUY, asks), (Side.SELL, bids))
    )
    best = best_outcome([buy, sell], D(1), D(10**9))
    if isinstance(found, Uncrossed):
        assert best is None
        return
    assert best is not None
    assert best.legs[0].qty == best.legs[1].qty
    assert float(best.legs[0].qty) == pytest.approx(found.qty, abs=1e-5)
    assert float(best.net) == pytest.approx(found.net, abs=1e-4)


def unit_at(path: list[PathLeg], start: Decimal) -> Decimal | None:
    """What the unit after ``start`` units becomes; ``None`` beyond a book."""
    amount, product = start, D(1)
    for leg in path:
        left, got, rate = amount, D(0), None
        for price, qty in leg.levels:
            rate = marginal(leg, price)
            out = qty if leg.side is Side.BUY else qty * price
            if leg.is_fee_in_base is (leg.side is Side.BUY):
                out *= 1 - leg.fee_bps * ONE_BP
            room = out / rate
            if left < room:
                got += left * rate
                left = D(0)
                break
            got += out
            left -= room
        else:
            return None
        amount = got
        assert rate is not None
        product *= rate
    return product


@settings(max_examples=40, deadline=None)
@given(paths, st.integers(1, 300).map(lambda n: D(n) / 10))
@example([buys("20.1", "0.01", fee_bps=20), buys("20.7", "0.01")], D("19.5"))
def test_the_best_outcome_is_not_worse_than_the_greedy_one(
    path: list[PathLeg], start_max: Decimal
) -> None:
    start = greedy(path, D(1), start_max)
    simple = simulate(path, start) if start > 0 else None
    best = best_outcome(path, D(1), start_max, lots_tried=10**6)
    if best is not None:
        assert best.spent <= start_max
        came_in = best.legs[0].spent
        for leg, traded in zip(path, best.legs, strict=True):
            assert traded.qty % leg.lot_size == 0
            assert traded.spent + traded.dust == came_in
            assert traded.dust >= 0
            came_in = traded.got
    if simple is not None:
        assert best is not None
        assert best.net >= simple.net - D("1e-6")


FIRST, LAST = buys("1", "0.01"), buys("1.1", "0.1")


@settings(max_examples=40, deadline=None)
@given(st.lists(legs(), min_size=2, max_size=3), st.integers(1, 60).map(D))
@example([FIRST, buys("1.1", "0.01", qty_min="1"), LAST], D(1))
@example([FIRST, buys("1.1", "0.01", notional_min="0.965"), LAST], D(1))
def test_trying_the_lots_of_one_leg_is_trying_everything(
    path: list[PathLeg], start_max: Decimal
) -> None:
    """No start on a fine grid up to the greedy size earns more."""
    best = best_outcome(path, D(1), start_max, lots_tried=10**6)
    most = greedy(path, D(1), start_max)
    for number in range(1, 60):
        found = simulate(path, most * number / 60)
        if found is not None:
            assert best is not None
            assert best.net >= found.net - D("1e-6")
