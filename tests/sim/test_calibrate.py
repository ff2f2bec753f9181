"""Calibration: the same orders on paper and at simulated venues, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import pytest

from services.lab.calibrate import NO_PRICE, REFUSED_TWICE, Compared, Filled, compare
from services.lab.calibrate_facts import facts_of
from services.lab.calibrate_orders import OrderKind
from shared.config_sections import Config, PaperConfig
from shared.messages.base import Side
from tests.decision_builders import make_terms


def one(paper: Filled, simulated: Filled, side: Side = Side.BUY, venue: str = "alpha") -> Compared:
    terms = make_terms(qty=D(2), side=side)
    return Compared(
        venue=venue,
        kind=OrderKind.IOC,
        terms=terms,
        latency_ns=20_000_000,
        paper=paper,
        simulated=simulated,
    )


def row(found: Sequence[Compared], venue: str = "alpha", kind: str = "ioc"):
    rows = facts_of(range(1, 2), found)["rows"]
    (chosen,) = [each for each in rows if (each["venue"], each["kind"]) == (venue, kind)]
    return chosen


def test_shares_and_prices_are_compared_order_by_order() -> None:
    found = [
        one(Filled(D(2), D(10_000)), Filled(D(1), D(10_002))),
        one(Filled(D(1), D(10_000)), Filled(D(1), D(10_000))),
        one(Filled(D(2), D(9_999)), Filled(D(2), D(10_000)), Side.SELL),
        one(Filled(D(2), D(10_000)), Filled()),
    ]
    got = row(found)
    assert (got["orders"], got["compared"], got["priced"]) == (4, 4, 3)
    assert (got["fill_ratio_paper"], got["fill_ratio_simulated"]) == (0.875, 0.5)
    assert (got["fill_ratio_error"], got["fill_ratio_error_abs"]) == (0.375, 0.375)
    assert got["price_error_bps"] == pytest.approx((1.9996 + 0 - 1) / 3, abs=1e-4)
    assert got["price_error_abs_bps"] == pytest.approx((1.9996 + 0 + 1) / 3, abs=1e-4)


def test_what_no_order_tells_is_unknown() -> None:
    got = row([one(Filled(D(2), D(10_000)), Filled())])
    assert (got["fill_ratio_error"], got["fill_ratio_error_se"]) == (1.0, None)
    assert (got["priced"], got["price_error_bps"], got["price_error_abs_bps"]) == (0, None, None)
    nothing = row([one(Filled(), Filled())], kind="fok")
    assert (nothing["orders"], nothing["fill_ratio_paper"]) == (0, None)


def test_orders_that_say_nothing_are_left_out_with_the_reason() -> None:
    unpriced = Compared(venue="alpha", kind=OrderKind.IOC, terms=None, latency_ns=20_000_000)
    twice = one(Filled(refusal="POST_ONLY"), Filled(refusal="would take"))
    once = one(Filled(refusal="NOTIONAL"), Filled(D(2), D(10_000)))
    got = row([unpriced, twice, once])
    assert got["left_out"] == {NO_PRICE: 1, REFUSED_TWICE: 1}
    assert (got["compared"], got["refused_paper"], got["refused_simulated"]) == (1, 1, 0)
    assert got["fill_ratio_error"] == -1.0


def test_rows_of_all_venues_have_every_order() -> None:
    whole, half = Filled(D(2), D(10_000)), Filled(D(1), D(10_000))
    found = [one(whole, whole), one(half, whole, venue="beta")]
    assert [row(found, name)["fill_ratio_paper"] for name in ("alpha", "beta", "all")] == [
        1.0,
        0.5,
        0.75,
    ]


def test_an_account_that_forgets_what_it_took_is_told_apart() -> None:
    seeds = range(1, 4)

    def price_error_bps(config: Config) -> float:
        found = [each for seed in seeds for each in compare(seed, config)]
        error = row(found, "all", "ioc_again")["price_error_bps"]
        assert error is not None
        return float(error)

    forgets = price_error_bps(Config(paper=PaperConfig(impact_half_life_ms=0)))
    remembers = price_error_bps(Config())
    assert forgets > 2 * abs(remembers)


def test_a_seed_gives_the_same_orders_and_fills() -> None:
    found = compare(3)
    assert found == compare(3)
    assert {each.terms is not None for each in found} == {True}
    assert found != compare(4)
    first = [each for each in found if each.kind is OrderKind.IOC]
    assert first
    assert all(each.paper == each.simulated for each in first), "an order into an untouched book"
