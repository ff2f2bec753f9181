"""Whatever venues and crashes do: no order twice, every fill owned, even or said aloud.

Interleavings come from a seed, so that a failure is repeated by its number; hypothesis's own draws
would be an order of magnitude slower for the same coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.executor.state import PlanKind
from shared.errors import Cause
from shared.messages.control import Command, CommandKind
from shared.messages.execution import ApprovedPlan, PlanDone, PlanOutcome
from shared.messages.terms import LegPolicy
from tests.executor_model import HABITS, PLACES, SECOND, T0, THREE_LEGS, D, World, make_plan

LOSS_SLACK = D("1")
"""Quote units: fees estimated before the venue told them."""
VENUES = (("alpha", "beta"), ("beta", "gamma"), ("gamma", "alpha"))
CRASHES = ("before sending", "between legs", "before commit", "before acting")
LONG_NS = 30 * SECOND
"""Well below the 40 seconds after which ids given after a restart begin anew (ids.py)."""
NEXT = ("deliver", "deliver", "deliver", "tick", "again", "crash", "close")
Choose = Callable[[str, tuple[Any, ...]], Any]


def run(seed: int, *, crashes: tuple[str, ...], is_streamed: bool = False) -> World:
    """One plan among misbehaving venues, with crashes of the kinds given, until all is quiet."""
    random = Random(seed)

    def choose(_: str, options: tuple[Any, ...]) -> Any:
        return random.choice(options)

    def torn() -> str:
        return choose("torn", ("", "", "", *(kind for kind in crashes if kind != "lose")))

    world = World(choose, account_streams=is_streamed)
    while world.engine.obstacle:  # the first reconciliation
        while world.inbox:
            world.deliver()
        world.tick()
    misbehave(world, choose)
    buy, sell = choose("venues", VENUES)
    legs = choose("legs", ((), *THREE_LEGS))
    plan = make_plan(buy=buy, sell=sell, legs=legs, now_ns=world.now_ns)
    if not legs:
        plan = msgspec.structs.replace(plan, policy=choose("policy", tuple(LegPolicy)))
    start = torn()
    world.message(plan, torn=start)
    lost = "lose" in crashes and choose("the plan is lost with the bus", (False, True))
    if start and not lost:
        for _ in range(choose("redelivered after", (0, 0, 2, 5))):  # venues may answer before
            if world.inbox:
                world.deliver()
        world.message(plan, redelivered=True)
    for _ in range(choose("steps", (0, 3, 8, 20))):
        what = choose("next", NEXT)
        if what in {"deliver", "again"} and world.inbox:
            index = choose("which", tuple(range(min(4, len(world.inbox)))))
            world.deliver(index, keep=what == "again", torn=torn())
        elif what == "crash" and crashes:
            world.crash(rollback=choose("lost", (0, 1, 3)) if "lose" in crashes else 0)
        elif what == "close":
            close(world, choose)
        else:
            world.tick(torn=torn())
    world.closed.clear()
    world.settle(seconds=40)
    return world


def misbehave(world: World, choose: Choose) -> None:
    """Some venues refuse everything, or hardly fill, for good."""
    for venue in PLACES:
        if choose("is bad", (False, False, True)):
            world.habits[venue] = choose("habit", HABITS)


def close(world: World, choose: Choose) -> None:
    """An account cannot be asked for anything, or can be again."""
    venue = choose("closes", tuple(PLACES))
    if world.closed.pop(venue, None) is None:
        world.closed[venue] = choose("cause", tuple(Cause))


def run_many(seed: int, *, crashes: tuple[str, ...], is_streamed: bool = False) -> World:
    """Many plans, some of them open at a time, and an operator who flattens and resumes."""
    random = Random(seed)

    def choose(_: str, options: tuple[Any, ...]) -> Any:
        return random.choice(options)

    def torn() -> str:
        kinds = tuple(kind for kind in crashes if kind != "lose")
        return choose("torn", ("",) * 12 + kinds)

    def command(kind: CommandKind) -> Command:
        return Command(ts_ns=world.now_ns, command_id=f"{kind}{number}", kind=kind, operator="test")

    def is_handled(message: ApprovedPlan | Command) -> bool:
        state = world.engine.state
        if isinstance(message, Command):
            return message.command_id in state.command_ids
        plan = state.plans.get(message.plan_id)
        is_begun = plan is not None and plan.kind is not PlanKind.ADOPTED
        return is_begun or any(d.plan_id == message.plan_id for d in world.published(PlanDone))

    def say_again() -> None:
        """What crashes took back is still pending."""
        for message in inputs:
            if not is_handled(message):
                world.message(message, redelivered=True, torn=torn())

    world = World(choose, account_streams=is_streamed)
    misbehave(world, choose)
    inputs: list[ApprovedPlan | Command] = []
    for number in range(choose("plans", (10, 20, 30))):
        if world.now_ns - T0 > LONG_NS:
            break
        for _ in range(choose("ready", (0, 100, 100, 100))):
            if not world.engine.obstacle or world.engine.state.locked:
                break
            world.deliver() if world.inbox else world.tick()
        if world.engine.state.halted and not world.engine.state.locked:
            world.message(command(CommandKind.RESUME))
        elif choose("flatten", (False,) * 9 + (True,)):
            inputs.append(command(CommandKind.FLATTEN))
            world.message(inputs[-1], torn=torn())
        buy, sell = choose("venues", VENUES)
        qty = choose("qty", ("0.1", "0.003"))
        plan = make_plan(f"plan{number:08d}", buy=buy, sell=sell, qty=qty, now_ns=world.now_ns)
        inputs.append(msgspec.structs.replace(plan, policy=choose("policy", tuple(LegPolicy))))
        world.message(inputs[-1], torn=torn())
        for _ in range(choose("steps", (0, 3, 8, 20))):
            what = choose("next", NEXT)
            if what == "deliver" and world.inbox:
                index = choose("which", tuple(range(min(4, len(world.inbox)))))
                world.deliver(index, torn=torn())
            elif what == "crash" and crashes and choose("crash", (True, False)):
                world.crash(rollback=choose("lost", (0, 1, 3, 9)) if "lose" in crashes else 0)
            elif what == "again":
                say_again()
            elif what == "close":
                close(world, choose)
            else:
                world.tick(torn=torn())
    world.closed.clear()
    while not all(is_handled(message) for message in inputs):
        say_again()
    world.settle(seconds=40)
    return world


RUN = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 1_000_000)


@RUN
@given(seeds)
def test_any_behavior_of_venues_ends_even_or_says_so(seed: int) -> None:
    world = run(seed, crashes=())
    world.check_quiet()
    done = [d for d in world.published(PlanDone) if d.plan_id == "plan00000001"]
    assert len(done) == 1, "a plan ends exactly once"
    if done[0].outcome is not PlanOutcome.FAILED:
        assert done[0].realized + sum(done[0].dust.values(), D(0)) * 10_000 >= -20 - LOSS_SLACK


@RUN
@given(seeds)
def test_a_crash_at_any_step_changes_nothing_of_that(seed: int) -> None:
    run(seed, crashes=CRASHES).check_quiet()


@RUN
@given(seeds)
def test_records_lost_with_the_bus_are_found_at_the_venues(seed: int) -> None:
    run(seed, crashes=(*CRASHES, "lose")).check_quiet()


@RUN
@given(seeds, st.sampled_from([(), CRASHES, (*CRASHES, "lose")]))
def test_what_venues_push_beside_their_answers_changes_nothing_of_that(
    seed: int, crashes: tuple[str, ...]
) -> None:
    run(seed, crashes=crashes, is_streamed=True).check_quiet()


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([(), CRASHES, (*CRASHES, "lose")]))
def test_many_plans_with_what_venues_push(seed: int, crashes: tuple[str, ...]) -> None:
    world = run_many(seed, crashes=crashes, is_streamed=True)
    world.check_quiet()
    done = [d.plan_id for d in world.published(PlanDone)]
    assert len(done) == len({*done}), "a plan ends exactly once"


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([(), CRASHES, (*CRASHES, "lose")]))
def test_many_plans_end_as_one_does(seed: int, crashes: tuple[str, ...]) -> None:
    world = run_many(seed, crashes=crashes)
    world.check_quiet()
    done = [d.plan_id for d in world.published(PlanDone)]
    assert len(done) == len({*done}), "a plan ends exactly once"


@pytest.mark.parametrize("seed", [1014, 1075, 1264])
def test_a_venue_that_was_away_is_read_from_where_it_was_left(seed: int) -> None:
    """Histories in which records are lost while a venue cannot be read for a minute."""
    run_many(seed, crashes=(*CRASHES, "lose")).check_quiet()


@pytest.mark.parametrize("seed", range(20))
def test_the_same_run_says_the_same(seed: int) -> None:
    first, second = (run(seed, crashes=CRASHES) for _ in range(2))
    assert first.messages == second.messages
