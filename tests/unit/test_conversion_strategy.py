"""The strategy that trades through a conversion: what it finds, and days on which a peg breaks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.look_ahead import examine, market, run
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Side
from shared.strategies.built_in.conversion import Conversion, ConversionParams
from shared.strategies.port import RETRY_NS
from tests.decision_builders import MS, T0, make_rules, make_view

D = Decimal
FINE = {
    "tick_size": D("0.0001"),
    "lot_size": D("0.0001"),
    "qty_min": D(0),
    "notional_min": D(0),
    "taker_fee_bps": D(10),
}
BUY, SELL, FX = ("alpha", "BTC/USD"), ("beta", "BTC/USDC"), ("alpha", "USDC/USD")
PRICES = {BUY: (49_990.0, 50_000.0), SELL: (50_400.0, 50_410.0), FX: (0.999, 1.0)}
DEPTH = {BUY: 2.0, SELL: 2.0, FX: 60_000.0}


class Watched:
    """The strategy, fed by hand."""

    def __init__(self, *places: tuple[str, str], **params: Any) -> None:
        self.strategy = Conversion("conv", ConversionParams(**params))
        self.now_ns = T0
        self.found: list[Opportunity] = []
        for place in places or PRICES:
            self.strategy.on_rules(make_rules(*place, **FINE), T0)

    def view(self, place: tuple[str, str], bid: float, ask: float, **more: Any) -> None:
        self.now_ns += MS
        size = DEPTH.get(place, 2.0)
        view = make_view(*place, bids=[(bid, size)], asks=[(ask, size)], ts_ns=self.now_ns, **more)
        self.found += self.strategy.on_depth(view, self.now_ns)

    def prices(self, changes: dict[tuple[str, str], tuple[float, float]] | None = None) -> None:
        for place, (bid, ask) in {**PRICES, **(changes or {})}.items():
            self.view(place, bid, ask)

    def misses(self) -> dict[str, NearMiss]:
        due = self.strategy.near_misses.due("conversion", "conv", self.now_ns + 10**10)
        return {miss.gate: miss for miss in due}


def test_what_pays_is_offered_with_its_orders() -> None:
    watched = Watched(edge_bps_min=10, notional_quote_max=1e6)
    watched.prices()
    (found,) = watched.found
    assert [leg.market for leg in found.legs] == [BUY, SELL, FX]
    assert [each.asset for each in found.values] == ["BTC", "USDC"]
    bought, sold, changed = (leg.qty for leg in found.legs)
    # The conversion's 60,000 USDC bound it: 1.19... BTC at 50,400 less the fee.
    assert D("1.19") < sold < D("1.1918")
    assert sold <= bought * D("0.999") < sold + D("0.0002")
    assert changed <= 60_000
    assert float(found.edge_bps) == pytest.approx(39.5, abs=1.0)


def test_what_the_conversion_costs_is_told_against_the_middle_of_its_book() -> None:
    watched = Watched(edge_bps_min=10, notional_quote_max=1e6)
    watched.prices()
    (found,) = watched.found
    (told,) = found.conversions
    qty = found.legs[2].qty
    assert (told.leg, told.asset) == (2, "USDC")
    assert told.middle == D("0.9995")
    assert told.rate == pytest.approx(D("0.999") * D("0.999"), abs=D("1e-9"))
    assert told.spread == pytest.approx(qty * D("0.0005"), abs=D("1e-8"))
    assert told.fee == pytest.approx(qty * D("0.999") * D("0.001"), abs=D("2e-8"))
    assert told.cost == told.spread + told.fee
    assert found.net == found.gross - found.fees, "nothing is counted twice"


def test_what_was_held_back_is_offered_again_soon() -> None:
    watched = Watched(edge_bps_min=10, notional_quote_max=1e6, cooldown_ms=60_000)
    watched.prices()
    watched.prices()
    assert len(watched.found) == 1
    watched.strategy.on_held_back(watched.found[0], watched.now_ns)
    watched.now_ns += RETRY_NS
    watched.prices()
    assert len(watched.found) == 2


def test_at_one_to_one_it_would_have_paid() -> None:
    """USDC at 0.97: 50,400 USDC are 48,888 USD."""
    watched = Watched(fx_deviation_bps_max=10_000, watch_bps_min=-1_000)
    watched.prices({FX: (0.97, 0.98)})
    miss = watched.misses()["CONVERSION_LOSES"]
    assert (miss.buy_venue, miss.sell_venue) == ("alpha", "beta")
    assert miss.edge_bps_best == pytest.approx(
        (50_400 / 50_000 * 0.97 * 0.999**2 / 1.001 - 1) * 1e4
    )
    assert miss.edge_bps_best is not None
    assert miss.fees_bps is not None
    assert miss.edge_bps_best + miss.fees_bps == pytest.approx(
        (50_400 / 50_000 * 0.97 - 1) * 1e4
    ), "without fees"


@pytest.mark.parametrize(
    ("changes", "params", "gate"),
    [
        ({FX: (0.97, 0.98), SELL: (53_000.0, 53_010.0)}, {}, "FX_DEPEG"),
        ({}, {"fx_depth_base_min": 100_000}, "FX_THIN"),
        ({}, {"edge_bps_min": 50}, "CONVERSION_EDGE_MIN"),
        ({}, {"rebalance_bps": 50}, "CONVERSION_EDGE_MIN"),
        ({}, {"notional_quote_max": 4}, "LOT"),
        ({SELL: (50_150.0, 50_160.0)}, {}, "CONVERSION_LOSES"),
    ],
)
def test_what_stops_it(changes: Any, params: dict[str, Any], gate: str) -> None:
    watched = Watched(**params)
    watched.prices(changes)
    assert set(watched.misses()) == {gate}


def test_a_rate_that_is_old_converts_nothing() -> None:
    watched = Watched(fx_age_ms_max=100)
    watched.view(FX, *PRICES[FX])
    watched.now_ns += 200 * MS
    watched.view(BUY, *PRICES[BUY])
    watched.view(SELL, *PRICES[SELL])
    assert set(watched.misses()) == {"FX_AGE"}
    watched = Watched(fx_older_ms_max=100)
    watched.view(FX, *PRICES[FX])
    watched.now_ns += 200 * MS
    watched.view(BUY, *PRICES[BUY])
    watched.view(SELL, *PRICES[SELL])
    assert set(watched.misses()) == {"FX_OLDER"}


def test_old_legs_and_books_that_are_not_live() -> None:
    watched = Watched(book_age_ms_max=100)
    watched.view(BUY, *PRICES[BUY])
    watched.now_ns += 200 * MS
    watched.view(SELL, *PRICES[SELL])
    watched.view(FX, *PRICES[FX])
    assert set(watched.misses()) == {"BOOK_AGE"}
    watched = Watched()
    watched.view(FX, *PRICES[FX], state=BookState.GAP)
    watched.view(BUY, *PRICES[BUY])
    watched.view(SELL, *PRICES[SELL])
    assert not watched.misses()
    assert watched.strategy.gauges()["routes"] == 2


def test_a_rate_the_other_way_round() -> None:
    other = ("alpha", "USD/USDC")
    watched = Watched(BUY, SELL, other, fx_depth_base_min=1)
    DEPTH[other] = 60_000.0
    watched.view(other, 1.0, 1.001)
    watched.view(BUY, *PRICES[BUY])
    watched.view(SELL, *PRICES[SELL])
    (found,) = watched.found
    assert (found.legs[2].instrument, found.legs[2].side) == ("USD/USDC", Side.BUY)
    assert [(each.asset, float(each.price)) for each in found.values] == [
        ("BTC", 49_995.0),
        ("USDC", pytest.approx(1 / 1.0005)),
    ]
    (told,) = found.conversions
    qty = float(found.legs[2].qty)  # USD that 1.001 USDC each are paid for; the fee is taken of it
    assert told.asset == "USDC"
    assert float(told.middle) == pytest.approx(1 / 1.0005, rel=1e-9)
    assert float(told.rate) == pytest.approx(0.999 / 1.001, rel=1e-9)
    assert float(told.spread) == pytest.approx(qty * (1.001 / 1.0005 - 1), abs=1e-6)
    assert float(told.fee) == pytest.approx(qty * 0.001, abs=1e-6)


def test_routes_are_the_same_in_whatever_order_books_appear() -> None:
    places = [*PRICES, ("beta", "BTC/USD"), ("gamma", "BTC/USDC"), ("gamma", "USDC/USD")]
    counts = set()
    for turn in range(len(places)):
        watched = Watched(*places)
        for place in places[turn:] + places[:turn]:
            watched.view(place, 1.0, 1.1)
        counts.add(watched.strategy.gauges()["routes"])
    # 2 books in USD and 2 in USDC, both ways, over 2 rates: 16, none of which has one venue.
    assert counts == {16}


def test_three_books_of_one_venue_are_a_triangle() -> None:
    one = [("alpha", name) for name in ("BTC/USD", "BTC/USDC", "USDC/USD")]
    watched = Watched(*one)
    for place in one:
        watched.view(place, 1.0, 1.1)
    assert watched.strategy.gauges()["routes"] == 0


def test_it_looks_at_nothing_that_comes_later() -> None:
    events = market(list(PRICES), 600, seed=5)

    def make() -> Conversion:  # all of that market costs about 100, and little of it is shown
        params = ConversionParams(
            fx_reference_ratio=100.0, fx_deviation_bps_max=10_000, fx_depth_base_min=1.0
        )
        return Conversion("conv", params)

    assert examine(make, events, (10, 100, 400), 1) is None
    assert sum(len(each) > 1 for each in run(make, events)) > 5
