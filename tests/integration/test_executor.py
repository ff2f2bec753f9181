"""The executor as a process: signed orders at simulated venues, faults, kills, a clean stop."""

from __future__ import annotations

import signal
import time
import urllib.request

import pytest

from services.executor.standdown import REFUSALS_MAX
from shared.bus.signing import SIGNATURE
from shared.codec import FIELD, encode
from shared.lease_terms import TTL_MS
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import (
    ExecutorReady,
    OrderEvent,
    OrderStatus,
    PlanDone,
    PlanOutcome,
)
from shared.streams import CTL_COMMAND, EXEC_PLAN
from tests.integration.executor_stack import D, executor_stack
from tests.support import eventually_sync

DUST = D("0.001")
"""Base units: less than the coarsest lot."""
EVEN = {PlanOutcome.FILLED, PlanOutcome.HEDGED, PlanOutcome.UNWOUND, PlanOutcome.UNFILLED}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with executor_stack(tmp_path_factory.mktemp("executor")) as made:
        made.start_ready()
        yield made


@pytest.fixture(autouse=True)
def calm(stack):
    """Faults of one test do not happen in the next, nor does who refused still stand down."""
    yield
    if stack.published(ExecutorReady)[-1].venues_down:
        stack.command(CommandKind.RESUME)
        eventually_sync(lambda: not stack.published(ExecutorReady)[-1].venues_down)
    request = stack.described["control"] + "/fault"
    with urllib.request.urlopen(urllib.request.Request(request, method="DELETE"), timeout=5):
        pass


@pytest.mark.parametrize(
    "buy, sell", [("binance", "kraken"), ("kraken", "binanceusdm"), ("binanceusdm", "binance")]
)
def test_both_legs_are_filled_and_booked(stack, buy, sell) -> None:
    plan = stack.send(buy, sell)
    done = stack.end_of(plan)
    assert done.outcome in {PlanOutcome.FILLED, PlanOutcome.HEDGED}
    assert done.fees > 0
    events = stack.published(OrderEvent, plan_id=plan.plan_id)
    assert [e.status for e in events[:2]] == [OrderStatus.SUBMITTED] * 2, "both on record first"
    assert any(e.ts_sent_ns for e in events)
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


@pytest.mark.parametrize("venue", ["binance", "kraken", "binanceusdm"])
def test_a_refused_leg_is_evened_out(stack, venue) -> None:
    other = "kraken" if venue == "binance" else "binance"
    stack.fault("reject", venue)
    plan = stack.send(other, venue)
    done = stack.end_of(plan)
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}, done
    assert done.realized > -plan.loss_cap - 1
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


@pytest.mark.parametrize("venue", ["binance", "kraken", "binanceusdm"])
def test_a_venue_that_refuses_everything_stands_down(stack, venue) -> None:
    first, second = sorted({"binance", "kraken", "binanceusdm"} - {venue})
    stack.fault("reject", venue, count=1_000)
    ends = [stack.end_of(stack.send(first, venue)) for _ in range(REFUSALS_MAX + 1)]
    assert ends[-1].outcome is PlanOutcome.REFUSED
    assert f"{venue} " in ends[-1].reason
    assert "stands down" in ends[-1].reason
    (down,) = stack.published(ExecutorReady)[-1].venues_down
    assert down.startswith(venue)
    assert stack.end_of(stack.send(first, second)).outcome in EVEN
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


@pytest.mark.parametrize("venue", ["binance", "kraken", "binanceusdm"])
def test_a_lost_answer_is_asked_for_and_nothing_is_sent_again(stack, venue) -> None:
    other = "kraken" if venue == "binance" else "binance"
    stack.fault("lose_answer", venue)
    plan = stack.send(venue, other)
    done = stack.end_of(plan)
    assert done.outcome in EVEN
    events = stack.published(OrderEvent, plan_id=plan.plan_id, venue=venue, attempt=0)
    assert OrderStatus.UNKNOWN in {e.status for e in events}
    assert events[-1].status in {OrderStatus.FILLED, OrderStatus.CANCELED}
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


@pytest.mark.parametrize("venue", ["binance", "kraken", "binanceusdm"])
def test_a_request_that_never_arrived_is_known_not_to_have(stack, venue) -> None:
    other = "kraken" if venue == "binance" else "binance"
    stack.fault("http_5xx", venue, path="rder")
    plan = stack.send(venue, other)
    assert stack.end_of(plan).outcome in EVEN
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


def test_a_partial_fill_is_evened_out(stack) -> None:
    stack.fault("partial_fill", "binance", fraction=0.4)
    plan = stack.send("binance", "binanceusdm")
    assert stack.end_of(plan).outcome in EVEN
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()


