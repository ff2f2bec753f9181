"""Rebalancing where books promise more than they keep: no venue is tried again and again."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby, pairwise

import pytest

from services.executor.even_orders import ATTEMPTS_MAX, NoOrder, OrderIntent
from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.rebalance import decide
from services.executor.state import PlanKind, PlanRecord
from services.executor.weakness import WEAK_ATTEMPTS_MAX
from shared.domain.order import OrderLife
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import OrderEvent, OrderPurpose, OrderStatus, PlanDone, PlanOutcome
from tests.decision_builders import make_rules, make_terms, make_view
from tests.executor_model import MS, T0, World, make_plan
from tests.unit.test_executor_engine import make_world, run_plan

D = Decimal


def rebalance_orders(world: World) -> list[OrderEvent]:
    return [
        event
        for event in world.published(OrderEvent)
        if event.status is OrderStatus.SUBMITTED and event.purpose is not OrderPurpose.LEG
    ]


@pytest.mark.parametrize("habit", ["weak", "none", "reject", "not_sent"])
def test_a_venue_that_hardly_fills_leaves_the_hedge_to_the_others(habit: str) -> None:
    world = make_world(beta="none")
    world.habits["alpha"] = habit
    done = run_plan(world, buy="gamma", sell="beta")
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    venues = [order.venue for order in rebalance_orders(world)]
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
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FAILED
    orders = rebalance_orders(world)
    assert len(orders) == ATTEMPTS_MAX
    runs = [len(list(group)) for _, group in groupby(order.venue for order in orders)]
    assert max(runs) <= WEAK_ATTEMPTS_MAX
    assert {order.venue for order in orders} == {"alpha", "beta", "gamma"}
    pauses = [later.ts_ns - earlier.ts_ns for earlier, later in pairwise(orders)]
    assert min(pauses) >= 50 * MS
    assert pauses[:3] == sorted(pauses[:3]), "each is twice as long as the one before"
    deadline_ns = world.config.executor.hedge_deadline_ms * MS
    assert deadline_ns // 2 < sum(pauses) < deadline_ns


def test_a_better_price_for_next_to_nothing_comes_second() -> None:
    known = Markets(("beta", "gamma"))
    for venue, bids in (("beta", [(10_000.0, 0.01)]), ("gamma", [(9_990.0, 5.0)])):
        known.learn_rules(make_rules(venue))
        known.learn_view(make_view(venue, bids=bids, ts_ns=T0))

    def venue_of(attempts: int, opening: str) -> str:
        plan = PlanRecord(
            plan_id="p",
            kind=PlanKind.ARBITRAGE,
            base="BTC",
            quote="USDT",
            legs=[],
            loss_cap=D(50),
            reference=D(10_000),
            ts_started_ns=T0,
            opening=D(opening),
            attempts=attempts,
        )
        trade = decide(plan, [], known, T0)
        assert isinstance(trade, OrderIntent)
        return trade.terms.venue

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
    assert not world.published(PlanDone)
    refused = [e for e in world.published(OrderEvent) if e.status is OrderStatus.REJECTED]
    assert [order.venue for order in refused] == ["alpha", "alpha"], "the leg, and one attempt"
    del world.bids["beta"]
    world.settle(2)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.UNWOUND
    assert abs(world.true_exposure()) < D("0.001")


def refusals(world: World) -> list[str]:
    return [e.venue for e in world.published(OrderEvent) if e.status is OrderStatus.REJECTED]


def without_a_book(world: World, venue: str) -> None:
    """A venue whose book is not LIVE from now on."""
    world.books_down.add(venue)
    world.show_prices()


def test_a_book_that_is_not_live_is_waited_for_too() -> None:
    world = make_world()
    world.habits["alpha"] = "reject"
    world.message(make_plan(now_ns=world.now_ns, buy="beta", sell="alpha"))
    without_a_book(world, "beta")
    world.settle(1)
    assert not world.published(PlanDone)
    assert refusals(world) == ["alpha", "alpha"]
    world.books_down.clear()
    world.settle(2)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.UNWOUND
    assert refusals(world) == ["alpha", "alpha"]
    assert abs(world.true_exposure()) < D("0.001")


def test_a_late_plan_asks_who_refuses_once_more_and_fails_aloud() -> None:
    world = make_world()
    world.habits["alpha"] = "reject"
    world.message(make_plan(now_ns=world.now_ns, buy="beta", sell="alpha"))
    without_a_book(world, "beta")
    world.settle(15)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FAILED
    assert done.residual
    assert refusals(world) == ["alpha"] * 3
    assert world.engine.obstacle, "halted"
    assert "PLAN_FAILED" in {alert.code for alert in world.published(Alert)}


def test_who_takes_orders_again_at_the_deadline_ends_the_plan() -> None:
    world = make_world()
    world.habits["alpha"] = "reject"
    world.message(make_plan(now_ns=world.now_ns, buy="beta", sell="alpha"))
    without_a_book(world, "beta")
    world.settle(1)
    del world.habits["alpha"]
    world.settle(15)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.HEDGED
    assert abs(world.true_exposure()) < D("0.001")


def test_what_only_the_refusing_venue_would_take_is_no_dust() -> None:
    known = Markets(("alpha", "beta"))
    for venue, notional_min in (("alpha", 5), ("beta", 500)):
        known.learn_rules(make_rules(venue, notional_min=D(notional_min)))
    known.learn_view(make_view("alpha", ts_ns=T0))
    plan = PlanRecord(
        plan_id="p",
        kind=PlanKind.ARBITRAGE,
        base="BTC",
        quote="USDT",
        legs=[],
        loss_cap=D(5),
        reference=D(10_000),
        ts_started_ns=T0,
        opening=D("0.01"),
    )
    terms = make_terms(side=Side.SELL, qty=D("0.01"), price_limit=D(9_999))
    refused = [
        OrderRecord(
            client_order_id=f"p-0-{attempt}",
            plan_id="p",
            leg_index=0,
            attempt=attempt,
            purpose=OrderPurpose.HEDGE,
            terms=terms,
            fee_bps=D(10),
            ts_created_ns=T0,
            life=OrderLife(qty=D("0.01"), status=OrderStatus.REJECTED),
        )
        for attempt in (1, 2)
    ]
    assert decide(plan, refused, known, T0) is NoOrder.NO_PRICE, "100 USDT do not end in silence"
    known.learn_view(make_view("beta", ts_ns=T0))
    trade = decide(plan, refused, known, T0)
    assert isinstance(trade, OrderIntent)
    assert (trade.terms.venue, trade.terms.side) == ("beta", Side.SELL), "outgrown there"
    assert trade.terms.qty > D("0.05")
