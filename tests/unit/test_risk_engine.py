"""Risk's memory and its trading state: fills, ends, operators, restarts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.exposure import FILLS_REMEMBERED_MAX
from services.risk.halt_causes import HaltCause
from services.risk.reasons import DenyReason
from services.risk.trading import EXECUTOR_SILENCE_NS, PLAN_OVERDUE_NS
from shared.config_sections import Config
from shared.messages.base import Certainty, Message, Side, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    PlanOutcome,
    RiskReport,
    TradingStateChanged,
)
from tests.decision_builders import (
    BOOKS,
    MS,
    SECOND,
    T0,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_opportunity,
    make_ready,
    make_result,
    make_risk,
    make_view,
)

DAY = 86_400 * SECOND


def states(out: Sequence[Message]) -> list[TradingStateChanged]:
    return [m for m in out if isinstance(m, TradingStateChanged)]


def alerts(out: Sequence[Message]) -> list[str]:
    return [f"{m.severity}:{m.code}" for m in out if isinstance(m, Alert)]


def state_of(engine: RiskEngine, now_ns: int) -> TradingStateChanged:
    """The state as the timer repeats it."""
    (change,) = states(engine.on_timer(now_ns).messages)
    return change


def report_of(engine: RiskEngine, now_ns: int) -> RiskReport:
    (report,) = [m for m in engine.on_timer(now_ns).messages if isinstance(m, RiskReport)]
    return report


def approve(engine: RiskEngine, now_ns: int = T0, seq: int = 1) -> ApprovedPlan:
    out = engine.on_message(make_opportunity(seq=seq, now_ns=now_ns), now_ns).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    return plan


def revive(engine: RiskEngine, now_ns: int, config: Config | None = None) -> RiskEngine:
    """The engine after a kill -9: only its checkpoint is left."""
    other = RiskEngine(config or make_config())
    other.start(engine.checkpoints(), now_ns)
    assert other.ledger == engine.ledger
    return other


def ready(engine: RiskEngine, now_ns: int) -> Sequence[Message]:
    feed_market(engine, now_ns)
    return engine.on_message(make_ready(now_ns), now_ns).messages


def test_starts_halted_and_becomes_active_when_everything_is_known() -> None:
    engine = RiskEngine(make_config())
    first = state_of(engine, T0)
    assert first.state is TradingState.HALTED
    assert first.reason.startswith(HaltCause.STARTING)
    engine.on_message(make_ready(), T0)
    for venue in ("alpha", "beta"):
        engine.on_message(make_balances(venue), T0)
    assert state_of(engine, T0).reason == "STARTING: balances unknown: gamma"
    (change,) = states(engine.on_message(make_balances("gamma"), T0 + 7).messages)
    assert (change.state, change.reason, change.ts_since_ns) == (TradingState.ACTIVE, "", T0 + 7)


def test_state_and_report_are_repeated_every_second() -> None:
    engine = make_risk()
    engine.on_timer(T0)
    assert engine.next_deadline_ns() == T0 + SECOND
    repeated = state_of(engine, T0 + SECOND)
    assert (repeated.state, repeated.ts_since_ns) == (TradingState.ACTIVE, T0)


def test_silent_executor_holds_and_its_return_lets_go() -> None:
    engine = make_risk()
    late = T0 + EXECUTOR_SILENCE_NS + 1
    change = state_of(engine, late)
    assert (change.state, change.reason) == (
        TradingState.HALTED,
        "WAITING: the executor is silent",
    )
    (change,) = states(engine.on_message(make_ready(late), late).messages)
    assert change.state is TradingState.ACTIVE
    assert not states(engine.on_message(make_ready(T0, ready=False), late).messages), (
        "late news is no news"
    )


def test_operator_halts_and_resumes() -> None:
    engine = make_risk()
    (change,) = states(engine.on_message(make_command(CommandKind.HALT), T0).messages)
    assert (change.state, change.reason) == (TradingState.HALTED, "OPERATOR: HALT by ann")
    assert not states(engine.on_message(make_command(CommandKind.HALT), T0).messages), (
        "pressing twice"
    )
    assert not states(engine.on_message(make_command(CommandKind.REDUCE), T0).messages), (
        "does not loosen"
    )
    (change,) = states(engine.on_message(make_command(CommandKind.RESUME), T0).messages)
    assert change.state is TradingState.ACTIVE
    (change,) = states(engine.on_message(make_command(CommandKind.REDUCE, T0 + 1), T0 + 1).messages)
    assert change.state is TradingState.REDUCING
    (change,) = states(engine.on_message(make_command(CommandKind.FLATTEN), T0).messages)
    assert change.state is TradingState.HALTED


def test_the_trading_state_names_the_newest_commands_that_it_follows() -> None:
    """Who said one knows by it that risk has taken it; HALTED alone may have another reason."""
    engine = make_risk()
    assert state_of(engine, T0).commands == []
    for number in range(10):
        command = make_command(CommandKind.HALT, T0 + number)
        engine.on_message(msgspec.structs.replace(command, command_id=f"halt-{number}"), T0)
    assert state_of(engine, T0 + SECOND).commands == [f"halt-{number}" for number in range(2, 10)]


def test_a_command_that_is_told_again_lifts_no_later_halt() -> None:
    engine = make_risk()
    told = make_command(CommandKind.RESUME)
    engine.on_message(told, T0)
    engine.on_message(make_command(CommandKind.HALT, T0 + 1), T0 + 1)
    assert not states(engine.on_message(told, T0 + 2).messages)
    engine = revive(engine, T0 + SECOND)
    ready(engine, T0 + SECOND)
    assert not states(engine.on_message(told, T0 + SECOND).messages)
    assert state_of(engine, T0 + SECOND).state is TradingState.HALTED
    (change,) = states(
        engine.on_message(make_command(CommandKind.RESUME, T0 + SECOND), T0 + SECOND).messages
    )
    assert change.state is TradingState.ACTIVE


def test_halt_survives_a_restart() -> None:
    engine = make_risk()
    engine.on_message(make_command(CommandKind.HALT), T0)
    engine = revive(engine, T0 + SECOND)
    ready(engine, T0 + SECOND)
    assert state_of(engine, T0 + SECOND).state is TradingState.HALTED
    engine.on_message(make_command(CommandKind.RESUME), T0 + SECOND)
    assert state_of(engine, T0 + SECOND).state is TradingState.ACTIVE


def test_without_start_active_each_start_needs_a_resume() -> None:
    config = make_config(start_active=False)
    engine = make_risk(config)
    assert state_of(engine, T0).reason.startswith(HaltCause.NOT_STARTED)
    engine.on_message(make_command(CommandKind.RESUME), T0)
    assert state_of(engine, T0).state is TradingState.ACTIVE
    engine = revive(engine, T0 + SECOND, config)
    ready(engine, T0 + SECOND)
    assert state_of(engine, T0 + SECOND).reason.startswith(HaltCause.NOT_STARTED)


@pytest.mark.parametrize(
    "end",
    [
        {"outcome": PlanOutcome.FAILED, "residual": {"BTC": D("0.1")}},
        {"outcome": PlanOutcome.FAILED},
        {"outcome": PlanOutcome.UNWOUND, "residual": {"BTC": D("0.001")}},
    ],
)
def test_leftover_exposure_halts_until_resume(end: dict[str, object]) -> None:
    engine = make_risk()
    plan = approve(engine)
    out = engine.on_message(make_done(plan.plan_id, **end), T0).messages
    assert alerts(out) == [f"{Severity.CRITICAL}:PLAN_FAILED"]
    (change,) = states(out)
    assert change.state is TradingState.HALTED
    engine = revive(engine, T0)
    ready(engine, T0)
    assert state_of(engine, T0).reason.startswith("PLAN_FAILED")
    engine.on_message(make_command(CommandKind.RESUME), T0)
    assert state_of(engine, T0).state is TradingState.ACTIVE


def test_residual_of_zero_is_even() -> None:
    engine = make_risk()
    out = engine.on_message(
        make_done(approve(engine).plan_id, residual={"BTC": D("0.000")}), T0
    ).messages
    assert not out


def end_with(engine: RiskEngine, plan_id: str, result: str) -> list[Message]:
    for fill in make_result(plan_id, result):
        assert not engine.on_message(fill, T0).messages
    return list(engine.on_message(make_done(plan_id, realized=D(0)), T0).messages)


def test_report_values_what_is_open_where_it_could_be_closed() -> None:
    engine = make_risk()
    fee = {"fee": D(1), "fee_asset": "USDT", "price": D(10_000)}
    engine.on_message(make_fill("p", "alpha", Side.BUY, "0.5", **fee), T0)
    perp = make_fill("p", "gamma", Side.SELL, "0.5", instrument="BTC/USDT:USDT", **fee)
    engine.on_message(perp, T0)
    report = report_of(engine, T0)
    assert report.exposure == {"BTC": 0}
    assert (report.realized, report.fees) == ({"USDT": D(-2)}, {"USDT": D(2)})
    spot, short = report.positions
    assert (spot.venue, spot.qty, spot.entry, spot.close_price) == ("", D("0.5"), 10_000, 9_999)
    assert (short.venue, short.qty, short.close_price) == ("gamma", D("-0.5"), 10_001)
    assert report.unrealized == {"USDT": D("-0.5") + D("-0.5")}
    assert report.inventory["alpha"] == {"BTC": D("0.5"), "USDT": D("-5001")}
    thin = make_view("gamma", "BTC/USDT:USDT", asks=[(10_001.0, 0.4)])
    engine.on_message(thin, T0)
    assert report_of(engine, T0).unrealized == {"USDT": None}, "the book does not hold it"


def test_daily_loss_halts_until_the_next_day() -> None:
    engine = make_risk(make_config(daily_loss_max=D(100)))
    out = end_with(engine, "a", "-60")
    assert not states(out)
    out = end_with(engine, "b", "-40.01")
    assert f"{Severity.CRITICAL}:DAILY_LOSS" in alerts(out)
    assert states(out)[0].reason == "DAILY_LOSS: 100.01 USDT lost today, 100 allowed"
    out = engine.on_message(make_command(CommandKind.RESUME), T0).messages
    assert alerts(out) == [f"{Severity.WARNING}:RESUME_REFUSED"]
    assert "RESUME refused" in states(out)[0].reason
    tomorrow = (T0 // DAY + 1) * DAY
    ready(engine, tomorrow)
    assert state_of(engine, tomorrow).state is TradingState.HALTED, "a new day alone is no excuse"
    engine.on_message(make_command(CommandKind.RESUME, tomorrow), tomorrow)
    assert state_of(engine, tomorrow).state is TradingState.ACTIVE
    assert report_of(engine, tomorrow).realized == {"USDT": D("-100.01")}
    assert report_of(engine, tomorrow).realized_today == {"USDT": 0}


def test_late_news_of_yesterday_is_not_todays_loss() -> None:
    engine = make_risk()
    tomorrow = (T0 // DAY + 1) * DAY
    for fill in make_result("a", "-5"):
        engine.on_message(fill, tomorrow)
    engine.on_timer(tomorrow)
    for fill in (*make_result("b", "-7"), *make_result("c", "-1", tomorrow)):
        engine.on_message(fill, tomorrow)
    report = report_of(engine, tomorrow)
    assert report.realized == {"USDT": D("-13")}
    assert report.realized_today == {"USDT": D("-1")}


def test_plan_that_never_ends_halts_and_stays_reserved() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + PLAN_OVERDUE_NS + 1
    ready(engine, late)
    assert not alerts(engine.on_timer(late - 1).messages)
    assert alerts(engine.on_timer(late).messages) == [f"{Severity.CRITICAL}:PLAN_OVERDUE"]
    assert not alerts(engine.on_timer(late + SECOND).messages), "said once"
    assert plan.plan_id in engine.ledger.reservations
    engine.on_message(make_ready(late + SECOND, open_plans=1), late + SECOND)
    out = engine.on_message(make_command(CommandKind.RESUME), late + SECOND).messages
    assert alerts(out) == [f"{Severity.WARNING}:RESUME_REFUSED"]
    assert plan.plan_id in engine.ledger.reservations
    engine.on_message(make_ready(late + 2 * SECOND), late + 2 * SECOND)
    again = make_command(CommandKind.RESUME, late + 2 * SECOND)
    out = engine.on_message(again, late + 2 * SECOND).messages
    assert alerts(out) == [f"{Severity.WARNING}:PLAN_RELEASED"]
    assert states(out)[0].state is TradingState.ACTIVE
    assert not engine.ledger.reservations


def test_resume_does_not_release_while_the_executor_is_away() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + PLAN_OVERDUE_NS + 1
    engine.on_timer(late)
    engine.on_message(make_command(CommandKind.RESUME), late)
    assert plan.plan_id in engine.ledger.reservations
    assert state_of(engine, late).state is TradingState.HALTED


def waits(engine: RiskEngine, plan: ApprovedPlan, now_ns: int) -> None:
    """The executor says that the plan waits for beta, which stands down."""
    feed_market(engine, now_ns)
    change = make_ready(
        now_ns,
        open_plans=1,
        unknown_orders=1,
        venues_down={"beta": "no answer"},
        plans_waiting={plan.plan_id: "sell 0.1 BTC/USDT at beta is UNKNOWN; up to 0.1 BTC"},
    )
    engine.on_message(change, now_ns)


def test_a_plan_that_waits_for_a_venue_that_stands_down_stops_only_that_venue() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + PLAN_OVERDUE_NS + 1
    waits(engine, plan, late)
    out = engine.on_timer(late).messages
    assert alerts(out) == [f"{Severity.CRITICAL}:PLAN_WAITS"]
    (change,) = [m for m in out if isinstance(m, Alert)]
    assert "up to 0.1 BTC" in change.text
    assert state_of(engine, late).state is TradingState.ACTIVE
    assert plan.plan_id in engine.ledger.reservations, "and counts for every limit"
    (denied,) = engine.on_message(make_opportunity(seq=2, now_ns=late), late).messages
    assert isinstance(denied, Denied)
    assert denied.reason == DenyReason.VENUE_DOWN
    other = make_opportunity(sell=BOOKS[3], seq=3, now_ns=late)
    (approved,) = engine.on_message(other, late).messages
    assert isinstance(approved, ApprovedPlan)
    engine.on_message(make_done(approved.plan_id, now_ns=late), late)
    engine = revive(engine, late)
    waits(engine, plan, late + 2 * PLAN_OVERDUE_NS)
    assert not alerts(engine.on_timer(late + 2 * PLAN_OVERDUE_NS).messages), "said once"


def test_a_plan_that_waits_no_longer_must_end() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + PLAN_OVERDUE_NS + 1
    waits(engine, plan, late)
    engine.on_timer(late)
    engine.on_message(make_ready(late + SECOND, open_plans=1), late + SECOND)
    out = engine.on_timer(late + SECOND).messages
    assert alerts(out) == [f"{Severity.INFO}:PLAN_WAITS_NO_MORE"]
    later = late + 2 * SECOND + PLAN_OVERDUE_NS
    engine = revive(engine, late + SECOND)
    engine.on_message(make_ready(later, open_plans=1), later)
    assert alerts(engine.on_timer(later).messages) == [f"{Severity.CRITICAL}:PLAN_OVERDUE"]
    assert state_of(engine, later).state is TradingState.HALTED


def test_resume_ends_a_halt_for_a_plan_that_turns_out_to_wait() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + PLAN_OVERDUE_NS + 1
    assert alerts(engine.on_timer(late).messages) == [f"{Severity.CRITICAL}:PLAN_OVERDUE"]
    waits(engine, plan, late)
    out = engine.on_message(make_command(CommandKind.RESUME), late).messages
    assert not alerts(out)
    assert state_of(engine, late).state is TradingState.ACTIVE
    assert plan.plan_id in engine.ledger.reservations


def test_time_spent_dead_does_not_make_a_plan_overdue() -> None:
    engine = make_risk()
    plan = approve(engine)
    late = plan.ts_expire_ns + 10 * PLAN_OVERDUE_NS
    engine = revive(engine, late)
    assert not alerts(engine.on_timer(late + PLAN_OVERDUE_NS).messages)
    assert alerts(engine.on_timer(late + PLAN_OVERDUE_NS + 1).messages)


def test_exposure_is_net_of_fees_taken_in_the_base_asset() -> None:
    engine = make_risk()
    buy = make_fill("p", "alpha", Side.BUY, "0.5", fee=D("0.0005"), fee_asset="BTC")
    sell = make_fill("p", "beta", Side.SELL, "0.4", fee=D("0.01"), fee_asset="BNB")
    for fill in (buy, sell, buy, sell):
        engine.on_message(fill, T0)
    assert report_of(engine, T0).exposure == {"BTC": D("0.0995")}
    assert engine.counters()["fills"] == 2
    assert engine.counters()["duplicates"] == 2


def test_fee_told_later_is_added_once() -> None:
    engine = make_risk()
    unknown = make_fill("p", "alpha", Side.BUY, "0.5", fee=None, fee_asset="")
    known = make_fill("p", "alpha", Side.BUY, "0.5", fee=D("0.001"), fee_asset="BTC")
    engine.on_message(unknown, T0)
    assert report_of(engine, T0).certainty is Certainty.ESTIMATED
    engine.on_message(unknown, T0)
    assert engine.counters()["duplicates"] == 1
    for fill in (known, unknown, known):
        engine.on_message(fill, T0)
    assert report_of(engine, T0).exposure == {"BTC": D("0.499")}
    assert report_of(engine, T0).certainty is Certainty.KNOWN


def test_memory_of_fills_is_bounded() -> None:
    engine = make_risk()
    for number in range(FILLS_REMEMBERED_MAX + 50):
        engine.on_message(make_fill("p", "alpha", Side.BUY, trade_id=str(number)), T0)
    assert len(engine.ledger.fills_seen) == FILLS_REMEMBERED_MAX


def test_report_says_how_well_it_is_known() -> None:
    engine = RiskEngine(make_config())
    assert report_of(engine, T0).certainty is Certainty.UNKNOWN
    for venue, _ in BOOKS:
        engine.on_message(make_balances(venue), T0)
    engine.on_message(make_ready(ready=False), T0)
    assert report_of(engine, T0).certainty is Certainty.UNKNOWN, "not reconciled"
    engine = make_risk()
    assert report_of(engine, T0).certainty is Certainty.KNOWN
    engine.on_message(make_done("a", certainty=Certainty.ESTIMATED), T0)
    engine.on_message(make_done("b"), T0)
    assert report_of(engine, T0).certainty is Certainty.ESTIMATED


def test_end_of_a_plan_counts_once() -> None:
    engine = make_risk()
    plan = approve(engine)
    assert report_of(engine, T0).reserved == D("1005")
    for _ in range(2):
        assert not alerts(engine.on_message(make_done(plan.plan_id), T0).messages)
    report = report_of(engine, T0)
    assert (report.reserved, report.plans_in_flight) == (0, 0)
    out = engine.on_message(make_done("stranger", realized=D(3)), T0).messages
    assert alerts(out) == [f"{Severity.WARNING}:PLAN_NOT_RESERVED"]
    own = make_done("flatten", outcome=PlanOutcome.UNWOUND, realized=D(3), is_approved=False)
    assert not alerts(engine.on_message(own, T0).messages), "risk approves no plan of these"


def test_approved_plan_is_still_reserved_after_a_kill() -> None:
    engine = make_risk()
    plan = approve(engine)
    engine = revive(engine, T0 + MS)
    assert list(engine.ledger.reservations) == [plan.plan_id]
    for venue, _ in BOOKS:
        assert engine.ledger.available(venue, "USDT") is not None
    engine.on_message(make_done(plan.plan_id), T0)
    assert not engine.ledger.reservations


def test_old_balances_do_not_replace_newer_ones_and_unused_assets_are_not_kept() -> None:
    engine = make_risk()
    engine.on_message(make_balances("alpha", T0 + 2, USDT=5, DOGE=3), T0)
    engine.on_message(make_balances("alpha", T0 + 1, USDT=7), T0)
    assert engine.ledger.available("alpha", "USDT") == 5
    assert engine.ledger.balances["alpha"].free == {"USDT": D(5)}
    engine.on_message(make_balances("delta", T0, USDT=7), T0)
    assert "delta" not in engine.ledger.balances
