"""A second leg: what it may be for where the venue closed by itself what the first was to close."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.executor import actions as act
from services.executor.ids import client_order_id
from services.lab.publishing import publish
from services.lab.simulate import run_seed
from services.lab.world import START_NS, World
from shared.accounts.gateway import OrderRequest
from shared.messages.base import Side
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanLeg,
)
from shared.messages.rounds import Intent
from shared.messages.terms import LegPolicy, OrderTerms
from tests.sim.test_perpetuals import SEEDS, VENUE
from tests.unit.test_lab_reductions import SOL, fill

PLAN = "plan00000001"
FIRST, SECOND_LEG = client_order_id(PLAN, 0, 0), client_order_id(PLAN, 1, 0)


def leg(venue: str, instrument: str, side: Side) -> PlanLeg:
    return PlanLeg(
        venue=venue,
        instrument=instrument,
        side=side,
        qty=D("1.6"),
        price_limit=D(150),
        price_expected=D(150),
        fee_bps=D(5),
    )


def closing() -> ApprovedPlan:
    """A plan that closes a long position of 1.6, and then buys the asset back."""
    return ApprovedPlan(
        ts_ns=START_NS,
        plan_id=PLAN,
        opportunity_id="found",
        base="SOL",
        quote="USDT",
        legs=[leg(VENUE, SOL, Side.SELL), leg("alpha", "SOL/USDT", Side.BUY)],
        net_expected=D(1),
        loss_cap=D(1),
        ts_recv_ns=START_NS,
        ts_depth_ns=START_NS,
        ts_opportunity_ns=START_NS,
        ts_expire_ns=START_NS,
        intent=Intent.CLOSE,
        round_id="r1",
        strategy="basis",
        policy=LegPolicy.SEQUENTIAL,
    )


def told(status: OrderStatus, *, reduce_only: bool) -> OrderEvent:
    return OrderEvent(
        ts_ns=START_NS,
        plan_id=PLAN,
        client_order_id=FIRST,
        leg_index=0,
        attempt=0,
        purpose=OrderPurpose.LEG,
        venue=VENUE,
        instrument=SOL,
        side=Side.SELL,
        qty=D("1.6"),
        price_limit=D(150),
        status=status,
        reduce_only=reduce_only,
    )


def submit(order_id: str, leg: PlanLeg, qty: str) -> act.Submit:
    terms = OrderTerms(
        venue=leg.venue,
        instrument=leg.instrument,
        side=leg.side,
        qty=D(qty),
        price_limit=leg.price_limit,
    )
    return act.Submit(OrderRequest(client_order_id=order_id, terms=terms), 0)


def violations(first: OrderEvent, *closed: Fill, qty: str = "1.6") -> list[str]:
    """Return what the checker says of a second leg after a first one of which this was told."""
    world, plan = World(SEEDS[0]), closing()
    publish(world, "risk", [plan])
    world.checkers.on_action(submit(FIRST, plan.legs[0], "1.6"), is_at_once=True)
    publish(world, "executor", [first, *closed])
    world.checkers.on_action(submit(SECOND_LEG, plan.legs[1], qty), is_at_once=True)
    return [each.text for each in world.checkers.violations if each.checker == "legs_in_turn"]


REFUSED = told(OrderStatus.REJECTED, reduce_only=True)


def test_what_the_venue_closed_instead_of_a_refused_first_leg_is_hedged_by_the_second() -> None:
    assert violations(REFUSED, fill("own1")) == []
    assert violations(REFUSED, fill("own1", "1"), fill("own2", "0.6")) == []


@pytest.mark.parametrize(
    ("first", "closed"),
    [
        (REFUSED, []),
        (REFUSED, [fill("own1", "1.5")]),
        (REFUSED, [fill("ours", reduced_by="")]),
        (REFUSED, [msgspec.structs.replace(fill("before"), ts_ns=START_NS - 1)]),
        (REFUSED, [msgspec.structs.replace(fill("other"), side=Side.BUY)]),
        (told(OrderStatus.REJECTED, reduce_only=False), [fill("own1")]),
        (told(OrderStatus.CANCELED, reduce_only=True), [fill("own1")]),
    ],
)
def test_nothing_else_makes_up_for_what_the_first_did_not_fill(
    first: OrderEvent, closed: list[Fill]
) -> None:
    assert len(violations(first, *closed)) == 1


def test_it_counts_for_no_more_than_the_first_leg_was_to_close() -> None:
    assert violations(REFUSED, fill("own1"), fill("own2"), qty="1.7")


def test_a_world_where_a_position_is_liquidated_before_the_first_leg_arrives() -> None:
    outcome = run_seed(5709)
    assert not outcome.violations, outcome.story
