"""Risk books only fills that it can own, and lets no time in the future outrank the present."""

from __future__ import annotations

import msgspec
import pytest

from services.risk.engine import RiskEngine
from shared.domain.ownership import (
    ORDERS_PER_PLAN_MAX,
    PLANS_ENDED_MAX,
    PLANS_OPEN_MAX,
    OrdersOnRecord,
)
from shared.messages.base import Side, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import ApprovedPlan, OrderPurpose, TradingStateChanged
from tests.decision_builders import (
    SECOND,
    T0,
    D,
    announce,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_opportunity,
    make_order,
    make_ready,
    make_risk,
)


def approve(engine: RiskEngine) -> ApprovedPlan:
    out = engine.on_message(make_opportunity(), T0).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    return plan


def test_fill_of_a_plan_nobody_knows_is_left_out_and_halts() -> None:
    engine = make_risk()
    out = engine.on_message(make_fill("forged", "alpha", Side.BUY, "1000000"), T0).messages
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "FILL_UNOWNED")
    (state,) = [m for m in out if isinstance(m, TradingStateChanged)]
    assert state.state is TradingState.HALTED and state.reason.startswith("FILL_UNOWNED")
    assert engine.ledger.exposure == {}
    assert engine.counters()["fills_unowned"] == 1
    out = engine.on_message(make_command(CommandKind.RESUME), T0).messages
    assert [m.state for m in out if isinstance(m, TradingStateChanged)] == [TradingState.ACTIVE]


def test_fill_larger_than_its_plan_is_left_out() -> None:
    engine = make_risk()
    plan = approve(engine)
    announce(engine, plan)
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


def test_forged_fill_of_a_live_plan_is_left_out() -> None:
    """The plan is in flight and its order is not: no order, no fill."""
    engine = make_risk()
    plan = approve(engine)
    forged = make_fill(plan.plan_id, "alpha", Side.BUY, client_order_id="forged")
    for announced in (False, True):
        if announced:
            announce(engine, plan)
        out = engine.on_message(forged, T0).messages
        (alert,) = [m for m in out if isinstance(m, Alert)]
        assert (alert.severity, alert.code) == (Severity.CRITICAL, "FILL_UNOWNED")
    assert engine.ledger.exposure == {}
    assert engine.state.trading.published is TradingState.HALTED


def test_late_fill_of_an_ended_plan_is_owned_and_not_twice() -> None:
    engine = make_risk()
    plan = approve(engine)
    announce(engine, plan)
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, "0.06"), T0)
    engine.on_message(make_done(plan.plan_id), T0)
    restarted = make_risk()
    restarted.start(engine.checkpoints(), T0)
    for trade_id in ("late", "late", "later"):
        late = make_fill(plan.plan_id, "alpha", Side.BUY, "0.04", trade_id=trade_id)
        restarted.on_message(late, T0)
    assert restarted.ledger.exposure == {"BTC": D("0.1")}
    assert restarted.counters()["fills_unowned"] == 1, "more than was ordered"
    assert restarted.counters()["duplicates"] == 1


def test_fee_told_late_is_taken_from_the_order_only() -> None:
    engine = make_risk()
    plan = approve(engine)
    announce(engine, plan)
    fill = make_fill(plan.plan_id, "alpha", Side.BUY, fee=None, fee_asset="", fee_quote=None)
    engine.on_message(fill, T0)
    told = msgspec.structs.replace(fill, fee=D("0.001"), fee_asset="BTC")
    engine.on_message(msgspec.structs.replace(told, client_order_id="forged"), T0)
    assert (engine.ledger.exposure["BTC"], engine.counters()["fills_unowned"]) == (D("0.1"), 1)
    engine.on_message(told, T0)
    assert engine.ledger.exposure["BTC"] == D("0.099")


def test_orders_on_record_are_bounded_and_a_plan_that_stays_open_keeps_its_own() -> None:
    engine = make_risk()
    stuck = approve(engine)
    announce(engine, stuck)
    for number in range(PLANS_OPEN_MAX + PLANS_ENDED_MAX):
        plan_id = f"plan{number}"
        engine.on_message(make_order(plan_id), T0)
        engine.on_message(make_done(plan_id, realized=D(0)), T0)
    for number in range(ORDERS_PER_PLAN_MAX + 10):
        engine.on_message(make_order("many", client_order_id=str(number)), T0)
    orders = engine.ledger.orders
    assert (len(orders.ended), len(orders.open["many"])) == (PLANS_ENDED_MAX, ORDERS_PER_PLAN_MAX)
    engine.on_message(make_fill(stuck.plan_id, "alpha", Side.BUY), T0)
    assert engine.ledger.exposure == {"BTC": D("0.1")}
    for number in range(PLANS_OPEN_MAX):
        engine.on_message(make_order(f"open{number}"), T0)
    assert len(orders.open) == PLANS_OPEN_MAX


def test_an_order_may_even_out_all_that_its_plan_has_filled_late() -> None:
    """Orders told to be empty were made up for, and filled: together more than the legs."""
    engine = make_risk()
    plan = approve(engine)
    announce(engine, plan)
    evening = {"leg_index": 2, "purpose": OrderPurpose.HEDGE}
    for number in range(3):
        again = {"client_order_id": f"again{number}"}
        engine.on_message(make_order(plan.plan_id, qty=D("0.1"), **evening, **again), T0)
    back = {"client_order_id": "back", "venue": "beta", "side": Side.SELL, **evening}
    for number in range(3):
        fill = {"client_order_id": f"again{number}", "trade_id": str(number)}
        engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, **fill), T0)
    out = engine.on_message(make_order(plan.plan_id, qty=D("0.6"), **back), T0).messages
    assert [m.code for m in out if isinstance(m, Alert)] == ["ORDER_UNOWNED"]
    assert engine.on_message(make_order(plan.plan_id, qty=D("0.3"), **back), T0).messages == []
    sold = make_fill(plan.plan_id, "beta", Side.SELL, "0.3", client_order_id="back")
    engine.on_message(sold, T0)
    assert engine.ledger.exposure["BTC"] == 0
    assert engine.counters()["fills_unowned"] == 0


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


def test_orders_of_an_ended_plan_still_change_and_are_saved_so() -> None:
    engine = make_risk()
    plan = approve(engine)
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id, realized=D(0)), T0)
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, "0.06"), T0)
    adopted = make_order(plan.plan_id, client_order_id="late", qty=D("0.02"), attempt=1)
    engine.on_message(adopted, T0)
    assert plan.plan_id not in engine.ledger.orders.open
    restarted = RiskEngine(make_config())
    restarted.start(engine.checkpoints(), T0)
    for part in (engine, restarted):
        over = make_fill(plan.plan_id, "alpha", Side.BUY, "0.05", trade_id="over")
        assert "0.06 are filled" in part.ledger.ownership_flaw(over)
        late = make_fill(plan.plan_id, "alpha", Side.BUY, "0.02", trade_id="late")
        assert not part.ledger.ownership_flaw(msgspec.structs.replace(late, client_order_id="late"))
        assert part.ledger.orders.refuses(msgspec.structs.replace(adopted, qty=D(1)))


def test_saved_orders_of_an_ended_plan_are_proved_when_they_are_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="Expected"):
        msgspec.json.decode(b'{"ended":{"p":{"c":["v","BTC/USDT","buy",[]]}}}', type=OrdersOnRecord)
