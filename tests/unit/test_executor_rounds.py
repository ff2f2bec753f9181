"""Plans of rounds in the executor: one leg alone, closing by pairs, and whose fills they are."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.executor.intake import Intake
from services.executor.market import Markets
from shared.config_limits import RiskConfig
from shared.domain.plan_cost import ExpectedLeg, expected_cost
from shared.messages.base import Side
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderPurpose,
    PlanDone,
    PlanOutcome,
)
from shared.messages.rounds import Intent
from tests.executor_model import LOT, PLACES, World, make_plan
from tests.unit.test_executor_engine import make_world, run_to_end

ONE = (("beta", Side.BUY, "0.1"),)
PAIR = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.1"))


def of_round(world: World, legs: Any, intent: Intent = Intent.OPEN, **changes: Any) -> ApprovedPlan:
    plan = make_plan(now_ns=world.now_ns, legs=legs)
    return msgspec.structs.replace(plan, strategy="basis", intent=intent, round_id="r1", **changes)


@pytest.mark.parametrize("intent", [Intent.OPEN, Intent.CLOSE])
def test_a_single_leg_is_done_when_its_order_is_over(intent: Intent) -> None:
    world = make_world(beta="part")
    world.message(of_round(world, ONE, intent))
    done = run_to_end(world)
    assert (done.outcome, done.dust, done.residual) == (PlanOutcome.FILLED, {}, {})
    assert world.true_exposure() == D("0.04")
    (fill,) = world.published(Fill)
    assert (fill.strategy, fill.round_id) == ("basis", "r1")


def test_a_single_leg_that_does_not_fill_ends_unfilled() -> None:
    world = make_world(beta="reject")
    world.message(of_round(world, ONE))
    assert run_to_end(world).outcome is PlanOutcome.UNFILLED
    assert {o.purpose for o in world.published(OrderEvent)} == {OrderPurpose.LEG}


def test_a_single_leg_is_looked_for_after_a_crash_and_left_as_it_is() -> None:
    world = make_world()
    plan = of_round(world, ONE)
    world.message(plan, torn="before commit")
    world.message(plan, redelivered=True)
    world.settle(8)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FILLED
    assert world.true_exposure() == D("0.1")


def test_a_round_that_opens_unevenly_is_evened_out_as_ever() -> None:
    world = make_world(gamma="none")
    world.message(of_round(world, (("beta", Side.BUY, "0.1"), ("gamma", Side.SELL, "0.1"))))
    done = run_to_end(world)
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert abs(world.true_exposure()) < LOT  # alpha charges its fee in the base asset
    assert {f.round_id for f in world.published(Fill)} == {"r1"}


def test_a_closing_evens_out_what_was_open_before() -> None:
    """The round held 0.09 of spot against 0.1: it buys 0.1 and sells 0.09, and that is even."""
    world = make_world()
    legs = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.09"))
    world.message(of_round(world, legs, Intent.CLOSE, opening=D("-0.01")))
    done = run_to_end(world)
    assert (done.outcome, done.dust) == (PlanOutcome.FILLED, {})
    assert world.true_exposure() == D("0.01")


def test_a_late_fill_carries_its_round_on() -> None:
    world = make_world(gamma="late_fill", beta="full")
    world.message(of_round(world, PAIR, Intent.CLOSE))
    world.settle(10)
    fills = world.published(Fill)
    assert len({f.plan_id for f in fills}) == 2, "the late fill has a plan of its own"
    assert {(f.strategy, f.round_id) for f in fills} == {("basis", "r1")}
    assert {(d.plan_id, d.round_id) for d in world.published(PlanDone)} == {
        (f.plan_id, "r1") for f in fills
    }
    assert abs(world.true_exposure()) < LOT  # alpha charges its fee in the base asset


def test_a_closing_that_costs_cash_as_planned_is_no_loss() -> None:
    buy = ExpectedLeg(Side.BUY, D(1), D(10_500), D(10))
    sell = ExpectedLeg(Side.SELL, D(1), D(10_000), D(10))
    assert expected_cost([buy, sell], D(0)) == D(500) + D("20.5")
    assert expected_cost([sell, buy._replace(price=D(9_000))], D(0)) == 0
    assert expected_cost([buy], D(0)) == 0
    # A unit short before, which it buys back on top, is no cost but what was owed.
    assert expected_cost([buy._replace(qty=D(2)), sell], D(-1)) == D(500) + D(31)


def check(**changes: Any) -> str:
    intake = Intake(Markets(tuple(PLACES)), {v: (i,) for v, i in PLACES.items()}, RiskConfig())
    return intake.malformed(msgspec.structs.replace(make_plan(legs=PAIR), **changes))


def test_a_plan_whose_round_cannot_be_is_refused() -> None:
    single = make_plan(legs=ONE).legs
    assert check() == ""
    assert "no intent" in check(legs=single)
    assert "no intent" in check(round_id="r1")
    assert "names none" in check(intent=Intent.OPEN)
    assert "only closing by pairs" in check(intent=Intent.OPEN, round_id="r1", opening=D(1))
    close: dict[str, Any] = {"intent": Intent.CLOSE, "round_id": "r1"}
    assert check(**close) == ""
    assert check(**close, legs=single) == ""
    assert check(intent=Intent.OPEN, round_id="r1", legs=single) == ""


def test_a_wider_loss_cap_than_the_round_needs_is_refused() -> None:
    world = make_world()
    plan = of_round(world, PAIR, Intent.CLOSE)
    plan = msgspec.structs.replace(plan, loss_cap=plan.loss_cap * 2)
    world.message(plan)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.REFUSED
    assert "loss cap" in done.reason
