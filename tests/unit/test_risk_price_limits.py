"""Rules on prices that other books tell: what they stop and let through, with which figures."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from services.risk.engine import RiskEngine
from services.risk.price_limits import median
from services.risk.reasons import DenyReason
from shared.messages.base import BookState, Side
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.rounds import Intent
from tests.decision_builders import (
    MS,
    PERP,
    SPOT,
    T0,
    make_config,
    make_opportunity,
    make_risk,
    make_view,
)
from tests.unit.test_path_plans import GOOD as PATH
from tests.unit.test_path_plans import GOOD_PRICES, path_risk
from tests.unit.test_path_plans import decision as path_decision
from tests.unit.test_risk_limits import GOOD, approved, decision
from tests.unit.test_risk_rounds import (
    approve,
    closing,
    config,
    decide,
    denial,
    execute,
    opening,
    single,
)

OTHERS = (("gamma", SPOT), ("gamma", PERP))
"""The books of this pair that GOOD does not trade in: 9999 to 10001 each, and so is every other."""


def banded(limit_bps: float, **limits: Any) -> RiskEngine:
    return make_risk(make_config(price_band_bps_max=limit_bps, **limits))


def see(engine: RiskEngine, venue: str, instrument: str, middle: float, **changes: Any) -> None:
    view = make_view(
        venue, instrument, bids=[(middle - 1, 1.0)], asks=[(middle + 1, 1.0)], **changes
    )
    engine.on_message(view, T0)


def context_of(engine: RiskEngine, reason: DenyReason) -> dict[str, str]:
    answer = decision(engine, GOOD)
    assert isinstance(answer, Denied), answer
    assert answer.reason == reason.value
    return answer.context


def test_a_price_far_from_the_median_of_the_other_books_is_denied() -> None:
    told = context_of(banded(49.9), DenyReason.PRICE_BAND)
    assert told == {
        "book": "beta BTC/USDT",
        "price": "10050.0",
        "reference": "10000.0",
        "off_bps": "50.00",
        "max_bps": "49.9",
    }


@pytest.mark.parametrize("limit_bps", [0, 50, 100])
def test_a_price_within_the_band_passes_and_0_is_no_band(limit_bps: float) -> None:
    approved(banded(limit_bps), GOOD)


def test_one_odd_book_among_several_moves_no_median() -> None:
    engine = banded(60)
    see(engine, *OTHERS[0], 12_000.0)
    approved(engine, GOOD)


def test_the_book_that_is_off_is_named() -> None:
    """Bought far below what all others say: the price is wrong, or the venue is."""
    engine = banded(60, edge_bps_max=1_000.0, loss_cap_bps=D(50))
    answer = decision(engine, make_opportunity(ask=9_900.0, bid=10_000.0))
    assert isinstance(answer, Denied)
    assert (answer.context["book"], answer.context["off_bps"]) == ("alpha BTC/USDT", "-100.00")


@pytest.mark.parametrize(
    "changes", [{"state": BookState.STALE}, {"ts_ns": T0 - 2_001 * MS}, {"asks": []}]
)
def test_only_books_that_are_live_fresh_and_whole_are_a_reference(changes: dict[str, Any]) -> None:
    engine = make_risk(config(price_band_bps_max=60))
    bought = single(Side.BUY, "0.1", Intent.OPEN)
    for venue in ("alpha", "beta", "gamma"):
        engine.on_message(make_view(venue, SPOT, **changes), T0)
    answer = decide(engine, bought)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.PRICE_BAND.value
    assert answer.context == {"book": "gamma BTC/USDT:USDT", "reference": "unknown"}
    see(engine, "beta", SPOT, 10_000.0)
    approve(engine, bought)


@pytest.mark.parametrize("is_fresh", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("books_min", [0, 1, 2, 3, 4])
def test_so_many_other_books_must_tell_the_price(
    is_fresh: tuple[bool, ...], books_min: int
) -> None:
    """Beside both books of GOOD another leg's book and gamma's two are there: three others."""
    engine = banded(60, price_band_books_min=books_min)
    for fresh, (venue, instrument) in zip(is_fresh, OTHERS, strict=True):
        see(engine, venue, instrument, 10_000.0, ts_ns=T0 if fresh else T0 - 2_001 * MS)
    there = 1 + sum(is_fresh)
    if there >= books_min:
        approved(engine, GOOD)
        return
    assert context_of(engine, DenyReason.PRICE_BAND) == {
        "book": "alpha BTC/USDT",
        "reference": "unknown",
        "books": str(there),
        "books_min": str(books_min),
    }


def test_a_pair_that_no_other_book_prices_is_denied_where_books_are_asked_for() -> None:
    answer = path_decision(path_risk(price_band_bps_max=500, price_band_books_min=1), PATH)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.PRICE_BAND.value
    assert answer.context["books"] == "0"


def test_nothing_keeps_a_round_from_closing() -> None:
    engine = make_risk(config(price_band_bps_max=60))
    execute(engine, approve(engine, opening()))
    for venue, instrument in (("beta", SPOT), ("gamma", SPOT)):
        see(engine, venue, instrument, 12_000.0)
    assert denial(engine, opening(round_id="r2")) is DenyReason.PRICE_BAND
    approve(engine, closing())


def test_a_pair_that_no_other_book_prices_has_no_reference() -> None:
    assert ("alpha", "ETH/BTC") in GOOD_PRICES
    assert ("beta", "ETH/BTC") not in GOOD_PRICES
    assert isinstance(path_decision(path_risk(price_band_bps_max=500), PATH), ApprovedPlan)


def test_the_median_of_prices() -> None:
    assert median([]) is None
    assert median([D(3)]) == D(3)
    assert median([D(3), D(1)]) == D(2)
    assert median([D(30), D(1), D(2)]) == D(2)
    assert median([D(1), D(2), D(4), D(100)]) == D(3)


def rated(rate: float, *, limit_bps: float = 100, pair: str = "USDC/USDT") -> RiskEngine:
    """Risk with a book of two dollars on gamma."""
    engine = make_risk(make_config(depeg_bps_max=limit_bps))
    convert(engine, "gamma", rate, pair=pair)
    return engine


def convert(
    engine: RiskEngine, venue: str, rate: float, *, pair: str = "USDC/USDT", **changes: Any
) -> None:
    levels = {"bids": [(rate - 0.0001, 1e6)], "asks": [(rate + 0.0001, 1e6)]}
    engine.on_message(make_view(venue, pair, **levels, **changes), T0)


@pytest.mark.parametrize(
    ("rate", "off_bps"), [(0.97, "-300.00"), (0.9899, "-101.00"), (1.0101, "101.00")]
)
def test_a_dollar_that_lost_its_peg_stops_what_touches_it(rate: float, off_bps: str) -> None:
    told = context_of(rated(rate), DenyReason.DEPEG)
    assert D(told.pop("rate")) == D(repr(rate))
    assert told == {"pair": "USDC/USDT", "off_bps": off_bps, "max_bps": "100"}


@pytest.mark.parametrize(
    ("rate", "limit_bps", "pair"),
    [
        (0.99, 100, "USDC/USDT"),
        (1.01, 100, "USDC/USDT"),
        (0.9, 0, "USDC/USDT"),
        (0.9, 100, "USDC/USD"),  # not what is traded here
        (0.9, 100, "EUR/USDT"),  # no dollar
        (0.9, 100, "USDC/USDT:USDT"),  # a derivative has a basis
    ],
)
def test_what_does_not_tell_of_a_lost_peg_stops_nothing(
    rate: float, limit_bps: float, pair: str
) -> None:
    approved(rated(rate, limit_bps=limit_bps, pair=pair), GOOD)


def test_the_rate_is_the_median_of_the_books_and_unknown_without_a_trusted_one() -> None:
    engine = rated(0.9)
    for venue in ("alpha", "beta"):
        convert(engine, venue, 1.0)
    approved(engine, GOOD)
    engine = rated(1.0)
    convert(engine, "gamma", 1.0, state=BookState.STALE)
    told = context_of(engine, DenyReason.DEPEG)
    assert told == {"pair": "USDC/USDT", "rate": "unknown"}


def test_a_round_is_closed_whatever_its_dollar_is_worth() -> None:
    engine = make_risk(config(depeg_bps_max=100))
    execute(engine, approve(engine, opening()))
    convert(engine, "beta", 0.9)
    assert denial(engine, opening(round_id="r2")) is DenyReason.DEPEG
    approve(engine, closing())


def test_a_path_through_a_dollar_that_lost_its_peg_is_denied() -> None:
    engine = path_risk(depeg_bps_max=100)
    assert isinstance(path_decision(engine, PATH), ApprovedPlan)
    engine = path_risk(depeg_bps_max=100)
    convert(engine, "beta", 0.98, pair="USDT/USD")
    answer = path_decision(engine, PATH)
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.context["pair"]) == (DenyReason.DEPEG.value, "USDT/USD")
