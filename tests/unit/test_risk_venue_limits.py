"""Rules on the venues of a plan's legs: what they stop and let through, with which figures."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.order_rates import SECONDS_KEPT, OrderRates
from services.risk.reasons import DenyReason
from shared.config import parse_config
from shared.config_sections import Config, ExecutorConfig
from shared.errors import ConfigError
from shared.messages.base import BookState
from shared.messages.execution import ApprovedPlan, Denied
from tests.decision_builders import (
    MS,
    SECOND,
    SPOT,
    T0,
    announce,
    feed_market,
    make_config,
    make_done,
    make_opportunity,
    make_ready,
    make_risk,
    make_view,
)
from tests.unit.test_risk_limits import BETA, GOOD, approved, decision
from tests.unit.test_risk_rounds import approve, closing, config, denial, execute, opening

OTHER = "ETH/USDT"


def sends(made: Config) -> Config:
    """The configuration of an executor that sends its orders to venues."""
    return msgspec.structs.replace(made, executor=ExecutorConfig(mode="simulated"))


def make_sending(**limits: int) -> RiskEngine:
    return make_risk(sends(make_config(**limits)))


def context_of(engine: RiskEngine, reason: DenyReason, now_ns: int = T0) -> dict[str, str]:
    answer = decision(engine, GOOD, now_ns)
    assert isinstance(answer, Denied), answer
    assert answer.reason == reason.value
    return answer.context


def tell(
    engine: RiskEngine,
    venue: str,
    delay_ms: int | None,
    *,
    instrument: str = SPOT,
    ts_recv_ns: int = T0,
    state: BookState = BookState.LIVE,
) -> None:
    """A venue's message that was received so much later, by our clock, than it says it was sent."""
    ts_venue_ns = None if delay_ms is None else ts_recv_ns - delay_ms * MS
    view = make_view(venue, instrument, state=state)
    times = {"ts_recv_ns": ts_recv_ns, "ts_venue_ns": ts_venue_ns}
    engine.on_message(msgspec.structs.replace(view, **times), T0)


@pytest.mark.parametrize("behind_ms", [-3_000, -1_001, 1_001, 3_000])
@pytest.mark.parametrize("venue", ["alpha", "beta"])
def test_a_venue_whose_clock_is_off_opens_nothing(venue: str, behind_ms: int) -> None:
    engine = make_sending()
    tell(engine, venue, behind_ms)
    told = context_of(engine, DenyReason.CLOCK_SKEW)
    assert told == {"venue": venue, "behind_ms": str(behind_ms), "max_ms": "1000"}


@pytest.mark.parametrize("behind_ms", [-1_000, 0, 1_000])
def test_a_clock_just_within_the_limit_passes(behind_ms: int) -> None:
    engine = make_sending()
    tell(engine, "beta", behind_ms)
    approved(engine, GOOD)


@pytest.mark.parametrize(("limit", "behind_ms"), [(0, 3_600_000), (5_000, -5_000)])
def test_the_limit_is_configured_and_may_be_none(limit: int, behind_ms: int) -> None:
    engine = make_sending(clock_skew_ms_max=limit)
    tell(engine, "beta", behind_ms)
    approved(engine, GOOD)


def test_a_venue_that_does_not_say_its_time_is_not_judged() -> None:
    engine = make_sending()
    tell(engine, "beta", None)
    approved(engine, GOOD)


def test_one_old_message_is_no_clock_that_is_behind_where_newer_ones_are_not() -> None:
    engine = make_sending()
    tell(engine, "beta", 60_000)
    context_of(engine, DenyReason.CLOCK_SKEW)
    tell(engine, "beta", 40, instrument=OTHER)
    approved(engine, GOOD)


def test_another_book_shows_the_clock_where_this_one_does_not() -> None:
    engine = make_sending()
    tell(engine, "beta", None)
    tell(engine, "beta", -2_500, instrument=OTHER)
    told = context_of(engine, DenyReason.CLOCK_SKEW)
    assert told == {"venue": "beta", "behind_ms": "-2500", "max_ms": "1000"}


def test_what_another_book_said_long_ago_is_no_evidence() -> None:
    engine = make_sending()
    tell(engine, "beta", 3_000)
    tell(engine, "beta", 40, instrument=OTHER, ts_recv_ns=T0 - 2 * SECOND - 1)
    assert context_of(engine, DenyReason.CLOCK_SKEW)["behind_ms"] == "3000"
    tell(engine, "beta", 40, instrument=OTHER, ts_recv_ns=T0 - 2 * SECOND)
    approved(engine, GOOD)


def test_a_book_that_is_not_trusted_is_denied_for_that() -> None:
    engine = make_sending()
    tell(engine, BETA[0], 3_000, state=BookState.STALE)
    context_of(engine, DenyReason.BOOK_NOT_LIVE)


def test_a_clock_that_is_off_keeps_rounds_from_opening_and_not_from_closing() -> None:
    engine = make_risk(sends(config()))
    execute(engine, approve(engine, opening()))
    tell(engine, "alpha", 3_000)
    approve(engine, closing())
    assert denial(engine, opening(round_id="r2")) is DenyReason.CLOCK_SKEW


