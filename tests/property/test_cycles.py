"""Cycles are those that brute force finds, and products those of the prices."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cycles import Cycle, CycleBoard, Market, enumerate_cycles
from shared.domain.instrument import split_instrument
from shared.messages.base import Side

ASSETS = "ABCDEF"
names = st.tuples(st.sampled_from(ASSETS), st.sampled_from(ASSETS)).filter(lambda p: p[0] != p[1])
listings = st.lists(
    st.tuples(names, st.sampled_from(["x", "y"])).map(
        lambda parts: Market(parts[1], "/".join(parts[0]))
    ),
    max_size=14,
    unique=True,
)


def brute_force(markets: list[Market]) -> set[frozenset[int]]:
    """The threes of markets that trade three pairs of three assets."""
    pairs = [frozenset(split_instrument(market.instrument)[:2]) for market in markets]
    return {
        frozenset(three)
        for three in combinations(range(len(markets)), 3)
        if len({pairs[at] for at in three}) == 3
        and len(frozenset().union(*(pairs[at] for at in three))) == 3
    }


@settings(deadline=None)
@given(listings)
def test_triangles_are_those_of_brute_force(markets: list[Market]) -> None:
    found = enumerate_cycles(markets)
    sets = [frozenset(leg.market for leg in cycle.legs) for cycle in found.cycles]
    assert len(sets) == len(set(sets))
    assert set(sets) == brute_force(markets)


@settings(deadline=None)
@given(listings, st.integers(3, 5), st.sampled_from(ASSETS))
def test_cycles_through_an_asset_are_those_that_hold_it(
    markets: list[Market], legs_max: int, asset: str
) -> None:
    every = enumerate_cycles(markets, legs_max=legs_max).cycles
    through = enumerate_cycles(markets, legs_max=legs_max, through=asset).cycles
    assert all(cycle.assets[0] == asset for cycle in through)
    assert len(set(through)) == len(through)
    assert sorted(sorted(leg.market for leg in cycle.legs) for cycle in through) == sorted(
        sorted(leg.market for leg in cycle.legs) for cycle in every if asset in cycle.assets
    )


@settings(deadline=None)
@given(listings, st.integers(3, 5))
def test_cycles_close_and_are_indexed(markets: list[Market], legs_max: int) -> None:
    found = enumerate_cycles(markets, legs_max=legs_max)
    assert len(set(found.cycles)) == len(found.cycles)
    for number, cycle in enumerate(found.cycles):
        check_closes(found.markets, cycle)
        check_closes(found.markets, cycle.backwards())
        assert cycle.backwards().backwards() == cycle
        for leg in cycle.legs:
            assert number in found.of_market[leg.market]
    assert sum(map(len, found.of_market)) == sum(len(cycle.legs) for cycle in found.cycles)


def check_closes(markets: tuple[Market, ...], cycle: Cycle) -> None:
    held = cycle.assets[0]
    assert len(set(cycle.assets)) == len(cycle.assets) == len(cycle.legs)
    for at, leg in enumerate(cycle.legs):
        base, quote, _ = split_instrument(markets[leg.market].instrument)
        takes, gives = (quote, base) if leg.side is Side.BUY else (base, quote)
        assert takes == held
        held = gives
        assert held == cycle.assets[(at + 1) % len(cycle.assets)]


@settings(deadline=None)
@given(listings, st.data())
def test_products_are_of_the_newest_prices(markets: list[Market], data: st.DataObject) -> None:
    found = enumerate_cycles(markets, legs_max=4)
    board = CycleBoard(found)
    prices: dict[int, tuple[float, float]] = {}
    for _ in range(data.draw(st.integers(0, 20))):
        if not found.markets:
            return
        market = data.draw(st.integers(0, len(found.markets) - 1))
        bid = data.draw(st.integers(90, 110)) / 100
        ask = bid * (1 + data.draw(st.integers(0, 20)) / 1_000)
        prices[market] = bid, ask
        paying = board.update(market, bid, ask, 0.001, least=1.0)
        mine = {p.cycle for p in paying}
        assert mine <= set(found.of_market[market])
        expected = set()
        for number in found.of_market[market]:
            for backwards in (False, True):
                cycle = found.cycles[number]
                product = worth(cycle.backwards() if backwards else cycle, prices)
                if product >= 1.0 + 1e-12:
                    expected.add((number, backwards))
        assert expected <= {(p.cycle, p.is_backwards) for p in paying}
        for p in paying:
            cycle = found.cycles[p.cycle]
            way = cycle.backwards() if p.is_backwards else cycle
            assert p.product == pytest.approx(worth(way, prices))
            assert p.product == pytest.approx(board.product(way.begun_at(1)))


def worth(cycle: Cycle, prices: dict[int, tuple[float, float]]) -> float:
    product = 1.0
    for leg in cycle.legs:
        if leg.market not in prices:
            return 0.0
        bid, ask = prices[leg.market]
        product *= 1 / (ask * 1.001) if leg.side is Side.BUY else bid * 0.999
    return product
