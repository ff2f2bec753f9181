"""Losses: open positions count, an unknown price is no gain, and too many in a row are a pause."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.checkpoint import LEDGER
from services.risk.engine import RiskEngine
from services.risk.equity import HOUR_NS, MARK_NS_MAX
from services.risk.exposure import DAY_NS
from services.risk.reasons import DenyReason
from shared.config import parse_config
from shared.config_sections import Config
from shared.errors import ConfigError
from shared.messages.base import BookState, Certainty, Side, TradingState
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    FundingPaid,
    RiskReport,
    TradingStateChanged,
)
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    SPOT,
    T0,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_ready,
    make_result,
    make_risk,
    make_view,
)
from tests.unit.test_risk_rounds import BASIS, approve, closing, config, denial, execute, opening

DAILY = {"daily_loss_max": D(50)}


def report_at(engine: RiskEngine, now_ns: int) -> RiskReport:
    """The report of a moment at which the executor is ready and balances are known."""
    return next(m for m in beat(engine, now_ns) if isinstance(m, RiskReport))


def beat(engine: RiskEngine, now_ns: int) -> list[Any]:
    engine.on_message(make_ready(now_ns), now_ns)
    return list(engine.on_timer(now_ns).messages)


def state_at(engine: RiskEngine, now_ns: int) -> TradingStateChanged:
    return next(m for m in beat(engine, now_ns) if isinstance(m, TradingStateChanged))


def holding(**limits: Any) -> RiskEngine:
    """A round that is long 0.1 of spot at 10,000 and short 0.1 of the perpetual."""
    engine = make_risk(config(**limits))
    execute(engine, approve(engine, opening()))
    feed_market(engine)
    return engine


def perp_at(engine: RiskEngine, price: float, now_ns: int, **changes: Any) -> None:
    levels = {"bids": [(price - 1, 9.0)], "asks": [(price + 1, 9.0)]}
    engine.on_message(make_view("gamma", PERP, **levels, seq=9, ts_ns=now_ns, **changes), now_ns)


def test_a_position_that_bleeds_halts_though_nothing_is_realized() -> None:
    engine = holding(**DAILY)
    before = report_at(engine, T0)
    assert state_at(engine, T0).state is TradingState.ACTIVE
    perp_at(engine, 10_700.0, T0 + SECOND)  # short 0.1: about 70 dollars lost
    state_at(engine, T0 + SECOND)
    changed = state_at(engine, T0 + 2 * SECOND)
    assert changed.state is TradingState.REDUCING, "its rounds may be closed"
    assert changed.reason.startswith("DAILY_LOSS: ")
    report = report_at(engine, T0 + 2 * SECOND)
    assert report.realized_today == before.realized_today
    assert report.today["USDT"] == report.realized_today["USDT"] + report.unrealized["USDT"]
    assert report.today["USDT"] < -50
    assert denial(engine, opening(round_id="r2")) is DenyReason.REDUCING
    assert isinstance(approve(engine, closing()), ApprovedPlan)


def test_a_price_of_one_moment_halts_nothing() -> None:
    engine = holding(**DAILY)
    state_at(engine, T0)
    perp_at(engine, 10_700.0, T0 + SECOND)
    state_at(engine, T0 + SECOND)
    perp_at(engine, 10_000.0, T0 + SECOND + MS)
    for second in (2, 3, 4):
        assert state_at(engine, T0 + second * SECOND).state is TradingState.ACTIVE


def test_what_is_gained_elsewhere_makes_up_for_it() -> None:
    """A basis: the perpetual loses what the coin gains, and nothing is lost."""
    engine = holding(**DAILY)
    for venue in ("alpha", "beta", "gamma"):
        levels = {"bids": [(10_699.0, 9.0)], "asks": [(10_701.0, 9.0)]}
        engine.on_message(make_view(venue, SPOT, **levels, seq=9, ts_ns=T0 + SECOND), T0 + SECOND)
    perp_at(engine, 10_700.0, T0 + SECOND)
    for second in (1, 2, 3):
        assert state_at(engine, T0 + second * SECOND).state is TradingState.ACTIVE


def test_the_loss_of_plans_that_have_not_ended_counts() -> None:
    engine = make_risk(make_config(**DAILY))
    for message in make_result("p", "-60"):
        engine.on_message(message, T0)
    changed = state_at(engine, T0 + SECOND)
    assert changed.state is TradingState.HALTED
    assert changed.reason == "DAILY_LOSS: 60 USDT lost today, 50 allowed"


def test_funding_counts() -> None:
    engine = holding(**DAILY)
    engine.on_message(
        FundingPaid(
            ts_ns=T0,
            venue="gamma",
            instrument=PERP,
            payment_id="f",
            amount=D(-55),
            asset="USDT",
            ts_funding_ns=T0,
        ),
        T0,
    )
    assert denial(engine, opening(round_id="r2")) is DenyReason.DAILY_LOSS
    state_at(engine, T0 + SECOND)
    assert state_at(engine, T0 + 2 * SECOND).reason.startswith("DAILY_LOSS")


def test_a_position_without_a_price_counts_its_last_loss_and_is_said() -> None:
    engine = holding(**DAILY)
    perp_at(engine, 10_300.0, T0 + SECOND)
    known = report_at(engine, T0 + SECOND)
    assert (known.marks_estimated, known.today["USDT"] < -25) == ({}, True)
    perp_at(engine, 10_300.0, T0 + SECOND + MS, state=BookState.STALE)
    now_ns = T0 + 2 * SECOND
    report = report_at(engine, now_ns)
    assert list(report.marks_estimated) == [f"gamma|{PERP}"]
    assert "10301.0 1 s ago" in report.marks_estimated[f"gamma|{PERP}"]
    assert report.today["USDT"] < -25, "the coin's books say 10,000, and might be wrong for it"
    for venue in ("alpha", "beta", "gamma"):
        engine.on_message(make_view(venue, SPOT, state=BookState.STALE, seq=9), now_ns)
    now_ns += SECOND
    report = report_at(engine, now_ns)
    assert "10301.0 2 s ago" in report.marks_estimated[f"gamma|{PERP}"]
    assert report.today["USDT"] < -25, "what was lost is not forgotten with its price"
    now_ns += MARK_NS_MAX
    assert report_at(engine, now_ns).today["USDT"] < -25


def test_another_book_prices_it_while_its_own_is_away() -> None:
    """One venue that is down for long must not stop the others."""
    engine = holding(**DAILY)
    perp_at(engine, 10_000.0, T0 + SECOND, state=BookState.STALE)
    now_ns = T0 + 3 * MARK_NS_MAX
    report = report_at(engine, now_ns)
    assert "in another book" in report.marks_estimated[f"gamma|{PERP}"]
    assert engine.ledger.valued["USDT"].certainty is Certainty.ESTIMATED


def test_nothing_is_opened_while_nobody_knows_what_is_lost() -> None:
    """A coin is held, and no LIVE book trades it any more: what it is worth is unknown."""
    engine = holding()
    position = engine.ledger.books.positions(lambda *_: None)[0]
    assert position.unrealized is None
    now_ns = T0 + MARK_NS_MAX + 2 * SECOND
    for venue, name in (("alpha", SPOT), ("beta", SPOT), ("gamma", SPOT), ("gamma", PERP)):
        engine.on_message(make_view(venue, name, state=BookState.GAP, seq=9), T0)
    beat(engine, T0 + SECOND)
    beat(engine, now_ns)
    assert engine.ledger.valued["USDT"].certainty is Certainty.UNKNOWN
    report = report_at(engine, now_ns)
    assert len(report.marks_estimated) == 2
    feed_market(engine)
    assert denial(engine, opening(round_id="r2")) is DenyReason.EQUITY_UNKNOWN
    beat(engine, T0 + SECOND)  # the books are back
    assert isinstance(approve(engine, opening(round_id="r2")), ApprovedPlan)


def test_the_next_day_begins_with_what_is_open_then() -> None:
    engine = holding(daily_loss_max=D(500))
    perp_at(engine, 10_700.0, T0 + SECOND)
    lost = report_at(engine, T0 + SECOND).today["USDT"]
    assert lost < -65
    tomorrow_ns = (T0 // DAY_NS + 1) * DAY_NS
    assert report_at(engine, tomorrow_ns).today["USDT"] == 0
    perp_at(engine, 10_800.0, tomorrow_ns)
    assert report_at(engine, tomorrow_ns + SECOND).today["USDT"] == -10


def test_equity_survives_a_restart() -> None:
    engine = holding(**DAILY, drawdown_max=D(1_000))
    perp_at(engine, 9_500.0, T0 + SECOND)
    peak = report_at(engine, T0 + SECOND)
    assert peak.drawdown["USDT"] == 0
    restored = RiskEngine(config(**DAILY, drawdown_max=D(1_000)))
    restored.start(engine.checkpoints(), T0 + SECOND)
    feed_market(restored)
    perp_at(restored, 10_000.0, T0 + 2 * SECOND)
    report = report_at(restored, T0 + 2 * SECOND)
    assert report.drawdown["USDT"] == D(50)
    assert report.equity["USDT"] == peak.equity["USDT"] - 50
    assert report.today["USDT"] == peak.today["USDT"] - 50


def test_equity_is_saved_with_every_price_without_the_ledger() -> None:
    engine = holding(**DAILY)
    saved: dict[str, bytes] = {}
    worth = set()
    for second in range(4):
        perp_at(engine, 10_100.0 + 100 * second, T0 + second * SECOND)
        beat(engine, T0 + second * SECOND)
        written = engine.checkpoints()
        assert (LEDGER in written) is (second == 0)
        saved |= written
        restored = RiskEngine(config(**DAILY))
        restored.start(saved, T0 + second * SECOND)
        assert restored.ledger.equity == engine.ledger.equity
        worth.add(engine.ledger.equity["USDT"].today)
    assert len(worth) == 4


def lose(engine: RiskEngine, plan: str, result: str, now_ns: int = T0) -> list[Any]:
    for message in make_result(plan, result):
        engine.on_message(msgspec.structs.replace(message, ts_ns=now_ns), now_ns)
    done = make_done(plan, now_ns, realized=D(result), strategy=BASIS)
    return list(engine.on_message(done, now_ns).messages)


def test_a_drawdown_halts_until_an_operator_resumes_and_begins_a_new_peak() -> None:
    engine = make_risk(make_config(drawdown_max=D(30)))
    lose(engine, "a", "25")
    lose(engine, "b", "-20")
    assert state_at(engine, T0).state is TradingState.ACTIVE
    lose(engine, "c", "-10.5")
    changed = state_at(engine, T0)
    assert changed.reason == "DRAWDOWN: 30.5 USDT below the peak, 30 allowed"
    assert changed.state is TradingState.HALTED
    engine.on_message(make_command(CommandKind.RESUME, T0 + SECOND), T0 + SECOND)
    assert state_at(engine, T0 + SECOND).state is TradingState.ACTIVE
    lose(engine, "d", "-29")
    assert state_at(engine, T0 + 2 * SECOND).state is TradingState.ACTIVE


def test_the_rolling_loss_looks_back_over_midnight_and_ends_by_itself() -> None:
    engine = make_risk(make_config(rolling_loss_max=D(30), daily_loss_max=D(25)))
    midnight_ns = (T0 // DAY_NS + 1) * DAY_NS
    evening_ns, morning_ns = midnight_ns - HOUR_NS, midnight_ns + HOUR_NS
    beat(engine, evening_ns)
    lose(engine, "a", "-20", evening_ns)
    beat(engine, morning_ns)
    lose(engine, "b", "-11", morning_ns)
    changed = state_at(engine, morning_ns + SECOND)
    assert changed.reason == "ROLLING_LOSS: 31 USDT lost in 24 hours, 30 allowed"
    for hour in range(1, 26):
        beat(engine, morning_ns + hour * HOUR_NS)
    later_ns = morning_ns + 26 * HOUR_NS
    engine.on_message(make_balances("alpha", later_ns), later_ns)
    beat(engine, later_ns)
    engine.on_message(make_command(CommandKind.RESUME, later_ns), later_ns)
    assert state_at(engine, later_ns).state is TradingState.ACTIVE


@pytest.fixture
def streaky() -> Config:
    return config(losses_in_row_max=3, loss_pause_minutes=10)


def decided(engine: RiskEngine, found: Any, now_ns: int) -> ApprovedPlan | Denied:
    fresh = msgspec.structs.replace(found, ts_ns=now_ns, ts_expire_ns=now_ns + SECOND)
    engine.on_message(make_ready(now_ns), now_ns)
    for venue, name in (("alpha", SPOT), ("beta", SPOT), ("gamma", SPOT), ("gamma", PERP)):
        engine.on_message(make_view(venue, name, ts_ns=now_ns, seq=3), now_ns)
    published = engine.on_message(fresh, now_ns).messages
    return next(m for m in published if isinstance(m, ApprovedPlan | Denied))


def test_three_losses_in_a_row_are_a_pause_of_that_strategy_alone(streaky: Config) -> None:
    engine = make_risk(streaky)
    lose(engine, "a", "-1")
    lose(engine, "b", "-1")
    lose(engine, "c", "1")
    lose(engine, "d", "-1")
    lose(engine, "e", "-1")
    plan = decided(engine, opening(round_id="r0"), T0)
    assert isinstance(plan, ApprovedPlan)
    engine.on_message(make_done(plan.plan_id), T0)
    told = {m.code: m.subject for m in lose(engine, "f", "-1") if isinstance(m, Alert)}
    assert told["LOSING_STREAK"] == BASIS
    answer = decided(engine, opening(round_id="r1"), T0 + SECOND)
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.context["losses"]) == (DenyReason.LOSING_STREAK.value, "3")
    other = decided(engine, opening(round_id="r1", strategy_id="other"), T0 + SECOND)
    assert isinstance(other, ApprovedPlan)
    engine.on_message(make_done(other.plan_id), T0 + SECOND)
    assert report_at(engine, T0 + SECOND).paused == {BASIS: T0 + 600 * SECOND}
    restored = RiskEngine(streaky)
    restored.start(engine.checkpoints(), T0)
    feed_market(restored)
    assert isinstance(decided(restored, opening(round_id="r3"), T0 + SECOND), Denied)
    after_ns = T0 + 600 * SECOND
    assert isinstance(decided(engine, opening(round_id="r4"), after_ns), ApprovedPlan)


def test_a_resume_ends_the_pause(streaky: Config) -> None:
    engine = make_risk(streaky)
    for plan in "abc":
        lose(engine, plan, "-1")
    engine.on_message(make_command(CommandKind.RESUME, T0 + SECOND), T0 + SECOND)
    assert isinstance(decided(engine, opening(round_id="r1"), T0 + SECOND), ApprovedPlan)


def test_an_unknown_result_ends_no_streak(streaky: Config) -> None:
    engine = make_risk(streaky)
    lose(engine, "a", "-1")
    lose(engine, "b", "-1")
    unsure = make_done("c", realized=D(5), strategy=BASIS, certainty=Certainty.UNKNOWN)
    engine.on_message(unsure, T0)
    lose(engine, "d", "-1")
    assert report_at(engine, T0).paused


def test_a_round_counts_once_by_what_it_came_to(streaky: Config) -> None:
    """Its opening alone always costs fees: that is no loss yet."""
    engine = make_risk(streaky)
    for number in range(3):
        name = f"r{number}"
        execute(engine, approve(engine, opening(round_id=name)))
        assert not report_at(engine, T0).paused
        execute(engine, approve(engine, closing(round_id=name)))
    (round_, *_) = engine.ledger.rounds.rounds.values()
    is_loss = round_.books.result("USDT").realized < 0
    assert bool(report_at(engine, T0).paused) is is_loss


def test_a_fee_paid_in_another_asset_needs_no_price() -> None:
    """It was spent and valued then; nobody trades it here."""
    engine = make_risk(make_config())
    fill = make_fill("p", "alpha", Side.BUY, "0.1", fee=D("0.01"), fee_asset="BNB", fee_quote=D(6))
    engine.on_message(fill, T0)
    assert report_at(engine, T0).marks_estimated == {}


def test_a_limit_of_zero_is_none_and_below_zero_a_mistake() -> None:
    assert parse_config("[risk]\ndrawdown_max = 0\n", "arb.toml").risk.drawdown_max == 0
    with pytest.raises(ConfigError, match=r"risk\.drawdown_max = -1; give a number above 0"):
        parse_config("[risk]\ndrawdown_max = -1\n", "arb.toml")
