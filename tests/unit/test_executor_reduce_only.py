"""Orders that close positions are reduce-only: nothing is closed twice, and a refusal is told."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.executor.reduce_only import take_over
from services.executor.state import Down, PlanKind, PlanRecord
from shared.errors import Cause
from shared.messages.base import Side
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import OrderEvent, OrderPurpose, OrderStatus, PlanDone, PlanOutcome
from shared.messages.rounds import Intent
from tests.executor_model import LOT, MS, PERP, SPOT, World
from tests.unit.test_executor_engine import command
from tests.unit.test_executor_funding import PAIR, holding
from tests.unit.test_executor_reductions import alerts, close_by_itself, fill, held, reduced
from tests.unit.test_executor_rounds import of_round

CLOSE = (("beta", Side.SELL, "0.1"), ("gamma", Side.BUY, "0.1"))


def flatten(world: World) -> None:
    command = Command(
        ts_ns=world.now_ns, command_id="f1", kind=CommandKind.FLATTEN, operator="test"
    )
    world.message(command)


def submitted(world: World, purpose: OrderPurpose = OrderPurpose.FLATTEN) -> list[OrderEvent]:
    return [
        event
        for event in world.published(OrderEvent)
        if event.purpose is purpose and event.status is OrderStatus.SUBMITTED
    ]


def downs(world: World) -> dict[str, Down]:
    return world.engine.state.down


def test_flatten_is_reduce_only_in_derivatives_and_not_in_spot() -> None:
    world = holding()
    flatten(world)
    world.settle(5)
    sent = {event.instrument: event.reduce_only for event in submitted(world)}
    assert sent == {PERP: True, "BTC/USDT": False}
    assert held(world) == world.true_position("gamma") == 0


def test_a_fill_that_is_told_late_is_not_closed_once_more() -> None:
    """The answer says canceled, nothing filled; it was all filled, as executions show later."""
    world = holding()
    world.hides_fills["gamma"] = 900 * MS
    flatten(world)
    world.settle(8)
    assert world.true_position("gamma") == held(world) == 0
    assert world.positions_seen["gamma"] <= {D("-0.1"), D(0)}, "it was never turned"
    assert not downs(world)
    assert not world.engine.state.locked
    world.hides_fills.clear()
    world.check_owned()


def test_what_the_venue_closed_meanwhile_counts_for_flatten() -> None:
    world = holding()
    close_by_itself(world, fill(world, "own1", "0.06"))
    flatten(world)
    world.settle(8)
    assert [each.trade_id for each in reduced(world)] == ["own1"]
    assert world.true_position("gamma") == held(world) == 0
    ends = [done for done in world.published(PlanDone) if done.plan_id != "plan00000001"]
    assert {done.outcome for done in ends} == {PlanOutcome.UNWOUND}
    assert not downs(world)


def test_what_the_venue_closed_meanwhile_counts_for_the_closing_of_a_round() -> None:
    world = holding()
    close_by_itself(world, fill(world, "own1", "0.1"))
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(8)
    (leg,) = [e for e in world.published(OrderEvent) if e.status is OrderStatus.REJECTED]
    assert (leg.venue, leg.reduce_only) == ("gamma", True)
    assert world.true_position("gamma") == held(world) == 0, "no position the other way"
    assert world.true_exposure() == 0
    assert [each.of_rounds for each in reduced(world)] == [{"basis|r1": D("0.1")}]
    assert not downs(world)
    assert not world.engine.state.locked


def test_of_what_the_venue_closed_of_two_rounds_a_closing_counts_only_its_own() -> None:
    """The position of both is gone, in two trades; the first round is closed, and no more."""
    world = holding()
    other = of_round(world, PAIR, Intent.OPEN, plan_id="plan00000003")
    world.message(msgspec.structs.replace(other, strategy="other", round_id="r2"))
    world.settle(3)
    assert held(world) == D("-0.2")
    close_by_itself(world, fill(world, "own1", "0.1"), fill(world, "own2", "0.1"))
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(8)
    sold = [(e.venue, e.qty) for e in submitted(world, OrderPurpose.LEG) if e.side is Side.SELL]
    assert sold[-1] == ("beta", D("0.1"))
    assert not [e for e in world.published(OrderEvent) if e.purpose is not OrderPurpose.LEG]
    assert world.published(PlanDone)[-1].began_with == {"BTC/USDT": D("0.1")}
    assert held(world) == world.true_position("gamma") == 0
    parts = [each.of_rounds for each in reduced(world)]
    assert parts == [{"basis|r1": D("0.1")}, {"basis|r1": 0}]
    assert world.true_exposure() == D("0.1"), "what the other round holds in spot is left to it"


def test_a_round_whose_late_fill_is_being_evened_out_is_told_from_others() -> None:
    """The venue closed of what the other round holds; the late fill is closed by its own plan."""
    world = holding()
    state = world.engine.state
    late = adopted_plan(world)
    late.strategy, late.round_id = "other", "r2"
    state.add_plan(late)
    state.books.quantities[f"gamma|{PERP}"] -= D("0.05")
    assert take_over(state, "gamma", fill(world, "own1", "0.06")).of_rounds == {"other|r2": 0}
    assert late.opening == D("-0.05")
    state.books.quantities[f"gamma|{PERP}"] += D("0.06")
    taken = take_over(state, "gamma", fill(world, "own2", "0.07"))
    assert (taken.of_rounds, taken.of_no_round) == ({"other|r2": D("0.03")}, 0)
    assert late.opening == D("-0.02")


def test_what_a_closing_in_flight_has_closed_is_held_by_no_round_any_more() -> None:
    """The venue closed of what an adopted plan holds, which closes that much less."""
    world = holding()
    state = world.engine.state
    world.message(of_round(world, CLOSE[::-1], Intent.CLOSE, plan_id="plan00000002"))
    while held(world):
        world.deliver()
    closing, adopted = state.plans["plan00000002"], adopted_plan(world)
    assert closing.is_open
    state.add_plan(adopted)
    state.books.quantities[f"gamma|{PERP}"] -= D("0.05")
    taken = take_over(state, "gamma", fill(world, "own1", "0.02"))
    assert (taken.of_no_round, taken.of_rounds) == (D("0.02"), {"basis|r1": 0})
    assert adopted.opening == D("-0.03")


def adopted_plan(world: World) -> PlanRecord:
    """A plan of no round that is short 0.05 of gamma's perpetual."""
    return PlanRecord(
        plan_id="plan00000009",
        kind=PlanKind.ADOPTED,
        base="BTC",
        quote="USDT",
        legs=[],
        loss_cap=D(1),
        reference=D(10_000),
        ts_started_ns=world.now_ns,
        opening=D("-0.05"),
        holding=f"gamma|{PERP}",
    )


