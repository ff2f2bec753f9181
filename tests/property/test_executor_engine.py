"""Whatever venues and crashes do: no order twice, every fill owned, even or said aloud.

Interleavings come from a seed, so that a failure is repeated by its number; hypothesis's own draws
would be an order of magnitude slower for the same coverage.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages.execution import PlanDone, PlanOutcome
from tests.executor_model import D, World, make_plan

LOSS_SLACK = D("1")
"""Quote units: fees estimated before the venue told them."""
VENUES = (("alpha", "beta"), ("beta", "gamma"), ("gamma", "alpha"))
CRASHES = ("before sending", "between legs", "before commit", "before acting")
NEXT = ("deliver", "deliver", "deliver", "tick", "again", "crash")


def run(seed: int, *, crashes: tuple[str, ...]) -> World:
    """One plan among misbehaving venues, with crashes of the kinds given, until all is quiet."""
    random = Random(seed)

    def choose(_: str, options: tuple[Any, ...]) -> Any:
        return random.choice(options)

    def torn() -> str:
        return choose("torn", ("", "", "", *(kind for kind in crashes if kind != "lose")))

    world = World(choose)
    while world.engine.obstacle:  # the first reconciliation
        while world.inbox:
            world.deliver()
        world.tick()
    buy, sell = choose("venues", VENUES)
    plan = make_plan(buy=buy, sell=sell, now_ns=world.now_ns)
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
        else:
            world.tick(torn=torn())
    world.settle(seconds=20)
    return world


RUN = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 1_000_000)


@RUN
@given(seeds)
def test_any_behavior_of_venues_ends_even_or_says_so(seed: int) -> None:
    world = run(seed, crashes=())
    world.check_quiet()
    done = [d for d in world.said(PlanDone) if d.plan_id == "plan00000001"]
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


@pytest.mark.parametrize("seed", range(20))
def test_the_same_run_says_the_same(seed: int) -> None:
    first, second = (run(seed, crashes=CRASHES) for _ in range(2))
    assert first.messages == second.messages
