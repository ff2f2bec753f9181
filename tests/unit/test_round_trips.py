"""Round trips: which fills belong together, how long they were held, what they came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.lab import round_trips
from services.lab.round_trips import RoundTrips
from shared.messages.base import Certainty, Side
from shared.messages.execution import Fill, PlanOutcome
from shared.messages.rounds import RoundLeg, RoundState, StrategyPosition
from tests.decision_builders import PERP, SECOND, SPOT, T0, D, make_done, make_fill

if TYPE_CHECKING:
    import pytest

END = T0 + 100 * SECOND


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def fill(plan: str, side: Side, seconds: float, **changes: Any) -> Fill:
    return make_fill(plan, "alpha", side, ts_ns=at(seconds), **{"strategy": "arb", **changes})


def position(state: RoundState, seconds: float, **changes: Any) -> StrategyPosition:
    legs = [
        RoundLeg(venue="alpha", instrument=SPOT, qty=D(0), fees={"USDT": D("1.25")}),
        RoundLeg(venue="beta", instrument=PERP, qty=D(0), fees={"USDT": D("0.75"), "BNB": D(1)}),
    ]
    values: dict[str, Any] = {
        "realized": {"USDT": D(7)},
        "funding": {"USDT": D(3)},
        "certainty": Certainty.KNOWN,
        "funding_certainty": Certainty.KNOWN,
        **changes,
    }
    return StrategyPosition(
        ts_ns=at(seconds),
        strategy_id="carry",
        round_id="r1",
        state=state,
        base="BTC",
        quote="USDT",
        legs=legs,
        unhedged=D(0),
        **values,
    )


def test_a_plan_without_a_round_is_one_from_its_first_fill_to_its_end() -> None:
    trips = RoundTrips(T0, END)
    trips.on_message(fill("p", Side.BUY, 10, qty=D("0.05")))
    trips.on_message(fill("p", Side.BUY, 10, qty=D("0.05"), trade_id="second"))
    trips.on_message(fill("p", Side.SELL, 10.5))
    trips.on_message(make_done("p", at(12), realized=D("1.5"), fees=D("0.5")))
    trips.on_message(make_done("nothing filled", at(13), outcome=PlanOutcome.UNFILLED))
    found = trips.told(10)
    (trip,) = found["trips"]
    assert (trip["opened_ns"], trip["closed_ns"], trip["held_s"]) == (at(10), at(12), 2.0)
    assert (trip["sides"], trip["profit"], trip["fees"]) == (
        2,
        {"USDT": D("1.5")},
        {"USDT": D("0.5")},
    )
    assert (found["closed"], found["open"], found["sides"], found["in_market"]) == (1, 0, 2, 0.02)


def test_a_round_is_one_over_all_its_plans_with_its_funding_and_fees() -> None:
    trips = RoundTrips(T0, END)
    own = {"strategy": "carry", "round_id": "r1"}
    trips.on_message(position(RoundState.OPENING, 19))
    trips.on_message(fill("open", Side.BUY, 20, **own))
    trips.on_message(make_done("open", at(21), strategy="carry", round_id="r1"))
    trips.on_message(position(RoundState.OPEN, 21))
    assert trips.told(10)["open"] == 1
    trips.on_message(fill("close", Side.SELL, 50, **own))
    trips.on_message(position(RoundState.CLOSED, 60))
    trips.on_message(position(RoundState.CLOSED, 61, funding={"USDT": D(4)}))  # paid late
    found = trips.told(10)
    (trip,) = found["trips"]
    assert (trip["opened_ns"], trip["closed_ns"], trip["held_s"]) == (at(20), at(60), 40.0)
    assert trip["profit"] == {"USDT": D(7)}
    assert trip["fees"] == {"USDT": D(2), "BNB": D(1)}
    assert trip["funding"] == {"USDT": D(4)}
    assert found["in_market"] == 0.4
    dollars, coins = sorted(found["totals"], key=lambda each: each["asset"], reverse=True)
    assert (dollars["trips"], dollars["won"], dollars["profit"], dollars["fees"]) == (1, 1, 7, 2)
    assert (coins["asset"], coins["won"], coins["lost"], coins["fees"]) == ("BNB", 0, 0, 1)


def test_funding_that_nobody_told_is_not_known() -> None:
    trips = RoundTrips(T0, END)
    trips.on_message(fill("open", Side.BUY, 20, strategy="carry", round_id="r1"))
    unknown = {"funding": {}, "funding_certainty": Certainty.UNKNOWN}
    trips.on_message(position(RoundState.CLOSED, 30, **unknown))
    found = trips.told(10)
    assert found["trips"][0]["funding_certainty"] == "unknown"
    assert [each["funding_unknown"] for each in found["totals"]] == [1, 1]


def test_time_in_the_market_counts_once_what_overlaps_and_nothing_outside_the_run() -> None:
    trips = RoundTrips(T0, END)
    trips.on_message(fill("a", Side.BUY, -5))
    trips.on_message(fill("b", Side.BUY, 10))
    trips.on_message(make_done("a", at(20)))
    trips.on_message(make_done("b", at(30)))
    assert trips.told(10)["in_market"] == 0.3
    trips.on_message(fill("c", Side.BUY, 90))
    assert trips.told(10)["in_market"] == 0.4, "it is still open"
    trips.on_message(make_done("c", at(120)))
    assert trips.told(10)["in_market"] == 0.4
    assert RoundTrips(T0, T0).told(10)["in_market"] is None


def test_a_round_that_a_late_fill_opens_again_is_the_same_one() -> None:
    trips = RoundTrips(T0, END)
    own = {"strategy": "carry", "round_id": "r1"}
    trips.on_message(fill("open", Side.BUY, 20, **own))
    trips.on_message(position(RoundState.CLOSED, 30))
    trips.on_message(fill("open", Side.BUY, 40, trade_id="late", **own))
    assert (trips.told(10)["closed"], trips.told(10)["open"]) == (0, 1)
    trips.on_message(position(RoundState.CLOSED, 50))
    found = trips.told(10)
    assert (found["closed"], found["open"], found["in_market"]) == (1, 0, 0.2)
    assert found["trips"][0]["held_s"] == 30.0


def test_what_an_operator_or_a_venue_closes_is_no_round_trip_of_its_own() -> None:
    trips = RoundTrips(T0, END)
    for strategy in ("", "operator"):
        trips.on_message(fill("p", Side.SELL, 10, strategy=strategy))
        trips.on_message(make_done("p", at(11)))
    assert trips.told(10)["trips"] == []


def test_coins_that_a_plan_realizes_are_not_in_its_result() -> None:
    trips = RoundTrips(T0, END)
    trips.on_message(fill("p", Side.BUY, 1, instrument="BTC/USD:BTC"))
    trips.on_message(make_done("p", at(2)))
    assert trips.told(10)["trips"][0]["certainty"] == "unknown"


def test_sums_count_what_is_no_longer_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trips, "TRIPS_MAX", 2)
    trips = RoundTrips(T0, END)
    for number in range(5):
        trips.on_message(fill(str(number), Side.BUY, number))
        trips.on_message(make_done(str(number), at(number + 0.5), realized=D(number) - 1))
    found = trips.told(1)
    assert (found["closed"], len(found["trips"]), found["trips"][0]["id"]) == (5, 1, "4")
    (total,) = found["totals"]
    assert (total["trips"], total["won"], total["lost"], total["profit"]) == (5, 3, 1, D(5))
    assert total["held_s"] == 2.5
