"""Inverse contracts in the executor: what their fills hedge, what closes them, FLATTEN."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.executor.intake import Intake
from services.executor.market import Markets
from services.executor.state import ExecutorState
from shared.config_limits import RiskConfig
from shared.messages.base import Side
from shared.messages.control import CommandKind
from shared.messages.execution import ApprovedPlan, OrderEvent, PlanDone, PlanOutcome
from shared.messages.rounds import Intent
from tests.decision_builders import make_info, make_view
from tests.executor_model import INVERSE, INVERSE_PLACES, LOT, T0, Legs, World, make_plan
from tests.unit.test_executor_engine import command, run_to_end

OPENING: Legs = (("beta", Side.BUY, "0.1"), ("gamma", Side.SELL, "1000"))
CLOSING: Legs = (("gamma", Side.BUY, "1000"), ("beta", Side.SELL, "0.125"))


def ready(**behaviors: str) -> World:
    """A world with contracts at gamma, whose venues behave as named once, and well otherwise."""
    left = dict(behaviors)

    def choose(what: str, options: tuple[Any, ...]) -> Any:
        venue, _, verb = what.partition(" ")
        return left.pop(venue, "full") if verb == "does" else options[0]

    world = World(choose, INVERSE_PLACES)
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def of_round(legs: Legs, intent: Intent, *, entry: str = "0", **changes: Any) -> ApprovedPlan:
    plan = make_plan(legs=legs, places=INVERSE_PLACES)
    made = [
        msgspec.structs.replace(leg, inverse_entry=D(entry) if leg.instrument == INVERSE else D(0))
        for leg in plan.legs
    ]
    values = {"strategy": "basis", "intent": intent, "round_id": "r1", "legs": made, **changes}
    return msgspec.structs.replace(plan, **values)


def traded(world: World, done: Callable[[OrderEvent], bool]) -> list[tuple[str, Side, D]]:
    last = {event.client_order_id: event for event in world.published(OrderEvent)}
    return [(x.venue, x.side, x.filled_qty) for x in last.values() if done(x) and x.filled_qty]


def test_contracts_are_hedged_by_the_coins_they_are_at_their_price() -> None:
    world = ready()
    world.message(of_round(OPENING, Intent.OPEN))
    done = run_to_end(world)
    # 1000 / 9999 coins are 0.10001 of them: a lot of spot is more than the rest.
    assert (done.outcome, done.dust) == (PlanOutcome.FILLED, {"BTC": D("-0.00001")})


@pytest.mark.parametrize("failing", ["beta", "gamma"])
def test_a_leg_that_fails_leaves_no_coin_open(failing: str) -> None:
    world = ready(**{failing: "none"})
    world.message(of_round(OPENING, Intent.OPEN))
    done = run_to_end(world)
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert abs(world.true_exposure()) < LOT


def test_half_the_contracts_are_hedged_by_half_the_coins() -> None:
    world = ready(gamma="part")
    for venue in ("alpha", "gamma"):
        world.habits[venue] = "none"
    world.habits["gamma"] = "part"
    world.message(of_round(OPENING, Intent.OPEN))
    run_to_end(world)
    assert abs(world.true_exposure()) < LOT


def test_a_closing_counts_contracts_as_the_coins_they_were_entered_at() -> None:
    """A thousand entered at 8,000 are 0.125 coins, though they are bought for 0.09999 now."""
    world = ready()
    world.message(of_round(CLOSING, Intent.CLOSE, entry="8000"))
    done = run_to_end(world)
    assert (done.outcome, done.dust) == (PlanOutcome.FILLED, {})
    assert len(traded(world, lambda event: True)) == 2


def test_a_closing_whose_contracts_fail_buys_as_many_as_its_coins_were() -> None:
    world = ready(gamma="part")
    world.message(of_round(CLOSING, Intent.CLOSE, entry="8000"))
    world.books_down |= {"alpha", "beta"}  # only gamma has a price for the rest
    world.show_prices()
    run_to_end(world)
    bought = [qty for venue, side, qty in traded(world, lambda e: e.venue == "gamma")]
    assert bought == [D(400), D(600)]


def test_flatten_closes_every_contract_and_no_more() -> None:
    world = ready()
    world.message(of_round(OPENING, Intent.OPEN))
    run_to_end(world)
    command(world, CommandKind.FLATTEN)
    world.settle(20)
    last = [d for d in world.published(PlanDone) if d.plan_id != "plan00000001"]
    assert {d.outcome for d in last} == {PlanOutcome.UNWOUND}
    assert world.true_position("gamma") == 0
    bought = traded(world, lambda e: e.venue == "gamma" and e.side is Side.BUY)
    assert bought == [("gamma", Side.BUY, D(1000))]
    assert all(
        e.reduce_only
        for e in world.published(OrderEvent)
        if e.purpose == "flatten" and (e.instrument == INVERSE)
    )
    assert all(abs(qty) < LOT for qty in world.engine.state.books.opened().values())


def test_a_late_fill_of_contracts_is_traded_back_in_contracts() -> None:
    world = ready(gamma="late_fill")
    world.message(of_round(OPENING, Intent.OPEN))
    world.settle(20)
    late = [d for d in world.published(PlanDone) if d.late_of]
    assert [d.outcome for d in late] == [PlanOutcome.HEDGED]
    assert list(late[0].began_with.values()) == [D(-300)]
    assert abs(world.true_exposure()) < LOT


def test_what_was_saved_before_contracts_were_known_is_read_as_ever() -> None:
    state = ExecutorState()
    assert msgspec.convert(msgspec.to_builtins(state), ExecutorState) == state


def objection(plan: ApprovedPlan) -> str:
    markets = Markets(tuple(INVERSE_PLACES))
    for venue, instrument in INVERSE_PLACES.items():
        lot = D(1) if instrument == INVERSE else LOT
        markets.learn_rules(make_info(venue, instrument, lot_size=lot).rules)
        size = 50_000.0 if instrument == INVERSE else 5.0
        markets.learn_view(
            make_view(venue, instrument, bids=[(9_999.0, size)], asks=[(10_001.0, size)])
        )
    venues = {venue: (name,) for venue, name in INVERSE_PLACES.items()}
    limits = RiskConfig(loss_cap_bps=D(200), order_notional_max=D(1_100))
    return Intake(markets, venues, limits).objection(plan, T0)


def test_plans_are_judged_by_coins_and_quote_units() -> None:
    assert objection(of_round(OPENING, Intent.OPEN)) == ""
    more: Legs = (OPENING[0], ("gamma", Side.SELL, "1030"))
    assert "leave" in objection(of_round(more, Intent.OPEN))
    assert objection(of_round(CLOSING, Intent.CLOSE, entry="8000")) == ""
    assert "leave" in objection(of_round(CLOSING, Intent.CLOSE, entry="10000"))
    large: Legs = (("beta", Side.BUY, "0.12"), ("gamma", Side.SELL, "1200"))
    assert "are allowed" in objection(of_round(large, Intent.OPEN))
