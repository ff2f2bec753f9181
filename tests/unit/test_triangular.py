"""The strategy that trades triangles: what it finds, what it counts, and what it leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.config_sections import StrategyConfig
from shared.look_ahead import examine, market, run
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Side
from shared.strategies.built_in.triangular import SETTLE_NS, Triangular, TriangularParams
from shared.strategies.port import RETRY_NS
from tests.decision_builders import MS, T0, make_host, make_info, make_rules, make_view

D = Decimal
VENUE = "alpha"
FINE = {
    "tick_size": D("0.0001"),
    "lot_size": D("0.0001"),
    "qty_min": D(0),
    "notional_min": D(0),
    "taker_fee_bps": D(10),
}
# Buy BTC at 50,000, ETH at 0.05 BTC, sell it at 2,520: 80 bps, less 30 of fees.
PRICES = {
    "BTC/USDT": (49_990.0, 50_000.0),
    "ETH/BTC": (0.0499, 0.05),
    "ETH/USDT": (2_520.0, 2_521.0),
}


class Watched:
    """The strategy, fed by hand."""

    def __init__(self, *names: str, **params: Any) -> None:
        self.strategy = Triangular("tri", TriangularParams(**params))
        self.now_ns = T0
        self.found: list[Any] = []
        for name in names or PRICES:
            self.strategy.on_rules(make_rules(VENUE, name, **FINE), T0)
        due_ns = self.strategy.next_deadline_ns()
        assert due_ns == T0 + SETTLE_NS
        self.now_ns = due_ns
        assert self.strategy.on_timer(due_ns) == ()
        assert self.strategy.next_deadline_ns() is None

    def view(self, name: str, bid: float, ask: float, **more: Any) -> None:
        self.now_ns += MS
        view = make_view(
            VENUE, name, bids=[(bid, 3.0)], asks=[(ask, 3.0)], ts_ns=self.now_ns, **more
        )
        self.found += self.strategy.on_depth(view, self.now_ns)

    def prices(self, **changes: tuple[float, float]) -> None:
        for name, (bid, ask) in {**PRICES, **changes}.items():
            self.view(name, bid, ask)

    def misses(self) -> dict[str, NearMiss]:
        due = self.strategy.near_misses.due("triangular", "tri", self.now_ns + 10**10)
        return {miss.gate: miss for miss in due}


def test_a_triangle_that_pays_is_offered_with_its_orders() -> None:
    watched = Watched(edge_bps_min=10)
    watched.prices()
    (found,) = watched.found
    assert [(leg.instrument, leg.side) for leg in found.legs] == [
        ("BTC/USDT", Side.BUY),
        ("ETH/BTC", Side.BUY),
        ("ETH/USDT", Side.SELL),
    ]
    assert (found.base, found.quote) == ("BTC", "USDT")
    assert {each.asset: each.price for each in found.values} == {
        "BTC": D("49995"),
        "ETH": D("2520.5"),
    }
    spent, net = found.notional, found.net
    # 3 ETH are there at 2,520; 0.1502 BTC less its fee buys 3.0009 ETH, of which 2.9979 are left.
    assert 7_000 < spent < 7_530
    assert net > spent * D("0.0045")
    assert float(found.edge_bps) == pytest.approx(float(net / spent * 10_000), abs=1e-3)
    watched.prices()
    assert set(watched.misses()) == {"COOLDOWN"}
    watched.now_ns += 1_000 * MS
    watched.prices()
    assert len(watched.found) == 2


def test_what_was_held_back_is_offered_again_soon() -> None:
    watched = Watched(edge_bps_min=10, cooldown_ms=60_000)
    watched.prices()
    watched.strategy.on_held_back(watched.found[0], watched.now_ns)
    watched.now_ns += RETRY_NS - 10 * MS
    watched.prices()
    assert len(watched.found) == 1
    watched.now_ns += 10 * MS
    watched.prices()
    assert [leg.market for leg in watched.found[1].legs] == [
        leg.market for leg in watched.found[0].legs
    ]


def test_what_does_not_pay_is_counted_by_how_far_it_is() -> None:
    watched = Watched(edge_bps_min=60)
    watched.prices()
    (miss,) = watched.misses().values()
    assert miss.gate == "CYCLE_EDGE_MIN"
    assert miss.edge_bps_best is not None
    assert miss.fees_bps == pytest.approx(30.0, abs=0.5), "three orders of 10 bps"
    gross = 1 / PRICES["BTC/USDT"][1] / PRICES["ETH/BTC"][1] * PRICES["ETH/USDT"][0]
    assert miss.edge_bps_best + miss.fees_bps == pytest.approx((gross - 1) * 1e4)
    watched = Watched()
    watched.prices(**{"ETH/USDT": (2_505.0, 2_506.0)})
    miss = watched.misses()["CYCLE_LOSES"]
    assert miss.edge_bps_best == pytest.approx((2_505 / 2_500 * 0.999 / 1.001**2 - 1) * 1e4)
    watched = Watched(watch_bps_min=-5)
    watched.prices(**{"ETH/USDT": (2_505.0, 2_506.0)})
    assert not watched.misses(), "10 bps below the line that is watched"


def test_a_plan_must_pay_for_those_that_miss() -> None:
    # 49.8 bps after fees. A miss: four fees of 10 bps, the spreads of 20 and 4, and a drift of 5.
    watched = Watched(edge_bps_min=2, miss_fraction=0.5)
    watched.prices()
    assert not watched.found
    miss = watched.misses()["CYCLE_MISSES"]
    cost = 40 + (0.05 / 0.0499 - 1) * 1e4 + (2_521 / 2_520 - 1) * 1e4 + 5
    assert float(miss.context["needs_bps"]) == pytest.approx((2 + 0.5 * cost) / 0.5, abs=1e-3)
    watched = Watched(edge_bps_min=2)
    watched.prices()
    assert watched.found, "a quarter of them misses: 25.7 bps are needed"
    watched = Watched(edge_bps_min=49, miss_fraction=0)
    watched.prices()
    assert watched.found, "misses are left out"


def test_the_last_unit_pays_for_misses_too() -> None:
    def qty(**params: Any) -> D:
        watched = Watched(edge_bps_min=2, **params)
        for name, (bid, ask) in PRICES.items():
            watched.now_ns += MS
            # A second level of ETH/USDT that leaves 20 bps after fees.
            bids = [(bid, 1.0), (bid * 0.9971, 1.0)] if name == "ETH/USDT" else [(bid, 3.0)]
            view = make_view(VENUE, name, bids=bids, asks=[(ask, 3.0)], ts_ns=watched.now_ns)
            watched.found += watched.strategy.on_depth(view, watched.now_ns)
        (found,) = watched.found
        sold: D = found.legs[-1].qty
        return sold

    assert qty(miss_fraction=0) > D("1.9")
    assert qty() <= D(1)


def test_lots_may_leave_nothing() -> None:
    watched = Watched(notional_quote_max=3.0)
    watched.prices()
    assert set(watched.misses()) == {"CYCLE_LOTS"}


def test_an_old_book_prices_nothing() -> None:
    watched = Watched(book_age_ms_max=100)
    watched.view("BTC/USDT", *PRICES["BTC/USDT"])
    watched.now_ns += 200 * MS
    watched.view("ETH/BTC", *PRICES["ETH/BTC"])
    watched.view("ETH/USDT", *PRICES["ETH/USDT"])
    miss = watched.misses()["CYCLE_AGE"]
    assert miss.context["age_ms"] == "202"


def test_a_book_that_is_not_live_prices_nothing_until_it_is() -> None:
    watched = Watched()
    watched.view("BTC/USDT", *PRICES["BTC/USDT"])
    watched.view("ETH/BTC", *PRICES["ETH/BTC"], state=BookState.STALE)
    watched.view("ETH/USDT", *PRICES["ETH/USDT"])
    assert not watched.misses()
    watched.view("ETH/BTC", *PRICES["ETH/BTC"])
    assert len(watched.found) == 1


def test_a_market_that_comes_later_joins() -> None:
    watched = Watched("BTC/USDT", "ETH/BTC", apart_ms_max=5_000)
    watched.prices()
    assert watched.strategy.gauges()["cycles"] == 0
    watched.strategy.on_rules(make_rules(VENUE, "ETH/USDT", **FINE), watched.now_ns)
    watched.now_ns += SETTLE_NS
    watched.strategy.on_timer(watched.now_ns)
    assert watched.strategy.gauges()["cycles"] == 1
    watched.view("ETH/USDT", *PRICES["ETH/USDT"])
    assert len(watched.found) == 1, "the prices of before are known"


def test_the_scanner_hosts_it_and_sends_what_it_finds() -> None:
    host = make_host(strategies=[StrategyConfig(id="tri", class_="triangular")])
    for name in PRICES:
        host.on_message(make_info(VENUE, name, **FINE), T0)
    now_ns = T0 + 2 * SETTLE_NS
    host.on_timer(now_ns)
    sent: list[Any] = []
    for name, (bid, ask) in PRICES.items():
        view = make_view(VENUE, name, bids=[(bid, 3.0)], asks=[(ask, 3.0)], ts_ns=now_ns)
        sent += host.on_message(view, now_ns).messages
    (found,) = [each for each in sent if isinstance(each, Opportunity)]
    assert found.strategy_id == "tri"
    assert not host.notes(), "it was not disabled"


def test_a_derivative_and_another_venue_are_no_part_of_it() -> None:
    watched = Watched("BTC/USDT", "ETH/BTC", "ETH/USDT:USDT")
    watched.strategy.on_rules(make_rules("beta", "ETH/USDT", **FINE), watched.now_ns)
    watched.strategy.on_timer(watched.now_ns + SETTLE_NS)
    assert watched.strategy.gauges()["cycles"] == 0


def test_it_looks_at_nothing_that_comes_later() -> None:
    books = [(VENUE, name) for name in PRICES]
    events = market(books, 600, seed=5)

    def make() -> Triangular:
        return Triangular("tri", TriangularParams())

    assert examine(make, events, (10, 100, 400), 1) is None
    assert sum(len(each) > 1 for each in run(make, events)) > 5


def test_what_has_no_way_back_is_not_offered() -> None:
    """Of a cycle of four the asset in the middle has no market against the start."""
    fine = {"BTC/USDT": (99.0, 100.0), "SOL/BTC": (0.099, 0.1), "SOL/ETH": (1.1, 1.2)}
    watched = Watched(*fine, "ETH/USDT", legs_count_max=4, notional_quote_max=200)
    for name, (bid, ask) in fine.items():
        watched.view(name, bid, ask)
    watched.view("ETH/USDT", 12.0, 12.1)
    assert set(watched.misses()) == {"CYCLE_NO_WAY_BACK"}


def test_a_price_that_is_nothing_on_the_venues_grid_stops_this_cycle_alone() -> None:
    watched = Watched()
    coarse = make_rules(VENUE, "ETH/BTC", **{**FINE, "tick_size": D("0.1")})
    watched.strategy.on_rules(coarse, watched.now_ns)
    watched.prices()
    assert set(watched.misses()) == {"CYCLE_OFF_GRID"}


def test_views_that_are_far_apart_are_not_compared() -> None:
    watched = Watched(apart_ms_max=50)
    watched.view("ETH/BTC", *PRICES["ETH/BTC"])
    watched.now_ns += 60 * MS
    watched.view("BTC/USDT", *PRICES["BTC/USDT"])
    watched.view("ETH/USDT", *PRICES["ETH/USDT"])
    assert watched.misses()["CYCLE_APART"].context["apart_ms"] == "62"
    assert not watched.found
    watched.view("ETH/BTC", *PRICES["ETH/BTC"])
    assert len(watched.found) == 1
