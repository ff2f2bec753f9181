"""A storm of alerts is told by its first ones and its number; what else is said gets out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.risk.engine import RiskEngine
from shared.alerts import BURST_MAX, SUBJECTS_MAX, WINDOW_NS, AlertRate
from shared.bus.alerts import AlertOutlet
from shared.clock import ManualClock
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.execution import ApprovedPlan, PlanOutcome
from tests.decision_builders import (
    SPOT,
    T0,
    D,
    Side,
    announce,
    make_done,
    make_fill,
    make_opportunity,
    make_order,
    make_risk,
    order_id,
)
from tests.executor_model import make_plan
from tests.unit.test_executor_engine import make_world

STORM = 10_000


def alert(code: str = "A", subject: str = "", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(ts_ns=1, service="risk", severity=severity, code=code, text="t", subject=subject)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * WINDOW_NS // 2), st.sampled_from("AB"), st.sampled_from(Severity)
        ),
        max_size=80,
    )
)
def test_the_first_goes_at_once_and_every_one_is_counted(steps: list[tuple[int, str, Severity]]):
    rate, now_ns, told, passed = AlertRate(), 0, 0, 0
    seen: dict[tuple[str, Severity], int] = {}
    for pause_ns, code, severity in steps:
        now_ns += pause_ns
        told += sum(one.count for one in rate.due(now_ns))
        passes = rate.passes(alert(code, severity=severity), now_ns)
        last_ns = seen.get((code, severity))
        if last_ns is None or now_ns - last_ns >= 2 * WINDOW_NS:
            assert passes, "nothing of the kind was said lately"
        seen[code, severity] = now_ns
        told += passes
        passed += 1
    told += sum(one.count for one in rate.due(now_ns + WINDOW_NS))
    assert told == passed
    assert not rate.due(now_ns + 2 * WINDOW_NS) and rate.is_idle


def test_a_storm_that_lasts_is_told_once_per_window() -> None:
    rate, told = AlertRate(), []
    for number in range(100 * 60):  # 100 a second for a minute
        now_ns = number * 10_000_000
        told += rate.due(now_ns)
        told += [alert()] if rate.passes(alert(), now_ns) else []
    told += rate.rest()
    assert len(told) <= BURST_MAX + 7
    assert sum(one.count for one in told) == 6_000
    assert told[-1].text.endswith(" more of the same; the last: t")


def test_critical_alerts_of_different_subjects_all_pass() -> None:
    rate = AlertRate()
    for number in range(1_000):
        assert rate.passes(alert(subject=f"venue-{number}", severity=Severity.CRITICAL), 0)
        assert rate.passes(alert(severity=Severity.WARNING), 0) == (number < BURST_MAX)


def test_what_is_remembered_is_bounded() -> None:
    rate = AlertRate()
    passed = sum(rate.passes(alert(subject=str(n)), 0) for n in range(3 * SUBJECTS_MAX))
    assert passed == SUBJECTS_MAX + BURST_MAX
    assert sum(one.count for one in rate.due(WINDOW_NS)) == 3 * SUBJECTS_MAX - passed


class Outside:
    """What is heard of one process: everything it says goes through its outlet, then time goes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outlet = AlertOutlet("risk", self.clock)
        self.heard: list[Alert] = []

    def hear(self, messages: Sequence[Message]) -> None:
        self.heard += [m for m in self.outlet.outgoing(messages) if isinstance(m, Alert)]

    def counts(self) -> dict[str, int]:
        self.clock.advance(WINDOW_NS)
        self.hear([])
        codes = {one.code for one in self.heard}
        return {code: sum(one.count for one in self.heard if one.code == code) for code in codes}


def live_plan(engine: RiskEngine) -> ApprovedPlan:
    out = engine.on_message(make_opportunity(), T0).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    announce(engine, plan)
    return plan


FORGED = {
    "ends of plans that risk does not hold": (
        "PLAN_NOT_RESERVED",
        lambda plan, n: make_done(f"forged{n}", realized=D(1)),
    ),
    "ends that say exposure is left": (
        "PLAN_FAILED",
        lambda plan, n: make_done(f"forged{n}", outcome=PlanOutcome.FAILED, realized=D(0)),
    ),
    "fills of plans that nobody knows": (
        "FILL_UNOWNED",
        lambda plan, n: make_fill(f"forged{n}", "alpha", Side.BUY),
    ),
    "fills of a plan in flight": (
        "FILL_UNOWNED",
        lambda plan, n: make_fill(plan.plan_id, "alpha", Side.BUY, client_order_id=f"forged{n}"),
    ),
    "orders unlike those on record": (
        "ORDER_UNOWNED",
        lambda plan, n: make_order(
            plan.plan_id,
            venue=f"nowhere{n}",
            client_order_id=order_id(plan.plan_id, "alpha", SPOT, Side.BUY),
        ),
    ),
}


@pytest.mark.parametrize(("code", "forge"), FORGED.values(), ids=FORGED)
def test_a_storm_of_forged_messages_hides_nothing_else(code, forge) -> None:
    engine, outside = make_risk(), Outside()
    plan = live_plan(engine)
    for number in range(STORM):
        outside.hear(engine.on_message(forge(plan, number), T0).messages)
        if number == STORM // 2:
            real = make_done(plan.plan_id, outcome=PlanOutcome.FAILED, residual={"BTC": D("0.1")})
            outside.hear(engine.on_message(real, T0).messages)
    at_once = [one for one in outside.heard if plan.plan_id in one.text and "left over" in one.text]
    assert len(at_once) == 1, "the real failure is told at once"
    counts = outside.counts()
    assert counts[code] == STORM + (code == "PLAN_FAILED")
    assert len(outside.heard) <= 2 * (BURST_MAX + 1) + 1


def test_a_storm_of_forged_plans_is_bounded_too() -> None:
    world, outside = make_world(), Outside()
    bad = make_plan(now_ns=world.now_ns, loss_cap="1000")
    for number in range(STORM):
        forged = msgspec.structs.replace(bad, plan_id=f"forged{number}")
        outside.hear(world.engine.on_message(forged, world.now_ns).messages)
    assert outside.counts() == {"PLAN_REFUSED": STORM}
    assert len(outside.heard) == BURST_MAX + 1
