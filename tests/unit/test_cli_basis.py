"""`arb basis`: executable bases of linear and inverse perpetuals, and what is not known."""

from __future__ import annotations

from decimal import Decimal as D

from services.cli.basis import records
from services.cli.commands_basis import cells
from shared.messages.base import BookState
from tests.decision_builders import T0, make_rules, make_view

SPOT, LINEAR, INVERSE = ("a", "BTC/USD"), ("b", "BTC/USD:USD"), ("b", "BTC/USD:BTC")


def board(views, notional="10000"):
    rules = {
        SPOT: make_rules(*SPOT, taker_fee_bps=D(10)),
        LINEAR: make_rules(*LINEAR, taker_fee_bps=D(5)),
        INVERSE: make_rules(*INVERSE, taker_fee_bps=D(5)),
    }
    return records(views, rules, D(notional), D(8_760), T0 + 5_000_000)


def views(**inverse):
    deep = {"bids": [(50_500.0, 1e6)], "asks": [(50_550.0, 1e6)]} | inverse
    return {
        SPOT: make_view(*SPOT, bids=[(49_990.0, 10.0)], asks=[(50_000.0, 10.0)]),
        LINEAR: make_view(*LINEAR, bids=[(50_100.0, 10.0)], asks=[(50_110.0, 10.0)]),
        INVERSE: make_view(*INVERSE, **deep),
    }


def test_both_bases_are_those_of_executable_prices() -> None:
    inverse, linear = board(views())
    assert (inverse["perp"], inverse["kind"]) == ("BTC/USD:BTC", "inverse")
    assert inverse["open_bps"] == 100
    assert inverse["close_bps"] == (D(50_550) / D(49_990) - 1) * 10_000
    assert (inverse["net_bps"], inverse["apr_net"]) == (70, D("0.007"))
    assert (linear["kind"], linear["open_bps"], linear["net_bps"]) == ("linear", 20, -10)
    assert inverse["age_ms"] == linear["age_ms"]
    assert cells(inverse)[:4] == ["a", "BTC/USD:BTC", "b", "100.00"]


def test_quantities_of_an_inverse_book_are_quote_units() -> None:
    """6,000 at 50,500 and the rest at 50,000: the average keeps the coins, not the price."""
    split = [(50_500.0, 6_000.0), (50_000.0, 1e6)]
    found = next(r for r in board(views(bids=split)) if r["kind"] == "inverse")
    worse = next(r for r in board(views(bids=split), "20000") if r["kind"] == "inverse")
    assert 0 < worse["open_bps"] < found["open_bps"] < 100


def test_what_a_book_does_not_hold_is_unknown_and_last() -> None:
    thin = views(bids=[(50_500.0, 100.0)])
    *_, last = board(thin)
    assert (last["kind"], last["open_bps"], last["net_bps"]) == ("inverse", None, None)
    assert cells(last)[3:7] == ["-", "-", "-", "-"]
    down = views()
    down[LINEAR] = make_view(*LINEAR, state=BookState.GAP)
    assert board(down)[-1]["kind"] == "linear"
