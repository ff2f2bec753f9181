"""Stops of signals: kept by risk with the round, reached at what closing it would get."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from services.risk.stops import ATTEMPT_NS, RETRY_NS, UNWATCHED_NS
from shared.messages.arb import Target
from shared.messages.base import BookState, Message, Side
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import ApprovedPlan, Denied, PlanOutcome, RiskReport
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    T0,
    announce,
    make_balances,
    make_command,
    make_done,
    make_fill,
    make_info,
    make_leg,
    make_offer,
    make_ready,
    make_view,
)
from tests.unit.test_risk_signals import approve, config, execute, risk, signal

_seqs = iter(range(10**6, 10**9))


def show(
    engine: RiskEngine,
    bids: list[tuple[float, float]],
    now_ns: int = T0,
    state: BookState = BookState.LIVE,
    age_ms: int = 0,
) -> list[Message]:
    """Let risk see the perpetual's book; its asks are a tenth above its best bid."""
    asks = [(bids[0][0] + 0.1, 10.0)]
    view = make_view("gamma", PERP, bids=bids, asks=asks, seq=next(_seqs))
    view = msgspec.structs.replace(view, state=state, ts_ns=now_ns - age_ms * MS)
    return engine.on_message(view, now_ns).messages


def held(target: Target, **changes: Any) -> RiskEngine:
    engine = risk()
    execute(engine, approve(engine, signal(target, **changes)))
    return engine


def plans(out: list[Message]) -> list[ApprovedPlan]:
    return [each for each in out if isinstance(each, ApprovedPlan)]


def codes(out: list[Message]) -> list[str]:
    return [each.code for each in out if isinstance(each, Alert)]


def position(engine: RiskEngine, now_ns: int = T0) -> StrategyPosition:
    out = engine.on_timer(now_ns).messages
    return [each for each in out if isinstance(each, StrategyPosition)][-1]


@pytest.mark.parametrize(
    ("target", "before", "at", "side"),
    [
        (Target.LONG, 58_800.1, 58_800.0, Side.SELL),
        (Target.SHORT, 61_199.7, 61_199.8, Side.BUY),
    ],
)
def test_a_stop_is_reached_at_what_closing_would_get(
    target: Target, before: float, at: float, side: Side
) -> None:
    """A long is closed at its bids, a short at its asks; 2 % of 60,000 and of 59,999.9."""
    engine = held(target)
    stop = position(engine).stop
    assert stop == D("58800.0") if target is Target.LONG else stop == D("61199.8")
    shift = 0.0 if target is Target.LONG else 0.1
    assert plans(show(engine, [(before - shift, 10.0)])) == []
    out = show(engine, [(at - shift, 10.0)])
    (plan,) = plans(out)
    assert (plan.intent, plan.legs[0].side, plan.legs[0].qty) == (Intent.CLOSE, side, D("0.387"))
    assert codes(out) == ["STOP_REACHED"]
    execute(engine, plan)
    assert position(engine).state is RoundState.CLOSED
    assert engine.counters()["stops_reached"] == engine.counters()["stop_plans"] == 1
    assert engine.gauges()["stops_watched"] == 0
    assert plans(show(engine, [(at - shift, 10.0)])) == []


def test_the_price_is_the_average_of_what_would_be_taken() -> None:
    """The best bid is above the stop; 0.387 sold into this book gets less than 58,800."""
    engine = held(Target.LONG)
    assert plans(show(engine, [(58_900.0, 0.2), (58_700.0, 10.0)])) == []  # 58,803.3592
    (plan,) = plans(show(engine, [(58_900.0, 0.19), (58_700.0, 10.0)]))  # 58,798.1912
    assert plan.legs[0].price_limit == 58_700


def test_the_dead_strategys_stop_works_after_a_restart_of_risk() -> None:
    before = held(Target.LONG)
    saved = before.checkpoints()
    engine = RiskEngine(config())
    engine.start(saved, T0)
    engine.on_message(make_info("gamma", PERP, taker_fee_bps=D(5)), T0)
    engine.on_message(make_ready(), T0)
    for venue in ("alpha", "beta", "gamma"):
        engine.on_message(make_balances(venue), T0)
    assert position(engine).stop == D("58800.0")
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    assert (plan.intent, plan.legs[0].qty, plan.strategy) == (Intent.CLOSE, D("0.387"), "mom")


def test_a_stop_once_reached_stays_so_until_nothing_is_held() -> None:
    """Also where the price comes back, risk restarts and the first close fills in part."""
    engine = held(Target.LONG)
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    announce(engine, plan)
    fill = make_fill(plan.plan_id, "gamma", Side.SELL, "0.1", instrument=PERP, price=D(58_000))
    fill = msgspec.structs.replace(fill, strategy="mom", round_id="r1")
    engine.on_message(fill, T0)
    engine.on_message(make_done(plan.plan_id), T0)
    assert engine.ledger.rounds.rounds["mom|r1"].ending == "STOP"
    again = RiskEngine(config())
    again.start(engine.checkpoints(), T0)
    again.on_message(make_info("gamma", PERP, taker_fee_bps=D(5)), T0)
    again.on_message(make_ready(), T0)
    for venue in ("alpha", "beta", "gamma"):
        again.on_message(make_balances(venue), T0)
    out = show(again, [(60_500.0, 10.0)])
    (plan,) = plans(out)
    assert plan.legs[0].qty == D("0.287")


