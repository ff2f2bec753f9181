"""Forge any field of an order, a fill or a plan's end: what is not ours is never booked."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.risk.engine import RiskEngine
from shared.messages.base import Message, Side, TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanOutcome
from shared.watch.collector import Collector
from tests.decision_builders import (
    T0,
    make_config,
    make_done,
    make_fill,
    make_opportunity,
    make_orders,
    make_risk,
)

FORGED: dict[str, Any] = {
    "plan_id": ["other", "p"],
    "client_order_id": ["other"],
    "venue": ["beta", "gamma", "nowhere"],
    "instrument": ["ETH/USDT", "BTC/USDT:USDT", "BTC/USD"],
    "side": [Side.SELL],
    "qty": [D("0.100000001"), D("0.2"), D(1_000_000)],
}
"""Fields that a fill shares with its order, and values that disagree with it."""
ORDER_FORGED: dict[str, Any] = {
    "venue": ["beta", "nowhere"],
    "instrument": ["ETH/USDT", "BTC/USDT:USDT"],
    "side": [Side.SELL],
    "qty": [D("0.2"), D(1_000_000)],
    "leg_index": [7],
}


def forgeries(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """At least one field, any together."""
    choices = {name: st.sampled_from(values) for name, values in fields.items()}
    return st.fixed_dictionaries({}, optional=choices).filter(bool)


def begun() -> tuple[RiskEngine, ApprovedPlan, list[OrderEvent]]:
    engine = make_risk()
    out = engine.on_message(make_opportunity(), T0).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    return engine, plan, make_orders(plan)


def codes(out: Sequence[Message]) -> list[tuple[Severity, str]]:
    return [(m.severity, m.code) for m in out if isinstance(m, Alert)]


@settings(max_examples=200, deadline=None)
@given(forged=forgeries(FORGED), is_ended=st.booleans(), restarts=st.booleans())
def test_a_fill_that_disagrees_with_its_order_is_not_booked(
    forged: dict[str, Any], is_ended: bool, restarts: bool
) -> None:
    engine, plan, orders = begun()
    collector = Collector()
    for message in orders:
        engine.on_message(message, T0)
        collector.on_message(message)
    if is_ended:
        done = make_done(plan.plan_id, realized=D(0), outcome=PlanOutcome.UNFILLED)
        engine.on_message(done, T0)
        collector.on_message(done)
    if restarts:
        saved = engine.checkpoints()
        engine = RiskEngine(make_config())
        engine.start(saved, T0)
    true = make_fill(plan.plan_id, "alpha", Side.BUY)
    false = msgspec.structs.replace(true, trade_id="forged", **forged)
    out = engine.on_message(false, T0).messages
    assert (Severity.CRITICAL, "FILL_UNOWNED") in codes(out)
    assert engine.state.trading.published is TradingState.HALTED
    assert engine.ledger.exposure == {} and engine.counters()["fills_unowned"] == 1
    engine.on_message(true, T0)
    assert engine.ledger.exposure == {"BTC": D("0.1")}, "the true one is booked all the same"
    for fill in (false, true, true):
        collector.on_message(fill)
    assert collector.books.exposure == {"BTC": D("0.1")}
    assert (len(collector.fills), collector.fills_unowned) == (1, 1)


@settings(max_examples=100, deadline=None)
@given(qtys=st.lists(st.integers(1, 60), min_size=1, max_size=8), repeats=st.integers(1, 3))
def test_no_more_is_booked_of_an_order_than_was_ordered(qtys: list[int], repeats: int) -> None:
    engine, plan, orders = begun()
    left = D(100)
    for order in orders * repeats:  # said again, as after a restart
        engine.on_message(order, T0)
    for number, qty in enumerate(qtys):
        fill = make_fill(plan.plan_id, "alpha", Side.BUY, f"0.{qty:03}", trade_id=str(number))
        left -= qty if qty <= left else 0
        for message in [fill, *orders] * repeats:
            engine.on_message(message, T0)
    assert engine.ledger.exposure.get("BTC", D(0)) == (100 - left) / 1000


@settings(max_examples=100, deadline=None)
@given(forged=forgeries(ORDER_FORGED), is_first=st.booleans())
def test_an_order_that_disagrees_with_its_plan_owns_nothing(
    forged: dict[str, Any], is_first: bool
) -> None:
    engine, plan, orders = begun()
    false = msgspec.structs.replace(orders[0], **forged)
    out: list[Message] = []
    for order in (false, orders[0]) if is_first else (orders[0], false):
        out += engine.on_message(order, T0).messages
    assert codes(out) == [(Severity.CRITICAL, "ORDER_UNOWNED")]
    assert engine.counters()["orders_unowned"] == 1
    engine.on_message(msgspec.structs.replace(fill_of(false), trade_id="forged"), T0)
    booked = engine.ledger.positions.get("alpha|BTC/USDT", D(0))
    assert set(engine.ledger.positions) <= {"alpha|BTC/USDT"} and booked in {D(0), D("0.1")}
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY), T0)
    assert engine.ledger.exposure == {"BTC": D("0.1")}


@settings(max_examples=60, deadline=None)
@given(
    forged=forgeries({"base": ["ETH", "USDT"], "quote": ["EUR"], "plan_id": ["other"]}),
    outcome=st.sampled_from(PlanOutcome),
)
def test_an_end_that_disagrees_with_its_plan_ends_nothing(
    forged: dict[str, Any], outcome: PlanOutcome
) -> None:
    engine, plan, _ = begun()
    true = make_done(plan.plan_id, realized=D(0), outcome=PlanOutcome.UNFILLED)
    out = engine.on_message(msgspec.structs.replace(true, outcome=outcome, **forged), T0).messages
    assert plan.plan_id in engine.ledger.reservations
    if "plan_id" not in forged:
        assert codes(out) == [(Severity.CRITICAL, "PLAN_END_UNOWNED")]
    engine.on_message(true, T0)
    assert not engine.ledger.reservations


@settings(max_examples=60, deadline=None)
@given(forged=st.sampled_from(PlanOutcome), repeats=st.integers(1, 3))
def test_a_forged_end_does_not_hide_that_exposure_is_left(
    forged: PlanOutcome, repeats: int
) -> None:
    engine, plan, _ = begun()
    engine.on_message(make_done(plan.plan_id, realized=D(0), outcome=forged), T0)
    true = make_done(plan.plan_id, outcome=PlanOutcome.FAILED, residual={"BTC": D("0.1")})
    for _ in range(repeats):
        engine.on_message(true, T0)
    assert engine.state.trading.published is TradingState.HALTED
    assert "PLAN_FAILED" in engine.state.trading.trips
    assert engine.counters()["plans_ended"] == 1 + (forged is not PlanOutcome.FAILED)


def fill_of(order: OrderEvent) -> Fill:
    """What fills all of an order."""
    return make_fill(
        order.plan_id,
        order.venue,
        order.side,
        str(order.qty),
        instrument=order.instrument,
        client_order_id=order.client_order_id,
    )
