"""Risk books only fills that it can own, and lets no time in the future outrank the present."""

from __future__ import annotations

import pytest

from shared.messages.base import Message, Side, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import ApprovedPlan, TradingStateChanged
from tests.decision_builders import (
    SECOND,
    T0,
    D,
    make_balances,
    make_command,
    make_fill,
    make_opportunity,
    make_order,
    make_ready,
    make_risk,
)


def test_fill_of_a_plan_nobody_knows_is_left_out_and_halts() -> None:
    engine = make_risk()
    out = engine.on_message(make_fill("forged", "alpha", Side.BUY, "1000000"), T0).messages
    (said,) = [m for m in out if isinstance(m, Alert)]
    assert (said.severity, said.code) == (Severity.CRITICAL, "FILL_UNOWNED")
    (state,) = [m for m in out if isinstance(m, TradingStateChanged)]
    assert state.state is TradingState.HALTED and state.reason.startswith("FILL_UNOWNED")
    assert engine.ledger.exposure == {}
    assert engine.counters()["fills_unowned"] == 1
    out = engine.on_message(make_command(CommandKind.RESUME), T0).messages
    assert [m.state for m in out if isinstance(m, TradingStateChanged)] == [TradingState.ACTIVE]


def test_fill_larger_than_its_plan_is_left_out() -> None:
    engine = make_risk()
    (plan,) = [
        m for m in engine.on_message(make_opportunity(), T0).messages if isinstance(m, ApprovedPlan)
    ]
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, "1000000"), T0)
    assert engine.ledger.exposure == {}
    assert engine.counters()["fills_unowned"] == 1


def test_plan_of_the_executors_own_making_owns_its_fills() -> None:
    engine = make_risk()
    engine.on_message(make_order("adopted"), T0)
    engine.on_message(make_fill("adopted", "alpha", Side.BUY, "0.5"), T0)
    assert engine.ledger.exposure == {"BTC": D("0.5")}
    restarted = make_risk()
    restarted.start(engine.checkpoints(), T0)
    late = make_fill("adopted", "alpha", Side.BUY, "0.25", trade_id="late")
    restarted.on_message(late, T0)
    assert restarted.ledger.exposure == {"BTC": D("0.75")}


def test_flood_of_fills_without_an_owner_is_told_now_and_then() -> None:
    engine = make_risk()
    out: list[Message] = []
    for number in range(1_000):
        out += engine.on_message(
            make_fill("x", "alpha", Side.BUY, trade_id=str(number)), T0
        ).messages
    assert sum(isinstance(m, Alert) for m in out) == 10
    assert engine.counters()["fills_unowned"] == 1_000


@pytest.mark.parametrize("ahead_s", [6, 60, 86_400])
def test_balances_dated_in_the_future_do_not_block_later_ones(ahead_s: int) -> None:
    engine = make_risk()
    engine.on_message(make_balances("alpha", T0 + ahead_s * SECOND, USDT=1), T0)
    engine.on_message(make_balances("alpha", T0 + 1, USDT=7), T0 + 1)
    assert engine.ledger.available("alpha", "USDT") == 7


def test_executor_that_was_ready_in_the_future_may_fall_silent() -> None:
    engine = make_risk()
    engine.on_message(make_ready(T0 + 3_600 * SECOND), T0)
    engine.on_message(make_ready(T0 + SECOND, ready=False, reason="draining"), T0 + SECOND)
    out = engine.on_timer(T0 + SECOND).messages
    states = [m for m in out if isinstance(m, TradingStateChanged)]
    assert [s.state for s in states] == [TradingState.HALTED]
