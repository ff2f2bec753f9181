"""Fills of plans that the executor adopted without a record: whose they turn out to be."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.adopted_fills import ADOPTED_FILLS_MAX
from shared.messages.base import Side
from shared.messages.execution import PlanOutcome
from shared.messages.rounds import RoundState
from tests.decision_builders import T0, make_done, make_fill, make_risk, order_of
from tests.unit.test_risk_rounds import BASIS, approve, closing, config, execute, opened, told


@pytest.mark.parametrize("tells", ["end", "fill"])
def test_a_fill_adopted_before_its_round_was_known_is_booked_to_the_round(tells: str) -> None:
    """Records of what evened out a late fill were lost; it was found again before the late fill."""
    engine = opened()
    execute(engine, approve(engine, closing()))
    assert told(engine).state is RoundState.CLOSED
    back = make_fill("late", "alpha", Side.BUY, "0.1", trade_id="back", fee=None)
    own: dict[str, Any] = {"strategy": BASIS, "round_id": "r1"}
    for side in (Side.BUY, Side.SELL):
        engine.on_message(order_of(make_fill("late", "alpha", side)), T0)
    engine.on_message(back, T0)
    engine.on_message(msgspec.structs.replace(back, fee=D("0.2")), T0)
    saved = engine.checkpoints()
    engine = make_risk(config())
    engine.start(saved, T0)
    engine.on_message(make_fill("p", "alpha", Side.SELL, "0.1", trade_id="late", **own), T0)
    assert told(engine).unhedged == D("-0.1")
    fees = sum(leg.fees.get("USDT", D(0)) for leg in told(engine).legs)
    if tells == "fill":
        for side in (Side.BUY, Side.SELL):
            engine.on_message(make_fill("late", "alpha", side, "0.01", **own), T0)
        assert told(engine).unhedged == D(0)
        fees += 2 * make_fill("late", "alpha", Side.BUY, "0.01").fee
    engine.on_message(make_done("late", outcome=PlanOutcome.HEDGED, **own), T0)
    now = told(engine)
    assert (now.state, now.unhedged) == (RoundState.CLOSED, D(0))
    assert sum(leg.fees.get("USDT", D(0)) for leg in now.legs) == fees + D("0.2")
    engine.on_message(make_done("late", outcome=PlanOutcome.HEDGED, **own), T0)
    assert told(engine).unhedged == D(0)


def test_adopted_fills_whose_plan_ends_without_a_round_are_forgotten() -> None:
    engine = opened()
    for venue, side in (("alpha", Side.BUY), ("beta", Side.SELL)):
        engine.on_message(make_fill("p", venue, side), T0)
    assert len(engine.ledger.rounds.adopted.fills) == 2
    engine.on_message(make_done("p"), T0)
    assert engine.ledger.rounds.adopted.fills == {}
    engine.on_message(order_of(make_fill("q", "alpha", Side.BUY)), T0)
    for number in range(ADOPTED_FILLS_MAX + 1):
        engine.on_message(make_fill("q", "alpha", Side.BUY, "0.001", trade_id=f"{number}"), T0)
    assert len(engine.ledger.rounds.adopted.fills) == ADOPTED_FILLS_MAX
