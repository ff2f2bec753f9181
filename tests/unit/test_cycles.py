"""Cycles of markets: which there are, which a market is in, and what they pay."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.domain.cycles import (
    Cycle,
    CycleBoard,
    CycleLeg,
    Market,
    Paying,
    enumerate_cycles,
)
from shared.domain.path import PathLeg, best_outcome, greedy, simulate
from shared.messages.base import Side

D = Decimal


def markets(*names: str, venue: str = "a") -> list[Market]:
    return [Market(venue, name) for name in names]


TRIANGLE = markets("BTC/USDT", "ETH/BTC", "ETH/USDT")


def test_a_triangle_is_listed_once_and_walked_both_ways() -> None:
    found = enumerate_cycles(TRIANGLE)
    assert found.cycles == (
        Cycle(
            ("BTC", "ETH", "USDT"),
            (CycleLeg(1, Side.BUY), CycleLeg(2, Side.SELL), CycleLeg(0, Side.BUY)),
        ),
    )
    assert found.of_market == ((0,), (0,), (0,))
    assert found.cycles[0].backwards() == Cycle(
        ("BTC", "USDT", "ETH"),
        (CycleLeg(0, Side.SELL), CycleLeg(2, Side.BUY), CycleLeg(1, Side.SELL)),
    )
    assert found.cycles[0].begun_at(2) == Cycle(
        ("USDT", "BTC", "ETH"),
        (CycleLeg(0, Side.BUY), CycleLeg(1, Side.BUY), CycleLeg(2, Side.SELL)),
    )


def test_derivatives_are_no_part_of_a_cycle() -> None:
    names = [*TRIANGLE[:2], Market("a", "ETH/USDT:USDT")]
    found = enumerate_cycles(names)
    assert found.cycles == ()
    assert found.markets == tuple(TRIANGLE[:2])


def test_two_venues_make_a_cycle_of_each_choice() -> None:
    found = enumerate_cycles([*TRIANGLE, *markets("BTC/USDT", venue="b")])
    assert len(found.cycles) == 2
    assert found.of_market == ((0,), (0, 1), (0, 1), (1,))


def test_longer_cycles_and_the_bound() -> None:
    square = markets("SKL/GBP", "SKL/BTC", "BAND/BTC", "BAND/GBP")
    assert enumerate_cycles(square).cycles == ()
    assert len(enumerate_cycles(square, legs_max=4).cycles) == 1
    whole = markets("A/B", "A/C", "A/D", "B/C", "B/D", "C/D")
    found = enumerate_cycles(whole, legs_max=4, cycles_max=5)
    assert [len(cycle.legs) for cycle in found.cycles] == [3, 3, 3, 3, 4]
    assert not found.is_whole
    assert enumerate_cycles(whole, legs_max=4, cycles_max=7).is_whole


def test_an_update_evaluates_the_cycles_of_its_market_only() -> None:
    found = enumerate_cycles([*TRIANGLE, *markets("SOL/BTC", "SOL/USDT")])
    board = CycleBoard(found)
    prices = {0: (50_000.0, 50_001.0), 1: (0.05, 0.0501), 2: (2_501.0, 2_502.0)}
    for market, (bid, ask) in prices.items():
        paying = board.update(market, bid, ask, 0.0, least=0.99)
    assert board.evaluations == 4 + 2 + 2  # of market 0 both triangles, both ways
    # Buy ETH at 0.0501 BTC, sell it at 2,501, buy BTC at 50,001: and the other way round.
    assert [(p.cycle, p.is_backwards) for p in paying] == [(0, False), (0, True)]
    assert paying[0].product == pytest.approx(2_501 / 0.0501 / 50_001)
    assert paying[1].product == pytest.approx(50_000 / 2_502 * 0.05)
    assert not board.update(3, 0.001, 0.0011, 0.0, least=0.5), "its third market has no price"


def test_a_market_that_is_not_live_prices_nothing() -> None:
    found = enumerate_cycles(TRIANGLE)
    board = CycleBoard(found)
    board.update(0, 1.0, 1.0, 0.0, least=1.0)
    board.update(1, 1.0, 1.0, 0.0, least=1.0)
    assert board.update(2, 1.1, 1.1, 0.0, least=1.0) == [Paying(0, False, 1.1)]
    board.forget(1)
    assert board.product(found.cycles[0]) == 0.0
    assert not board.update(2, 2.0, 2.0, 0.0, least=1e-9)


def test_a_fee_is_taken_at_every_leg() -> None:
    found = enumerate_cycles(TRIANGLE)
    board = CycleBoard(found)
    for market in range(3):
        board.update(market, 1.0, 1.0, 0.001, least=9.0)
    assert board.product(found.cycles[0]) == pytest.approx(0.999 / 1.001**2)
    assert board.product(found.cycles[0].backwards()) == pytest.approx(0.999**2 / 1.001)


def triangle_legs(last_there: str) -> list[PathLeg]:
    """Buy BTC with USDT, ETH with BTC, sell ETH: 12.5 bps of profit without lots."""
    return [
        PathLeg(Side.BUY, [(D(50_000), D(1))], D("0.00001")),
        PathLeg(Side.BUY, [(D("0.05"), D(10))], D("0.0001")),
        PathLeg(Side.SELL, [(D("2503.125"), D(last_there))], D("0.001")),
    ]


def test_the_smallest_book_bounds_the_size() -> None:
    found = best_outcome(triangle_legs("0.058"), D(1), D(10_000))
    assert found is not None
    assert [leg.qty for leg in found.legs] == [D("0.00290"), D("0.0580"), D("0.058")]
    assert found.net == D("0.058") * D("2503.125") - 145
    assert [leg.dust for leg in found.legs] == [0, 0, 0]


def test_sequential_legs_run_short_where_lots_do_not_fit() -> None:
    """Of 200 USDT the lots of BTC leave the last leg a lot less; a start that fits loses none."""
    legs = triangle_legs("5")
    legs[2] = legs[2]._replace(lot_size=D("0.07"))
    whole = simulate(legs, D(200))
    assert whole is not None
    assert whole.legs[2].qty == D("0.07")
    assert whole.legs[2].dust == D("0.0100")
    assert whole.net < 0, "what cannot be sold is worth nothing"
    best = best_outcome(legs, D(1), D(200))
    assert best is not None
    assert best.legs[2].qty == D("0.07")
    assert best.legs[2].dust == 0
    assert best.net == D("0.07") * D("2503.125") - 175


def test_more_lots_than_the_greedy_size_may_fit_better() -> None:
    """Sold in lots of 0.3, bought in lots of 2.5: five of them lose by their dust, seven earn."""
    legs = [
        PathLeg(
            Side.SELL,
            [(D("0.9876"), D("14.8")), (D("0.9842"), D("5.2"))],
            D("0.3"),
            D(4),
            is_fee_in_base=True,
        ),
        PathLeg(Side.BUY, [(D("0.9787"), D("11.2")), (D("0.9839"), D("25.3"))], D("2.5"), D(2)),
    ]
    assert D("14.8") < greedy(legs, D(1), D(31)) < 15
    best = best_outcome(legs, D(1), D(31))
    assert best is not None
    assert [leg.qty for leg in best.legs] == [D("17.4"), D("17.5")]
    assert best.net == D("0.09304")