def test_a_leg_left_naked_by_a_lost_lease_is_evened_out_by_the_same_process(stack) -> None:
    stack.fault("partial_fill", "binance", fraction=0.4)
    plan = stack.send("binance", "kraken")
    eventually_sync(lambda: stack.published(OrderEvent, plan_id=plan.plan_id), what="orders")
    process = stack.executor
    process.send_signal(signal.SIGSTOP)
    time.sleep(TTL_MS / 1_000 + 0.2)
    since_ns = time.time_ns()
    process.send_signal(signal.SIGCONT)
    log = stack.folder / "executor.log"
    eventually_sync(lambda: "lease_lost" in log.read_text(), what="a lease that is lost")
    assert stack.end_of(plan).outcome in EVEN
    assert abs(stack.exposure()) < DUST
    stack.check_ledger()
    assert process.poll() is None
    eventually_sync(
        lambda: any(m.ready and m.ts_ns > since_ns for m in stack.published(ExecutorReady)),
        what="an executor that is ready again",
    )


def test_late_and_halted_plans_are_not_started(stack) -> None:
    late = stack.send("binance", "kraken", ttl_s=-1)
    assert stack.end_of(late).outcome is PlanOutcome.EXPIRED
    stack.command(CommandKind.HALT)
    eventually_sync(lambda: "halted" in stack.published(ExecutorReady)[-1].reason)
    refused = stack.send("binance", "kraken")
    assert stack.end_of(refused).outcome is PlanOutcome.REFUSED
    stack.command(CommandKind.RESUME)
    eventually_sync(lambda: "halted" not in stack.published(ExecutorReady)[-1].reason)
    assert not stack.published(OrderEvent, plan_id=late.plan_id)
    assert not stack.published(OrderEvent, plan_id=refused.plan_id)


def test_nothing_is_sent_for_what_risk_did_not_sign_or_signed_long_ago(stack) -> None:
    done = stack.send("binance", "kraken")
    stack.end_of(done)
    signed = stack.redis.xrevrange(EXEC_PLAN.key(), count=1)[0][1]
    before, pid = len(stack.published(OrderEvent)), stack.executor.pid
    forged = stack.make_plan("binance", "kraken")
    payload = encode(EXEC_PLAN, [forged])
    stack.redis.xadd(EXEC_PLAN.key(), {FIELD: payload})
    stack.redis.xadd(EXEC_PLAN.key(), {FIELD: payload, SIGNATURE: signed[SIGNATURE]})
    stack.redis.xadd(EXEC_PLAN.key(), signed)  # as risk signed it: it was carried out
    resume = Command(ts_ns=time.time_ns(), command_id="x", kind=CommandKind.FLATTEN, operator="x")
    stack.redis.xadd(CTL_COMMAND.key(), {FIELD: encode(CTL_COMMAND, [resume])})
    after = stack.send("kraken", "binance")
    assert stack.end_of(after).outcome in EVEN
    assert stack.published(PlanDone, plan_id=forged.plan_id) == []
    assert {e.plan_id for e in stack.published(OrderEvent)[before:]} == {after.plan_id}
    letters = [letter for _, letter in stack.redis.xrange("{arb}:dead.exec.plan")]
    assert [(x[b"m"], x[b"reason"]) for x in letters] == [
        (payload, b"it is not signed"),
        (payload, b"its signature is not of the plan key"),
    ]
    alerts = eventually_sync(lambda: stack.published(Alert, code="ENTRY_UNVERIFIED"))
    assert alerts[0].severity is Severity.CRITICAL
    assert stack.redis.xlen("{arb}:dead.ctl.command") == 1
    assert stack.executor.pid == pid
    assert stack.executor.poll() is None, "nothing restarts for it"
    stack.check_ledger()


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 20])
def test_killed_in_the_middle_of_a_plan_it_owns_every_fill(stack, delay_ms) -> None:
    plan = stack.send("binance", "kraken")
    if delay_ms:
        time.sleep(delay_ms / 1_000)
    stack.kill()
    stack.start_ready()
    done = stack.end_of(plan, timeout_s=30)
    assert done.outcome in {*EVEN, PlanOutcome.EXPIRED}
    stack.check_ledger()
    assert abs(stack.exposure()) < DUST


def test_it_stops_in_order_when_asked_to(stack) -> None:
    plan = stack.send("binance", "kraken")
    eventually_sync(lambda: stack.published(OrderEvent, plan_id=plan.plan_id), what="orders")
    stack.executor.send_signal(signal.SIGTERM)
    assert stack.executor.wait(25) == 0
    assert stack.end_of(plan).outcome in EVEN
    stack.check_ledger()