@pytest.mark.parametrize("others", ["-0.3", "-0.06"])
def test_what_flatten_has_closed_since_the_venue_has_closed_of_others(others: str) -> None:
    """Its own fill is told when the FLATTEN has ended; the account held more than we did."""
    world = holding()
    world.others["gamma"] = D(others)
    world.positions["gamma"] = {PERP: world.true_position("gamma")}
    world.settle(60)
    close_by_itself(world, fill(world, "own1", "0.06"))
    hidden = world.orders["gamma"].pop("adl_autoclose")
    world.others["gamma"] = D(others) + D("0.06")
    world.now_ns += MS
    flatten(world)
    world.settle(5)
    assert held(world) == 0
    assert not alerts(world)
    world.orders["gamma"]["adl_autoclose"] = hidden
    world.others["gamma"] = D(others)
    world.positions["gamma"] = {PERP: world.true_position("gamma")}
    world.settle(30)
    (told,) = alerts(world)
    assert "0.00 of it ours" in told.text
    assert held(world) == 0
    assert not reduced(world)
    assert world.true_position("gamma") == D(others) + D("0.06")
    assert not world.engine.state.locked


def test_a_position_that_is_gone_without_a_fill_fails_the_flatten_and_no_instrument() -> None:
    world = holding()
    world.others["gamma"] = D("0.1")  # somebody closed it in an order of their own
    flatten(world)
    world.settle(20)
    assert world.true_position("gamma") == 0, "nothing was opened instead"
    assert [d.outcome for d in world.published(PlanDone)].count(PlanOutcome.FAILED) == 1
    assert world.engine.state.locked
    assert any(a.code == "PLAN_FAILED" for a in world.published(Alert))
    assert not downs(world), "what is refused is these orders, not the instrument"


