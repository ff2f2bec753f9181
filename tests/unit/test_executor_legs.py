"""Plans of three legs: a fault in any one of them is evened out, and nothing is left naked."""

from __future__ import annotations

import pytest

from shared.messages.execution import OrderEvent, OrderPurpose, PlanDone, PlanOutcome
from tests.executor_model import BEHAVIORS, LOT, THREE_LEGS, D, Legs, World, make_plan
from tests.unit.test_executor_engine import make_world

CRASHES = ("before sending", "between legs", "before commit", "before acting")


def run(world: World, legs: Legs, torn: str = "") -> PlanDone:
    plan = make_plan(now_ns=world.now_ns, legs=legs)
    world.message(plan, torn=torn)
    if torn:
        world.message(plan, redelivered=True)
    world.settle(30)
    world.check_quiet()
    return world.published(PlanDone)[0]


@pytest.mark.parametrize("legs", THREE_LEGS)
def test_three_legs_fill_evenly_without_another_order(legs: Legs) -> None:
    world = make_world()
    assert run(world, legs).outcome is PlanOutcome.FILLED
    assert sum(world.sent.values()) == 3


@pytest.mark.parametrize("legs", THREE_LEGS)
@pytest.mark.parametrize("venue", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("behavior", sorted(set(BEHAVIORS) - {"full"}))
def test_whatever_becomes_of_one_leg_the_plan_ends_even(
    legs: Legs, venue: str, behavior: str
) -> None:
    world = make_world(**{venue: behavior})
    done = run(world, legs)
    assert done.outcome is not PlanOutcome.FAILED
    assert not done.residual
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("legs", THREE_LEGS)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_partial_fill_of_any_leg_is_rebalanced(legs: Legs, index: int) -> None:
    venue, side, qty = legs[index]
    world = make_world(**{venue: "part"})
    done = run(world, legs)
    orders = {e.client_order_id: e for e in world.published(OrderEvent)}.values()
    extra = [order for order in orders if order.purpose is not OrderPurpose.LEG]
    missing = D(qty) * D("0.6")
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    # Fees that are charged in the base asset may be evened out along with it.
    evened = sum(order.side.signed(order.filled_qty) for order in extra)
    assert abs(evened - side.signed(missing)) <= LOT
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("legs", THREE_LEGS)
@pytest.mark.parametrize("torn", CRASHES)
def test_a_crash_between_the_legs_leaves_nothing_naked(legs: Legs, torn: str) -> None:
    world = make_world()
    run(world, legs, torn)
    assert max(world.sent.values(), default=0) <= 1
    assert abs(world.true_exposure()) < LOT
