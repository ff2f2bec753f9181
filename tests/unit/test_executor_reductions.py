"""Positions that the venue closed by itself: found, booked once as a fill nobody ordered, told."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from shared.accounts.gateway import FillReport, OrderRequest
from shared.errors import Cause
from shared.messages.base import Side
from shared.messages.control import Alert, Severity
from shared.messages.execution import Fill, PlanDone, PlanOutcome
from shared.messages.terms import OrderTerms
from tests.executor_model import PERP, SECOND, VenueOrder, World, make_plan
from tests.unit.test_executor_engine import make_world
from tests.unit.test_executor_funding import holding

ADL = "auto-deleveraging"


def fill(world: World, trade_id: str, qty: str, side: Side = Side.BUY) -> FillReport:
    return FillReport(
        trade_id=trade_id,
        venue_order_id="gamma-own",
        instrument=PERP,
        side=side,
        price=D(10_050),
        qty=D(qty),
        fee=D("0.5"),
        fee_asset="USDT",
        ts_venue_ns=world.now_ns,
    )


def close_by_itself(world: World, *fills: FillReport, forced: str = ADL) -> VenueOrder:
    terms = OrderTerms(
        venue="gamma", instrument=PERP, side=fills[0].side, qty=D("0.1"), price_limit=D(0)
    )
    request = OrderRequest(client_order_id="adl_autoclose", terms=terms)
    order = VenueOrder(request, "gamma-own", list(fills), forced)
    world.orders["gamma"]["adl_autoclose"] = order
    return order


def reduced(world: World) -> list[Fill]:
    return [each for each in world.published(Fill) if each.reduced_by]


def alerts(world: World) -> list[Alert]:
    return [each for each in world.published(Alert) if each.code == "POSITION_REDUCED"]


def held(world: World) -> D:
    return world.engine.state.books.quantities[f"gamma|{PERP}"]


def test_a_position_that_the_venue_closes_is_found_booked_once_and_told() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(60)  # no plan has ended for long
    order = close_by_itself(world, fill(world, "own1", "0.06"))
    world.positions["gamma"] = {PERP: D("-0.04")}
    world.settle(10)
    (told,) = reduced(world)
    assert (told.venue, told.instrument, told.side, told.qty) == (
        "gamma",
        PERP,
        Side.BUY,
        D("0.06"),
    )
    assert (told.price, told.fee, told.fee_quote) == (D(10_050), D("0.5"), D("0.5"))
    assert (told.reduced_by, told.strategy, told.round_id) == (ADL, "", "")
    assert held(world) == D("-0.04")
    (alert,) = alerts(world)
    assert alert.severity is Severity.CRITICAL
    for word in ("gamma", PERP, "0.06", "10050", ADL):
        assert word in alert.text
    order.fills.append(fill(world, "own2", "0.04"))  # the rest, of the same order
    world.positions["gamma"] = {PERP: D(0)}
    world.settle(10)
    assert held(world) == 0
    assert [each.trade_id for each in reduced(world)] == ["own1", "own2"]
    world.crash()
    world.settle(30)
    assert held(world) == 0
    assert len(reduced(world)) == len(alerts(world)) == 2
    assert sum(world.sent.values()) == 2, "nothing is sent for it"


def test_it_is_found_after_a_start_and_after_the_venue_was_away() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(10)
    close_by_itself(world, fill(world, "own1", "0.1"))
    world.positions["gamma"] = {PERP: D(0)}
    world.crash()
    world.settle(10)
    assert held(world) == 0
    assert len(reduced(world)) == 1


def test_what_others_held_in_the_account_is_told_and_not_booked() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.5")}
    world.settle(10)
    close_by_itself(world, fill(world, "own1", "0.4"))
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(10)
    (told,) = reduced(world)
    assert (told.qty, told.fee) == (D("0.1"), D("0.125")), "only what was ours, with its share"
    assert held(world) == 0
    assert "0.100 of it ours" in alerts(world)[0].text


def test_what_was_ours_of_it_is_what_we_held_then_and_not_when_it_is_found() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(60)
    close_by_itself(world, fill(world, "own1", "0.06"))
    world.settle(1)  # nobody has looked yet
    assert reduced(world) == []
    world.message(make_plan("plan00000009", buy="gamma", sell="beta", now_ns=world.now_ns))
    world.positions["gamma"] = {PERP: D("0.06")}
    world.settle(10)
    (told,) = reduced(world)
    assert told.qty == D("0.06"), "the whole 0.1 were closed by the plan after it"
    assert held(world) == D("0.06"), "as the venue says"


def test_what_we_opened_after_it_was_not_closed_by_it() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.5")}
    world.settle(60)
    close_by_itself(world, fill(world, "own1", "0.4"))
    world.settle(1)
    world.message(make_plan("plan00000009", buy="beta", sell="gamma", now_ns=world.now_ns))
    world.positions["gamma"] = {PERP: D("-0.2")}
    world.settle(10)
    (told,) = reduced(world)
    assert told.qty == D("0.1"), "0.3 of it closed what others held"
    assert held(world) == D("-0.1")


def test_an_order_of_somebody_else_is_left_alone_as_before() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(10)
    close_by_itself(world, fill(world, "own1", "0.1"), forced="")
    world.positions["gamma"] = {PERP: D(0)}
    world.settle(10)
    assert (reduced(world), alerts(world), held(world)) == ([], [], D("-0.1"))


def test_a_position_of_others_that_does_not_change_is_not_looked_for_again() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.5")}
    world.settle(20)
    account = world.engine.reconciler._accounts["gamma"]
    until_ns = account.sweep_until_ns
    world.settle(60)
    assert account.sweep_until_ns == until_ns < world.now_ns - 30 * SECOND


@pytest.mark.parametrize("is_answered_first", [True, False])
def test_what_is_ours_shows_only_when_lost_orders_are_found(is_answered_first: bool) -> None:
    """The venue is asked about its own order before it is about the one that made the position."""
    world = make_world()
    world.settle(3)
    plan = make_plan(now_ns=world.now_ns, buy="gamma", sell="beta")
    world.message(plan, torn="between legs")
    world.now_ns += SECOND
    close_by_itself(world, fill(world, "own1", "0.06", Side.SELL))
    if is_answered_first:
        world.orders["gamma"] = dict(reversed(world.orders["gamma"].items()))
    world.crash()
    world.settle(20)
    assert [(each.trade_id, each.qty) for each in reduced(world)] == [("own1", D("0.06"))]
    assert world.engine.counters()["orders_adopted"] == 1
    (done,) = world.published(PlanDone)
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert done.began_with == {f"gamma|{PERP}": D("-0.06")}
    assert [each.of_no_round for each in reduced(world)] == [D("0.06")]
    assert world.true_exposure() == 0, "the plan evens out what the venue has left of it"
    assert not world.engine.state.locked


def test_it_counts_for_what_no_plan_holds_before_it_does_for_plans_in_flight() -> None:
    world = holding()
    round_is = world.true_exposure()
    plan = make_plan("plan00000002", now_ns=world.now_ns, buy="beta", sell="gamma", qty="0.05")
    plan = msgspec.structs.replace(plan, legs=plan.legs[::-1])
    world.message(plan, torn="between legs")
    assert world.true_position("gamma") == D("-0.15")
    world.now_ns += SECOND
    close_by_itself(world, fill(world, "own1", "0.12"))
    world.crash()
    world.settle(20)
    assert [(each.qty, each.of_no_round) for each in reduced(world)] == [(D("0.12"), D("0.02"))]
    assert world.true_exposure() - round_is == D("0.1"), "the round is uneven, the plan is not"


@pytest.mark.parametrize("part", ["0.06", "0.1"])
def test_what_we_closed_after_the_venue_had_is_evened_out(part: str) -> None:
    """Of a plan without a record, which was closed before anybody told of the liquidation."""
    world = make_world()
    world.settle(3)
    plan = make_plan(now_ns=world.now_ns, buy="gamma", sell="beta")
    world.message(plan, torn="between legs")
    world.now_ns += SECOND
    hidden = close_by_itself(world, fill(world, "own1", part, Side.SELL))
    del world.orders["gamma"]["adl_autoclose"]
    world.crash()
    world.settle(20)
    (done,) = world.published(PlanDone)
    assert (held(world), reduced(world)) == (0, [])
    world.orders["gamma"]["adl_autoclose"] = hidden
    world.positions["gamma"] = {PERP: -D(part)}
    world.settle(20)
    (told,) = reduced(world)
    assert (told.qty, told.of_no_round) == (D(part), D(part))
    assert held(world) == 0, "and not short of what nobody holds"
    (first, then) = world.published(PlanDone)
    assert (first, then.began_with) == (done, {f"gamma|{PERP}": -D(part)})
    assert not world.engine.state.locked


@pytest.mark.parametrize("part", ["0.06", "0.1"])
def test_what_a_plan_in_flight_closed_after_the_venue_had_it_evens_out_itself(part: str) -> None:
    """A loss of records: its closing order is found before the venue's, and it has not ended."""
    world = make_world()
    world.settle(3)
    plan = make_plan(now_ns=world.now_ns, buy="gamma", sell="beta")
    world.message(plan, torn="between legs")
    world.now_ns += SECOND
    hidden = close_by_itself(world, fill(world, "own1", part, Side.SELL))
    del world.orders["gamma"]["adl_autoclose"]
    world.crash()
    while not world.engine.state.open_plans():  # until the order is adopted
        world.deliver() if world.inbox else world.tick()
    kept = len(world.history)
    world.settle(20)
    assert (held(world), reduced(world)) == (0, [])
    world.orders["gamma"]["adl_autoclose"] = hidden
    world.positions["gamma"] = {PERP: -D(part)}
    del world.history[kept:]
    world.closed["alpha"] = Cause.SERVICE  # nothing ends before its account is read
    world.crash()
    world.settle(3)
    assert world.engine.obstacle
    (told,) = reduced(world)
    assert (told.qty, told.of_no_round) == (D(part), D(part))
    assert held(world) == -D(part), "as the venue says"
    world.closed.clear()
    world.positions.clear()
    world.settle(60)
    assert held(world) == 0
    assert world.true_exposure() == 0, "and not short of what nobody holds"
    assert not world.engine.state.locked
