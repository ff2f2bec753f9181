"""Legs one after the other: which goes first, how much the second is for, and what crashes do."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from services.executor.ids import client_order_id
from shared.messages.execution import (
    ApprovedPlan,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanOutcome,
)
from shared.messages.terms import LegPolicy
from tests.decision_builders import make_view
from tests.executor_model import BEHAVIORS, LOT, SPOT, THREE_LEGS, World, make_plan
from tests.unit.test_executor_engine import make_world

D = Decimal
BUY, SELL = client_order_id("plan00000001", 0, 0), client_order_id("plan00000001", 1, 0)


def in_turn(world: World, **changes: object) -> ApprovedPlan:
    plan = make_plan(now_ns=world.now_ns, buy="beta", sell="alpha")
    return msgspec.structs.replace(plan, policy=LegPolicy.SEQUENTIAL, **changes)


def show_bid(world: World, venue: str, qty: float) -> None:
    view = make_view(venue, SPOT, bids=[(9999.0, qty)], asks=[(10001.0, 5.0)], ts_ns=world.now_ns)
    world.engine.on_message(view, world.now_ns)


def orders_of(world: World) -> dict[str, OrderEvent]:
    return {event.client_order_id: event for event in world.published(OrderEvent)}


def test_the_leg_of_the_thinner_book_goes_first_and_alone() -> None:
    world = make_world()
    show_bid(world, "alpha", 0.2)  # twice the leg; beta shows fifty times
    world.message(in_turn(world))
    assert list(world.sent) == [SELL]
    world.settle()
    assert list(world.sent) == [SELL, BUY]
    assert world.published(PlanDone)[0].outcome is PlanOutcome.FILLED


def test_concurrent_legs_go_at_once_as_before() -> None:
    world = make_world()
    world.message(make_plan(now_ns=world.now_ns))
    assert len(world.sent) == 2


def test_the_second_leg_is_for_what_the_first_filled() -> None:
    world = make_world(beta="part")
    world.message(in_turn(world))
    assert list(world.sent) == [BUY]
    world.settle()
    orders = orders_of(world)
    assert orders[BUY].filled_qty == D("0.04")
    assert orders[SELL].qty == D("0.04")
    assert set(orders) == {BUY, SELL}, "nothing was left to hedge"
    assert world.published(PlanDone)[0].outcome is PlanOutcome.FILLED


def test_what_the_lots_of_the_second_venue_cannot_express_is_left_out() -> None:
    world = make_world(beta="part")
    world.message(in_turn(world))
    # 0.04 in lots of 0.03: one lot, and a rest of 0.01 that the plan evens out by itself.
    rules = world.engine.markets.rules["alpha", SPOT]
    world.engine.markets.rules["alpha", SPOT] = msgspec.structs.replace(rules, lot_size=D("0.03"))
    world.settle()
    orders = orders_of(world)
    assert orders[SELL].qty == D("0.03")
    extra = [each for each in orders.values() if each.purpose is not OrderPurpose.LEG]
    assert extra
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("behavior", ["none", "reject", "not_sent", "lost_never"])
def test_no_second_leg_where_the_first_filled_nothing(behavior: str) -> None:
    world = make_world(beta=behavior)
    world.message(in_turn(world))
    world.settle()
    assert list(world.sent) == [BUY]
    assert world.published(PlanDone)[0].outcome is PlanOutcome.UNFILLED


@pytest.mark.parametrize("behavior", ["lost_full", "lost_part", "lost_late", "slow"])
def test_the_second_leg_waits_until_the_first_is_known(behavior: str) -> None:
    world = make_world(beta=behavior)
    world.message(in_turn(world))
    while SELL not in world.sent:
        told = orders_of(world).get(BUY)
        assert told is None or told.status in {OrderStatus.SUBMITTED, OrderStatus.UNKNOWN}
        while world.inbox and SELL not in world.sent:
            world.deliver()
        if SELL not in world.sent:
            world.calm = True
            world.tick()
    assert orders_of(world)[BUY].status in {OrderStatus.FILLED, OrderStatus.CANCELED}
    world.settle()
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("venue", ["alpha", "beta"])
@pytest.mark.parametrize("behavior", sorted(set(BEHAVIORS)))
def test_whatever_becomes_of_either_leg_the_plan_ends_even(venue: str, behavior: str) -> None:
    world = make_world(**{venue: behavior})
    world.message(in_turn(world))
    world.settle()
    world.check_quiet()
    assert world.published(PlanDone)[0].outcome is not PlanOutcome.FAILED
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("torn", ["before sending", "before commit", "before acting"])
def test_a_crash_at_the_first_leg_sends_no_second_one(torn: str) -> None:
    world = make_world()
    plan = in_turn(world)
    world.message(plan, torn=torn)
    world.message(plan, redelivered=True)
    world.settle()
    world.check_quiet()
    assert SELL not in world.sent
    assert max(world.sent.values(), default=0) <= 1
    assert abs(world.true_exposure()) < LOT


def test_a_restart_between_the_legs_hedges_under_another_id() -> None:
    world = make_world()
    world.message(in_turn(world))
    world.crash()
    world.settle()
    assert world.sent[BUY] == 1
    assert SELL not in world.sent, "a record of it may have been lost"
    assert world.published(PlanDone)[0].outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert abs(world.true_exposure()) < LOT


def test_a_second_leg_whose_record_was_lost_is_found_and_not_sent_again() -> None:
    world = make_world()
    world.message(in_turn(world))
    while SELL not in world.sent:
        world.deliver()
    world.crash(rollback=1)
    world.settle()
    assert world.sent[SELL] == 1
    assert abs(world.true_exposure()) < LOT


def test_legs_in_turn_are_two_of_one_asset() -> None:
    world = make_world()
    plan = make_plan(now_ns=world.now_ns, legs=THREE_LEGS[0])
    world.message(msgspec.structs.replace(plan, policy=LegPolicy.SEQUENTIAL))
    done = world.published(PlanDone)[0]
    assert done.outcome is PlanOutcome.REFUSED
    assert "only two of one asset" in done.reason


def test_a_plan_is_given_up_at_its_own_deadline() -> None:
    def failed_after_ms(own_ms: int) -> int:
        world = make_world()
        world.habits = {"alpha": "none", "beta": "part", "gamma": "none"}
        plan = in_turn(world, hedge_deadline_ms=own_ms, loss_cap=D("0.0001"))
        began_ns = world.now_ns
        world.message(plan)
        while not world.published(PlanDone):
            while world.inbox:
                world.deliver()
            world.tick()
        assert world.published(PlanDone)[0].outcome is PlanOutcome.FAILED
        return (world.now_ns - began_ns) // 1_000_000

    assert 500 < failed_after_ms(500) < 1_500
    assert failed_after_ms(0) > 4_500, "the executor's own"
    assert failed_after_ms(60_000) < 10_000, "no longer than the executor's own"


def test_a_first_leg_that_is_told_late_is_hedged() -> None:
    world = make_world(beta="late_fill")
    world.message(in_turn(world))
    world.settle()
    world.check_quiet()
    assert abs(world.true_exposure()) < LOT
