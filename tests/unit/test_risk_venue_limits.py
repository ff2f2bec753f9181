"""Rules on the venues of a plan's legs: what they stop and let through, with which figures."""

from __future__ import annotations

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from shared.config_sections import Config, ExecutorConfig
from shared.messages.base import BookState
from shared.messages.execution import Denied
from tests.decision_builders import MS, SECOND, SPOT, T0, make_config, make_risk, make_view
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
