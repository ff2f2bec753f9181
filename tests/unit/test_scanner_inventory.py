"""What cross_venue offers where risk says what venues hold, in figures by hand."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from services.scanner.engine import StrategyHost
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.inventory import InventoryTold, PlaceHeld
from shared.strategies.gates import Gate
from tests.decision_builders import MS, SECOND, T0, make_scanner, make_view


def place(venue: str, held: str, band: str, target: str = "10", asset: str = "BTC") -> PlaceHeld:
    low, high = D(target) - D(band), D(target) + D(band)
    parts = {"low": low, "target": D(target), "high": high}
    return PlaceHeld(venue=venue, asset=asset, held=D(held), **parts)


def told(*places: PlaceHeld, charge: str = "20", reward: str = "0") -> InventoryTold:
    return InventoryTold(
        ts_ns=T0, charge_bps_max=D(charge), reward_bps_max=D(reward), places=list(places)
    )


def scanner(*messages: InventoryTold, **changes: Any) -> StrategyHost:
    engine = make_scanner(**{"notional_max": 1e9, **changes})
    for message in messages:
        engine.on_message(message, T0)
    return engine


def offered(
    engine: StrategyHost, qty: float = 0.1, bid: float = 10_050.0, now_ns: int = T0
) -> Opportunity | None:
    """What is found where alpha asks 10,000 and beta bids; an edge of 29.95 at 10,050."""
    asks, bids, parts = [(10_000.0, qty)], [(bid, qty)], {"ts_ns": now_ns, "seq": now_ns - T0 + 1}
    out = []
    for view in (
        make_view("alpha", asks=asks, bids=[(1.0, 1.0)], **parts),
        make_view("beta", bids=bids, asks=[(1e6, 1.0)], **parts),
    ):
        out += engine.on_message(view, now_ns).messages
    found = [each for each in out if isinstance(each, Opportunity)]
    return found[0] if found else None


def misses(engine: StrategyHost) -> dict[str, NearMiss]:
    out = engine.on_timer(T0 + 2 * SECOND).messages
    return {each.gate: each for each in out if isinstance(each, NearMiss)}


def test_a_trade_that_empties_a_venue_needs_more() -> None:
    """Beta goes from 8 of 10 to 7.9 with an edge at 6: 51.25/100 of the skew, beside 2 for all."""
    few = place("beta", "8", "4")
    assert offered(scanner(told(few, charge="54.5"))) is not None  # 27.93 more
    engine = scanner(told(few, charge="54.6"))  # 27.98 more; the first unit needs 27.3
    assert offered(engine) is None
    miss = misses(engine)[Gate.INVENTORY_EDGE]
    assert miss.context == {
        "needs_bps": "29.9825",
        "charge_bps": "27.9825",
        "reward_bps": "0",
    }
    engine = scanner(told(few, charge="60"))  # 30 more for the first unit already
    assert offered(engine) is None
    assert Gate.EDGE_MIN in misses(engine)


def test_a_trade_that_fills_one_needs_less() -> None:
    """An edge of 1 is below the 2 that are asked, and alpha is half-way to its edge: 2.5 less."""
    edge_of_1 = {"qty": 0.1, "bid": 10_021.1}
    assert offered(scanner(), **edge_of_1) is None
    short = place("alpha", "8", "4")
    found = offered(scanner(told(short, reward="5")), **edge_of_1)
    assert found is not None
    assert 0 < found.edge_bps < 2
    assert offered(scanner(told(short, reward="1")), **edge_of_1) is None


def test_an_offer_goes_no_further_than_the_edge_of_a_band() -> None:
    engine = scanner(told(place("beta", "6.05", "4"), charge="0.1"))
    found = offered(engine)
    assert found is not None
    assert found.qty == D("0.05")
    money = place("alpha", "20500", "10000", target="30000", asset="USDT")
    found = offered(scanner(told(money, charge="0.1")))  # 500 of 1,001
    assert found is not None
    assert found.qty == D("0.049")
    engine = scanner(told(place("beta", "6", "4"), charge="0.1"))
    assert offered(engine) is None
    miss = misses(engine)[Gate.INVENTORY_BAND]
    assert miss.context == {"venue": "beta", "asset": "BTC", "held": "6", "low": "6"}


def test_what_risk_says_last_holds() -> None:
    engine = scanner(told(place("beta", "6", "4")))
    assert offered(engine) is None
    engine.on_message(told(place("beta", "12", "4")), T0)
    assert offered(engine, now_ns=T0 + MS) is not None
    engine.on_message(told(), T0)
    assert offered(engine, now_ns=T0 + 2 * SECOND) is not None


def test_without_a_word_nothing_changes() -> None:
    silent, empty = offered(scanner()), offered(scanner(told()))
    far = offered(scanner(told(place("gamma", "0", "4"))))
    assert silent == empty == far
