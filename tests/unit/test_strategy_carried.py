"""The id of a strategy goes from its opportunity to the last fill of its plan."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.executor import checkpoint
from services.executor.state import PlanKind
from shared.codec import decode, encode
from shared.domain.executions import Execution
from shared.errors import CodecError
from shared.messages.base import Side
from shared.messages.control import Command, CommandKind
from shared.messages.execution import (
    OPERATOR_STRATEGY,
    ApprovedPlan,
    Fill,
    OrderEvent,
    PlanDone,
    PlanOutcome,
)
from shared.streams import ARB_OPPORTUNITY, EXEC_PLAN
from tests.decision_builders import T0, make_opportunity, make_risk
from tests.executor_model import World, make_plan

D = Decimal


def world_of(**behaviors: str) -> World:
    """A ready world in which each venue behaves as named once, and well otherwise."""
    left = dict(behaviors)

    def choose(what: str, options: tuple[Any, ...]) -> Any:
        venue, _, verb = what.partition(" ")
        return left.pop(venue, "full") if verb == "does" else options[0]

    world = World(choose)
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def plan_of(world: World, strategy: str = "basis-btc", **changes: Any) -> ApprovedPlan:
    return msgspec.structs.replace(make_plan(now_ns=world.now_ns, **changes), strategy=strategy)


def strategies(world: World) -> dict[type, set[str]]:
    """What was said of orders, fills and ends."""
    return {
        kind: {m.strategy for m in world.published(kind)} for kind in (OrderEvent, Fill, PlanDone)
    }


def test_the_scanner_names_its_strategy_and_risk_its_plan_after_it() -> None:
    found = make_opportunity()
    assert found.strategy_id == found.detector == "cross_venue"
    engine = make_risk()
    out = engine.on_message(msgspec.structs.replace(found, strategy_id="basis-btc"), T0).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    assert plan.strategy == "basis-btc"
    assert engine.ledger.reservations[plan.plan_id].strategy == "basis-btc"


def test_a_plan_of_an_older_risk_names_none() -> None:
    (raw,) = msgspec.json.decode(encode(EXEC_PLAN, [make_plan()]))
    del raw["strategy"]
    (plan,) = decode(EXEC_PLAN, msgspec.json.encode([raw]))
    assert plan.strategy == ""


@pytest.mark.parametrize("bad", ["a b", "a|b", "a/b", "é", "x" * 65, "\x00"])
def test_what_cannot_be_an_id_does_not_decode(bad: str) -> None:
    found = msgspec.structs.replace(make_opportunity(), strategy_id=bad)
    with pytest.raises(CodecError, match="strategy_id"):
        decode(ARB_OPPORTUNITY, encode(ARB_OPPORTUNITY, [found]))


@pytest.mark.parametrize("beta", ["full", "reject", "late_fill", "lost_part"])
def test_orders_fills_and_the_end_of_a_plan_carry_it(beta: str) -> None:
    """Hedges, unwinds and what evens out a late fill too."""
    world = world_of(beta=beta)
    world.message(plan_of(world))
    world.settle(15)
    told = strategies(world)
    assert told == {OrderEvent: {"basis-btc"}, Fill: {"basis-btc"}, PlanDone: {"basis-btc"}}
    assert len(world.published(OrderEvent)) > 4 or beta == "full"


def test_a_plan_that_is_not_started_carries_it() -> None:
    world = world_of()
    world.message(plan_of(world, qty="0.00015"))
    (done,) = world.published(PlanDone)
    assert (done.outcome, done.strategy) == (PlanOutcome.REFUSED, "basis-btc")


def test_it_survives_a_restart() -> None:
    world = world_of()
    world.message(plan_of(world))
    world.crash()
    assert {p.strategy for p in world.engine.state.plans.values()} == {"basis-btc"}
    world.settle(10)
    assert strategies(world)[Fill] == {"basis-btc"}


def test_what_is_adopted_has_none_until_its_plan_comes_again() -> None:
    world = world_of()
    plan = plan_of(world)
    world.message(plan, torn="between legs")
    while not world.published(Fill):  # found at the venue, under our id
        if world.inbox:
            world.deliver()
        else:
            world.tick()
    (adopted,) = world.engine.state.plans.values()
    assert (adopted.kind, adopted.strategy) == (PlanKind.ADOPTED, "")
    assert {fill.strategy for fill in world.published(Fill)} == {""}
    world.message(plan, redelivered=True)
    assert adopted.strategy == "basis-btc"
    world.settle(10)
    assert {done.strategy for done in world.published(PlanDone)} == {"basis-btc"}


def test_what_flatten_trades_is_the_operator_s() -> None:
    world = world_of()
    bought = Execution(
        venue="binance",
        instrument="BTC/USDT",
        side=Side.BUY,
        qty=D("0.25"),
        cost=D(2_500),
        fee=D(0),
    )
    world.engine.state.books.trade(bought)
    kind = CommandKind.FLATTEN
    world.message(Command(ts_ns=world.now_ns, command_id="c", kind=kind, operator="ann"))
    world.settle(5)
    every = {OPERATOR_STRATEGY}
    assert strategies(world) == {OrderEvent: every, Fill: every, PlanDone: every}


def test_a_checkpoint_of_an_older_executor_names_none() -> None:
    world = world_of()
    world.message(plan_of(world))
    saved = world.engine.checkpoints()
    older = saved[checkpoint.OPEN].replace(b'"strategy":"basis-btc"', b'"holding":""')
    assert older != saved[checkpoint.OPEN]
    state = checkpoint.decode({**saved, checkpoint.OPEN: older})
    assert [plan.strategy for plan in state.open_plans()] == [""]