def test_an_order_that_the_venue_cut_to_the_position_is_over() -> None:
    world = holding()
    world.cuts_reduce_only = True
    close_by_itself(world, fill(world, "own1", "0.06"))
    flatten(world)
    world.settle(8)
    assert world.true_position("gamma") == held(world) == 0
    told = {(e.status, e.filled_qty) for e in world.published(OrderEvent) if e.reduce_only}
    assert (OrderStatus.CANCELED, D("0.04")) in told
    assert not any(status is OrderStatus.FILLED for status, _ in told)


def test_a_closing_leg_is_plain_where_the_account_as_a_whole_holds_less() -> None:
    """Another strategy's round offsets it at the venue: it is closed by opening there."""
    world = holding()
    other = of_round(
        world,
        (("beta", Side.SELL, "0.1"), ("gamma", Side.BUY, "0.1")),
        Intent.OPEN,
        plan_id="plan00000003",
    )
    world.message(msgspec.structs.replace(other, strategy="other", round_id="r2"))
    world.settle(3)
    assert held(world) == 0
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(3)
    (leg,) = [
        e
        for e in submitted(world, OrderPurpose.LEG)
        if e.plan_id == "plan00000002" and e.venue == "gamma"
    ]
    assert not leg.reduce_only
    assert held(world) == D("0.1")


def test_the_refusal_has_its_own_cause() -> None:
    assert Cause.NOTHING_TO_REDUCE.scope.value == "order"


def test_flatten_keeps_a_hedge_while_nothing_prices_the_other_leg() -> None:
    """Some seconds: then it closes the leg that has a book, and says what it leaves open."""
    world = holding()
    world.books_down = {"gamma"}
    world.settle(1)
    flatten(world)
    world.settle(3)
    assert opened(world) == {f"gamma|{PERP}", SPOT}
    world.books_down = set()
    world.settle(4)
    assert opened(world) == set()
    assert not [each for each in world.published(Alert) if each.code == "FLATTEN_WAITS"]


def test_flatten_says_that_it_closes_a_hedge_alone() -> None:
    world = holding()
    world.books_down = {"gamma"}
    world.settle(1)
    flatten(world)
    world.settle(12)
    assert opened(world) == {f"gamma|{PERP}"}
    (alert,) = [each for each in world.published(Alert) if each.code == "FLATTEN_WAITS"]
    assert alert.severity is Severity.CRITICAL
    for word in ("gamma", PERP, SPOT, "hedges"):
        assert word in alert.text
    world.books_down = set()
    world.settle(10)
    assert opened(world) == set()


def test_a_resume_that_ends_a_waiting_flatten_says_what_is_left_open() -> None:
    world = holding()
    world.books_down = {"gamma"}
    world.settle(1)
    flatten(world)
    world.settle(2)
    command(world, CommandKind.RESUME)
    (alert,) = [each for each in world.published(Alert) if each.code == "FLATTEN_ENDED"]
    assert f" {PERP} at gamma," in alert.text
    assert f" {SPOT}," in alert.text
    world.books_down = set()
    world.settle(5)
    assert opened(world) == {f"gamma|{PERP}", SPOT}, "it is ended"


def opened(world: World) -> set[str]:
    """Holdings that are more than dust."""
    return {key for key, qty in world.engine.state.books.opened().items() if abs(qty) > LOT}
