"""Fills of plans that the executor adopted without a record: whose they turn out to be."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.adopted_fills import ADOPTED_FILLS_MAX
from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from shared.messages.base import Message, Side
from shared.messages.control import Alert
from shared.messages.execution import PlanOutcome
from shared.messages.rounds import RoundState
from tests.decision_builders import PERP, T0, make_done, make_fill, make_risk, order_of
from tests.unit.test_risk_rounds import (
    BASIS,
    MARKETS,
    approve,
    closing,
    codes,
    config,
    denial,
    execute,
    opened,
    opening,
    told,
)


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


def lost_close(engine: RiskEngine, *sides: tuple[str, Side, str], **done: Any) -> list[Message]:
    """Fills of a plan whose approval was lost with its orders, and its end; gamma: perpetual."""
    out: list[Message] = []
    for venue, side, qty in sides:
        instrument = MARKETS[venue]
        fill = make_fill("lost", venue, side, qty, instrument=instrument)
        engine.on_message(order_of(fill), T0)
        out += engine.on_message(fill, T0).messages
    return [*out, *engine.on_message(make_done("lost", **done), T0).messages]


CLOSE = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.1"))


def test_a_close_whose_approval_was_lost_is_not_done_again() -> None:
    engine = opened()
    out = lost_close(engine, *CLOSE)
    assert "POSITION_UNOWNED" not in codes(out)
    assert (told(engine).state, told(engine).unhedged) == (RoundState.CLOSED, D(0))
    assert denial(engine, closing()) is DenyReason.ROUND_STATE
    # A late fill of it is the round's as well.
    late = make_fill("lost", "beta", Side.SELL, "0.02", trade_id="late")
    assert "ROUND_REOPENED" in codes(engine.on_message(late, T0).messages)


def test_of_several_rounds_the_one_is_closed_that_is_left_with_least() -> None:
    engine = opened()
    execute(engine, approve(engine, opening("0.05", round_id="r2")))
    lost_close(engine, ("gamma", Side.BUY, "0.05"), ("alpha", Side.SELL, "0.05"))
    assert told(engine, round_id="r1").state is RoundState.OPEN
    assert told(engine, round_id="r2").state is RoundState.CLOSED


def test_a_lost_close_of_a_part_leaves_the_rest() -> None:
    engine = opened()
    lost_close(engine, ("gamma", Side.BUY, "0.04"), ("alpha", Side.SELL, "0.04"))
    assert [leg.qty for leg in told(engine).legs] == [D("0.06"), D("-0.06")]


@pytest.mark.parametrize(
    "legs",
    [
        (("gamma", Side.SELL, "0.1"), ("alpha", Side.BUY, "0.1")),  # an opening
        (("gamma", Side.BUY, "0.2"), ("alpha", Side.SELL, "0.2")),  # more than any round holds
    ],
)
def test_a_lost_plan_that_closed_no_round_halts(legs: tuple[tuple[str, Side, str], ...]) -> None:
    """No strategy knows of its position: nothing but an operator would ever close it."""
    engine = opened()
    out = lost_close(engine, *legs, reason="adopted")
    (alert,) = [m for m in out if isinstance(m, Alert) and m.code == "POSITION_UNOWNED"]
    assert f"{PERP} at gamma" in alert.text
    assert "which no round holds" in alert.text
    assert denial(engine, closing()) is DenyReason.HALTED
    assert told(engine).state is RoundState.OPEN
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]


def test_an_adopted_plan_that_failed_closes_no_round() -> None:
    """It is half of something: a round that it were booked to would be uneven."""
    engine = opened()
    left = {"outcome": PlanOutcome.FAILED, "residual": {"BTC": D("0.03")}}
    out = lost_close(engine, ("gamma", Side.BUY, "0.03"), **left)
    assert "PLAN_FAILED" in codes(out)
    assert "POSITION_UNOWNED" not in codes(out)
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]
    assert told(engine).state is RoundState.OPEN


def found_late(engine: RiskEngine, owner: str, side: Side = Side.SELL) -> list[Message]:
    """A late fill of an ended plan, and all of the plan that evens it out; gamma: perpetual."""
    out: list[Message] = []
    late = make_fill(owner, "gamma", side, "0.03", instrument=PERP, trade_id="late")
    back = make_fill("evens", "gamma", side.opposite, "0.03", instrument=PERP, trade_id="back")
    for fill in (late, back):
        engine.on_message(order_of(fill), T0)
        out += engine.on_message(fill, T0).messages
    return [*out, *engine.on_message(make_done("evens", late_of=owner), T0).messages]


@pytest.mark.parametrize("side", Side)
def test_what_evens_out_a_late_fill_of_nobodys_plan_is_no_close_of_a_round(side: Side) -> None:
    """Either way: a round may hold against it, or no round does, and nothing is left over."""
    engine = opened()
    lost_close(engine, ("gamma", Side.BUY, "0.03"), ("gamma", Side.SELL, "0.03"))
    assert "POSITION_UNOWNED" not in codes(found_late(engine, "lost", side))
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]
    assert engine.ledger.rounds.adopted.fills == {}


def test_what_evens_out_a_late_fill_of_a_lost_close_is_its_rounds() -> None:
    engine = opened()
    execute(engine, approve(engine, opening("0.1", round_id="r2")))
    lost_close(engine, *CLOSE)
    assert told(engine, round_id="r1").state is RoundState.CLOSED
    found_late(engine, "lost")
    assert [leg.qty for leg in told(engine, round_id="r2").legs] == [D("0.1"), D("-0.1")]
    assert (told(engine).state, told(engine).unhedged) == (RoundState.CLOSED, D(0))


def test_what_a_venue_had_closed_of_an_adopted_plan_closes_no_round() -> None:
    """Of 0.03 that it bought the venue sold 0.02: it sold the rest, and nothing is left of it."""
    engine = opened()
    sides = (("gamma", Side.BUY, "0.03"), ("gamma", Side.SELL, "0.01"))
    out = lost_close(engine, *sides, began_with={f"gamma|{PERP}": D("-0.02")})
    assert "POSITION_UNOWNED" not in codes(out)
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]
