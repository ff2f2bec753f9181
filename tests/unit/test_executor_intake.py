"""A plan that no right risk can have approved is refused, aloud, and nothing is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.executor.actions import Cancel, Query, QueryFailed
from services.executor.transport import VenueRequests
from services.executor.working_orders import key_of
from shared.clock import SystemClock
from shared.histogram import Histogram
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan, OrderEvent, PlanDone, PlanOutcome
from shared.messages.terms import OrderType, TimeInForce
from tests.decision_builders import D, make_info
from tests.executor_model import THREE_LEGS, Legs, World, make_plan
from tests.unit.test_executor_engine import make_world

replace = msgspec.structs.replace


def leg_changed(plan: ApprovedPlan, index: int, **changes: Any) -> ApprovedPlan:
    legs = list(plan.legs)
    legs[index] = replace(legs[index], **changes)
    return replace(plan, legs=legs)


def both_changed(plan: ApprovedPlan, **changes: Any) -> ApprovedPlan:
    return leg_changed(leg_changed(plan, 0, **changes), 1, **changes)


WRONG = {
    "one leg alone": lambda plan: replace(plan, legs=plan.legs[:1]),
    "legs of different quantity": lambda plan: leg_changed(plan, 0, qty=D("0.2")),
    "two buys": lambda plan: both_changed(plan, side=Side.BUY),
    "a venue that is not traded": lambda plan: leg_changed(plan, 0, venue="nowhere"),
    "an instrument that is not traded": lambda plan: leg_changed(plan, 0, instrument="XYZ/USDT"),
    "another base": lambda plan: replace(plan, base="ETH"),
    "too large": lambda plan: both_changed(plan, qty=D(50)),
    "a buy far above the book": lambda plan: leg_changed(plan, 0, price_limit=D(11_000)),
    "a sell far below the book": lambda plan: leg_changed(plan, 1, price_limit=D(9_000)),
    "a loss cap beyond the share that is allowed": lambda p: replace(p, loss_cap=D("20.02")),
    "a loss cap without bounds": lambda p: replace(p, loss_cap=D(10_000_000)),
    "a loss cap that a wrong expectation hides": lambda p: replace(
        both_changed(p, price_expected=D(20_000)), loss_cap=D(40)
    ),
    "expects another price": lambda p: leg_changed(p, 1, price_expected=D(20_000)),
    "lives longer than a plan may": lambda p: replace(p, ts_expire_ns=p.ts_expire_ns + 1_000_000),
    "approved in the future": lambda p: replace(
        p, ts_ns=p.ts_ns + 6 * 10**9, ts_expire_ns=p.ts_expire_ns + 6 * 10**9
    ),
    "expires in an hour": lambda p: replace(p, ts_expire_ns=p.ts_expire_ns + 3_600 * 10**9),
}


THREE = THREE_LEGS[0]
UNEVEN = ((*THREE[0][:2], "0.3"), *THREE[1:])
WRONG |= {
    "three legs that leave some open": lambda p: make_plan(now_ns=p.ts_ns, legs=UNEVEN),
    "a leg without a limit": lambda p: leg_changed(p, 1, order_type=OrderType.MARKET),
    "a leg that rests": lambda p: leg_changed(p, 1, time_in_force=TimeInForce.GTC),
    "a leg that fills whole or not at all": lambda p: leg_changed(
        p, 0, time_in_force=TimeInForce.FOK
    ),
    "a loss cap of every leg, not of the dearer side": lambda p: make_plan(
        now_ns=p.ts_ns, legs=THREE, loss_cap="60"
    ),
}


def outcome(world: World, plan: ApprovedPlan, *, redelivered: bool = False) -> PlanDone:
    world.message(plan, redelivered=redelivered)
    (done,) = world.published(PlanDone)
    return done


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_plan_that_cannot_be_right_is_refused(change) -> None:
    world = make_world()
    done = outcome(world, change(make_plan(now_ns=world.now_ns)))
    assert done.outcome is PlanOutcome.REFUSED and done.reason
    assert "PLAN_REFUSED" in [alert.code for alert in world.published(Alert)]
    assert not world.published(OrderEvent) and not world.sent


def test_right_plan_is_started() -> None:
    world = make_world()
    world.message(make_plan(now_ns=world.now_ns, loss_cap="20.01"))  # 200 bps of 1000.5
    assert len(world.published(OrderEvent)) == 2


@pytest.mark.parametrize("legs", THREE_LEGS)
def test_right_plan_of_three_legs_is_started_with_the_cap_of_its_dearer_side(legs: Legs) -> None:
    world = make_world()
    world.message(make_plan(now_ns=world.now_ns, legs=legs))
    assert [(o.venue, o.side, str(o.qty)) for o in world.published(OrderEvent)] == list(legs)


def test_a_rest_below_one_lot_of_the_coarsest_leg_is_no_objection() -> None:
    world = make_world()
    world.message(make_info("beta", lot_size=D("0.01")))
    world.message(leg_changed(make_plan(now_ns=world.now_ns), 0, qty=D("0.109")))
    assert len(world.published(OrderEvent)) == 2


def test_selling_more_than_is_bought_is_refused_whatever_the_lots_are() -> None:
    world = make_world()
    world.message(make_info("beta", lot_size=D("0.01")))
    plan = leg_changed(make_plan(now_ns=world.now_ns), 1, qty=D("0.109"))
    assert outcome(world, plan).outcome is PlanOutcome.REFUSED


@pytest.mark.parametrize("change", [{"venue": "gone"}, {"instrument": "BTC/USDT:USDT"}])
def test_redelivered_plan_of_what_is_not_traded_any_more_is_looked_for(change) -> None:
    """Its orders may have been sent while it was; that nobody can be asked is no answer."""
    world = make_world()
    plan = leg_changed(make_plan(now_ns=world.now_ns), 0, **change)
    world.message(plan, redelivered=True)
    (opened,) = world.engine.state.open_plans()
    assert opened.checked_only and not world.published(PlanDone) and not world.sent
    world = make_world()
    assert outcome(world, plan).outcome is PlanOutcome.REFUSED, "a new one is not started"


async def test_a_venue_without_a_gateway_is_asked_in_vain_and_sent_nothing() -> None:
    world = make_world()
    plan = leg_changed(make_plan(now_ns=world.now_ns), 0, venue="gone")
    world.message(plan, redelivered=True)
    (order,) = [o for o in world.engine.state.orders.values() if o.venue == "gone"]
    requests = VenueRequests({}, SystemClock(), Histogram(), timeout_s=1)
    report = await requests.carry_out(Query(key_of(order)))
    assert isinstance(report, QueryFailed)
    assert report.reason == "gone is not traded here any more; trade it until its orders are known"
    assert await requests.carry_out(Cancel(key_of(order))) is None


def test_redelivered_uneven_plan_is_looked_for_where_rules_are_not_known() -> None:
    """Its orders may have been sent when they were known; nothing new is started."""
    world = make_world()
    world.engine.markets.rules.clear()
    plan = leg_changed(make_plan(now_ns=world.now_ns), 0, qty=D("0.1001"))
    world.message(plan, redelivered=True)
    assert world.engine.state.open_plans()[0].checked_only
    assert not world.sent


def test_redelivered_uneven_plan_is_looked_for_where_lots_have_become_finer() -> None:
    world = make_world()
    world.message(make_info("beta", lot_size=D("0.001")))
    plan = leg_changed(make_plan(now_ns=world.now_ns), 0, qty=D("0.105"))
    world.message(plan, redelivered=True)
    assert world.engine.state.open_plans()[0].checked_only
    assert not world.sent


def test_loss_cap_of_a_plan_that_may_have_been_started_is_cut_to_what_is_allowed() -> None:
    """It cannot be refused any more, but nor may it lose without bounds."""
    world = make_world()
    plan = make_plan(now_ns=world.now_ns, loss_cap="10000000")
    world.message(plan, redelivered=True)
    (opened,) = world.engine.state.open_plans()
    assert opened.loss_cap == D("20.01")


def test_redelivered_plan_of_an_unknown_instrument_is_refused_and_not_looked_for() -> None:
    world = make_world()
    plan = leg_changed(make_plan(now_ns=world.now_ns), 0, instrument="XYZ/USDT")
    assert outcome(world, plan, redelivered=True).outcome is PlanOutcome.REFUSED
    assert not world.engine.state.open_plans()