@pytest.mark.parametrize(
    ("state", "age_ms"), [(BookState.STALE, 0), (BookState.DOWN, 0), (BookState.LIVE, 60_000)]
)
def test_a_book_that_prices_nothing_reaches_no_stop_and_is_alerted(
    state: BookState, age_ms: int
) -> None:
    engine = held(Target.LONG)
    out = show(engine, [(50_000.0, 10.0)], T0, state, age_ms)
    assert plans(out) == []
    now_ns = T0
    told: list[str] = []
    for _ in range(UNWATCHED_NS // SECOND + 3):
        out = engine.on_timer(now_ns).messages
        assert plans(out) == []
        told += codes(out)
        now_ns += SECOND
    assert told == ["STOP_UNWATCHED"]
    engine.on_message(make_ready(now_ns), now_ns)
    out = show(engine, [(50_000.0, 10.0)], now_ns)
    assert len(plans(out)) == 1
    assert codes(out) == ["STOP_WATCHED", "STOP_REACHED"]


def test_a_position_ends_by_its_time_too() -> None:
    engine = held(Target.LONG, horizon_ns=5 * SECOND)
    now_ns = T0 + 5 * SECOND
    engine.on_message(make_ready(now_ns), now_ns)
    assert plans(show(engine, [(60_100.0, 10.0)], now_ns - 1)) == []
    out = show(engine, [(60_100.0, 10.0)], now_ns)
    assert len(plans(out)) == 1
    assert codes(out) == ["STOP_TIME"]
    assert engine.counters()["stops_timed_out"] == 1


def test_what_keeps_a_stop_from_closing_is_alerted_once_and_tried_again() -> None:
    engine = held(Target.LONG)
    engine.on_message(make_command(CommandKind.HALT), T0)
    out = show(engine, [(58_000.0, 10.0)])
    (denied,) = [each for each in out if isinstance(each, Denied)]
    assert denied.reason == DenyReason.HALTED
    assert codes(out) == ["STOP_REACHED", "STOP_DENIED"]
    assert show(engine, [(58_000.0, 10.0)]) == []  # within the second
    now_ns = T0 + RETRY_NS
    out = show(engine, [(58_000.0, 10.0)], now_ns)
    assert codes(out) == []
    engine.on_message(make_ready(now_ns), now_ns)
    engine.on_message(make_command(CommandKind.RESUME, now_ns), now_ns)
    assert plans(show(engine, [(58_000.0, 10.0)], now_ns)) == []
    now_ns += RETRY_NS
    engine.on_message(make_ready(now_ns), now_ns)
    assert len(plans(show(engine, [(58_000.0, 10.0)], now_ns))) == 1


def test_reducing_lets_a_stop_work() -> None:
    engine = held(Target.LONG)
    engine.on_message(make_command(CommandKind.REDUCE), T0)
    assert len(plans(show(engine, [(58_000.0, 10.0)]))) == 1


def test_a_close_that_filled_nothing_is_made_again_though_no_view_comes() -> None:
    """An orderbook that is away sends none, and what it sent last may price for a while."""
    engine = held(Target.LONG)
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    announce(engine, plan)
    assert engine.next_deadline_ns() == 0, "in flight: nothing but the report is due"
    engine.on_timer(T0)
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.UNFILLED), T0 + 10 * MS)
    again_ns = T0 + ATTEMPT_NS
    assert engine.next_deadline_ns() == again_ns
    out = engine.on_timer(again_ns).messages
    (again,) = plans(out)
    assert again.plan_id != plan.plan_id
    assert not any(isinstance(each, RiskReport) for each in out), "the report keeps its own time"
    assert engine.next_deadline_ns() == T0 + SECOND


def test_while_no_book_prices_a_close_it_is_looked_at_a_few_times_a_second() -> None:
    engine = held(Target.LONG)
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    announce(engine, plan)
    engine.on_timer(T0)
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.UNFILLED), T0)
    show(engine, [(58_000.0, 10.0)], T0 + 300 * MS, state=BookState.GAP)
    times = []
    while (due_ns := engine.next_deadline_ns()) is not None and due_ns < T0 + SECOND:
        assert plans(engine.on_timer(due_ns).messages) == []
        times.append((due_ns - T0) // MS)
    assert times == [500, 700, 900]


def test_a_close_that_filled_nothing_is_made_again_in_the_same_book() -> None:
    engine = held(Target.LONG)
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id), T0)
    again = plans(engine.on_timer(T0 + SECOND).messages)
    assert [each.legs for each in again] == [plan.legs]
    assert again[0].plan_id != plan.plan_id


def test_one_plan_is_in_flight_at_a_time() -> None:
    engine = held(Target.LONG)
    assert len(plans(show(engine, [(58_000.0, 10.0)]))) == 1
    assert plans(show(engine, [(57_000.0, 10.0)])) == []


def test_what_opens_without_a_signal_has_no_stop() -> None:
    engine = held(Target.LONG)
    known = engine.ledger.rounds.rounds["mom|r1"]
    known.stop_bps = D(0)
    engine.ledger.rounds.touch("mom|r1")
    assert show(engine, [(1_000.0, 10.0)])[0].stop is None
    assert plans(show(engine, [(1_000.0, 10.0)])) == []


def test_nothing_is_added_to_a_round_whose_stop_was_reached() -> None:
    """The stop stays reached: what is added would be closed at once, with both fees lost."""
    engine = held(Target.LONG)
    (plan,) = plans(show(engine, [(58_000.0, 10.0)]))
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.UNFILLED), T0)
    leg = make_leg("gamma", Side.BUY, "0.01", "58000.1", PERP)
    found = make_offer([leg], intent=Intent.OPEN, round_id="r1", strategy_id="mom")
    answer = engine.on_message(found, T0).messages[0]
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.context["ending"]) == (DenyReason.ROUND_STATE.value, "STOP")
