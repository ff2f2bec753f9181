"""Evening out where books promise more than they keep: no venue is tried again and again."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby, pairwise

import pytest

from services.executor.evening import ATTEMPTS_MAX, WEAK_ATTEMPTS_MAX, Trade, decide
from services.executor.market import Markets
from services.executor.state import PlanKind, PlanRecord
from shared.messages.execution import OrderEvent, OrderPurpose, OrderStatus, PlanDone, PlanOutcome
from tests.decision_builders import make_rules, make_view
from tests.executor_model import MS, T0, World, make_plan
from tests.unit.test_executor_engine import make_world, run_plan

D = Decimal


def evening_orders(world: World) -> list[OrderEvent]:
    return [
        event
        for event in world.said(OrderEvent)
        if event.status is OrderStatus.SUBMITTED and event.purpose is not OrderPurpose.LEG
    ]


@pytest.mark.parametrize("habit", ["weak", "none", "reject", "not_sent"])
def test_a_venue_that_hardly_fills_leaves_the_hedge_to_the_others(habit: str) -> None:
    world = make_world(beta="none")
    world.habits["alpha"] = habit
    done = run_plan(world, buy="gamma", sell="beta")
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    venues = [order.venue for order in evening_orders(world)]
    assert venues[0] == "alpha", "the first of three equal prices"
    assert venues.count("alpha") <= WEAK_ATTEMPTS_MAX
    assert venues[-1] != "alpha"
    assert abs(world.true_exposure()) < D("0.001")


def test_where_all_venues_hardly_fill_they_take_turns_and_time() -> None:
    world = make_world()
    world.habits |= dict.fromkeys(("alpha", "beta"), "weak")
    world.message(make_plan(now_ns=world.now_ns, buy="gamma", sell="beta", qty="1", loss_cap="200"))
    world.habits["gamma"] = "weak"  # from now on: its leg filled
    world.settle(15)
    (done,) = world.said(PlanDone)
    assert done.outcome is PlanOutcome.FAILED
    orders = evening_orders(world)
    assert len(orders) == ATTEMPTS_MAX
    runs = [len(list(group)) for _, group in groupby(order.venue for order in orders)]
    assert max(runs) <= WEAK_ATTEMPTS_MAX
    assert {order.venue for order in orders} == {"alpha", "beta", "gamma"}
    pauses = [later.ts_ns - earlier.ts_ns for earlier, later in pairwise(orders)]
    assert min(pauses) >= 100 * MS
    deadline_ns = world.config.executor.hedge_deadline_ms * MS
    assert deadline_ns // 2 < sum(pauses) < deadline_ns


def test_a_better_price_for_next_to_nothing_comes_second() -> None:
    known = Markets(("beta", "gamma"))
    for venue, bids in (("beta", [(10_000.0, 0.01)]), ("gamma", [(9_990.0, 5.0)])):
        known.learn_rules(make_rules(venue))
        known.learn_view(make_view(venue, bids=bids, ts_ns=T0))

    def venue_of(attempts: int, opening: str) -> str:
        plan = PlanRecord(
            plan_id="p", kind=PlanKind.ARBITRAGE, base="BTC", quote="USDT", legs=[],
            loss_cap=D(50), reference=D(10_000), ts_started_ns=T0, opening=D(opening),
            attempts=attempts,
        )  # fmt: skip
        trade = decide(plan, [], known, T0)
        assert isinstance(trade, Trade)
        return trade.venue

    assert venue_of(0, "0.1") == "gamma", "ten such orders would be needed, eight are allowed"
    assert venue_of(0, "0.04") == "beta", "four would do"
    assert venue_of(6, "0.04") == "gamma", "only two are left"


def test_a_plan_waits_for_a_price_instead_of_asking_who_refuses() -> None:
    world = make_world()
    world.habits["alpha"] = "reject"
    world.bids["beta"] = 9_000.0  # to sell there now would lose five times the cap
    world.show_prices()
    world.message(make_plan(now_ns=world.now_ns, buy="beta", sell="alpha"))
    world.settle(1)
    assert not world.said(PlanDone)
    refused = [e for e in world.said(OrderEvent) if e.status is OrderStatus.REJECTED]
    assert [order.venue for order in refused] == ["alpha", "alpha"], "the leg, and one attempt"
    del world.bids["beta"]
    world.settle(2)
    (done,) = world.said(PlanDone)
    assert done.outcome is PlanOutcome.UNWOUND
    assert abs(world.true_exposure()) < D("0.001")