def test_on_paper_no_venue_refuses_an_order_for_its_time() -> None:
    engine = make_risk()
    tell(engine, "beta", 3_000)
    approved(engine, GOOD)


def maintained(made: Config, *windows: str) -> Config:
    """The configuration with windows of maintenance of the venue alpha."""
    alpha = msgspec.structs.replace(made.venues["alpha"], maintenance=windows)
    return msgspec.structs.replace(made, venues={**made.venues, "alpha": alpha})


WINDOW = "2023-11-14T22:00Z/2023-11-14T22:14Z"
"""Until 40 s after T0."""


def test_nothing_is_opened_in_a_window_of_maintenance() -> None:
    engine = make_risk(maintained(make_config(), "03:00-04:00", WINDOW))
    told = context_of(engine, DenyReason.VENUE_MAINTENANCE)
    assert told == {"venue": "alpha", "window": WINDOW, "left_ms": "40000"}


def test_other_venues_and_other_times_are_traded() -> None:
    engine = make_risk(maintained(make_config(), WINDOW))
    approved(engine, make_opportunity(buy=("beta", SPOT), sell=("gamma", SPOT)))
    engine = make_risk(maintained(make_config(), "22:13-22:14", WINDOW), T0 + 40 * SECOND)
    approved(engine, make_opportunity(now_ns=T0 + 40 * SECOND), T0 + 40 * SECOND)


def test_a_round_is_closed_in_a_window_and_none_opened() -> None:
    engine = make_risk(maintained(config(), "22:13-22:14"), T0 - 60 * SECOND)
    execute(engine, approve(engine, opening(), T0 - 60 * SECOND), T0 - 60 * SECOND)
    feed_market(engine, T0)
    engine.on_message(make_ready(T0), T0)
    assert denial(engine, opening(round_id="r2")) is DenyReason.VENUE_MAINTENANCE
    approve(engine, closing())


def test_a_window_that_is_none_is_refused_when_the_configuration_is_read() -> None:
    text = '[venues.alpha]\ninstruments = ["BTC/USDT"]\nmaintenance = ["{}"]\n'
    read = parse_config(text.format("Thu 06:00-08:00"), "arb.toml")
    assert read.venues["alpha"].maintenance == ("Thu 06:00-08:00",)
    with pytest.raises(ConfigError, match=r"^arb\.toml: venues\.alpha\.maintenance: 'Thu' is no "):
        parse_config(text.format("Thu"), "arb.toml")


def test_no_venue_is_sent_more_orders_in_a_minute() -> None:
    engine = make_risk(make_config(orders_per_minute_max=5))  # one order a side of its book so far
    begun = approved(engine, GOOD)
    told = decision(engine, make_opportunity(buy=BETA, sell=("alpha", SPOT), seq=3))
    assert isinstance(told, ApprovedPlan), "four each: two on record, one each of two plans"
    announce(engine, begun)
    approved(engine, make_opportunity(buy=("alpha", SPOT), sell=("gamma", SPOT), seq=4))
    answer = decision(engine, make_opportunity(buy=("alpha", SPOT), sell=BETA, seq=5))
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.ORDER_RATE.value
    assert answer.context == {"venue": "alpha", "orders": "6", "max": "5"}


def test_orders_are_counted_for_a_minute_each_once_and_through_a_restart() -> None:
    made = make_config(orders_per_minute_max=3)
    engine = make_risk(made)
    plan = approved(engine, GOOD)
    announce(engine, plan)
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id, outcome="UNFILLED", realized=D(0)), T0)
    again = RiskEngine(made)
    again.start(engine.checkpoints(), T0)
    for now_ns, is_denied in ((T0 + 60 * SECOND, True), (T0 + 61 * SECOND, False)):
        feed_market(again, now_ns)
        again.on_message(make_ready(now_ns), now_ns)
        found = make_opportunity(now_ns=now_ns, seq=now_ns % 7 + 2)
        answer = decision(again, found, now_ns)
        assert isinstance(answer, Denied) is is_denied, answer
        if isinstance(answer, Denied):
            assert answer.context == {"venue": "alpha", "orders": "4", "max": "3"}


def test_a_round_is_closed_whatever_the_rate_of_orders() -> None:
    engine = make_risk(config(orders_per_minute_max=5))  # gamma has four on record
    execute(engine, approve(engine, opening()))
    assert denial(engine, opening(round_id="r2")) is DenyReason.ORDER_RATE
    approve(engine, closing())


def test_rates_keep_a_minute_by_seconds() -> None:
    rates = OrderRates()
    for second in range(200):
        rates.count("alpha", T0 + second * SECOND)
    assert len(rates.counts["alpha"]) == SECONDS_KEPT
    assert rates.in_last_minute("alpha", T0 + 199 * SECOND) == SECONDS_KEPT
    assert rates.in_last_minute("alpha", T0 + 209 * SECOND) == SECONDS_KEPT - 10
    assert rates.in_last_minute("beta", T0) == 0
