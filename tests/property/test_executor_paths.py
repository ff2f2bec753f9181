"""Whatever venues and crashes do to plans of several assets: every asset is even, or it is said.

Interleavings come from a seed, as in ``test_executor_engine.py``.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.messages.execution import PlanDone, PlanOutcome
from tests.executor_model import HABITS, D
from tests.path_model import FEE_ASSETS, PRICES, WAYS, PathWorld, make_path_plan

CRASHES = ("before sending", "between legs", "before commit", "before acting")
RUN = settings(max_examples=150, deadline=None)


def run(
    seed: int, *, crashes: tuple[str, ...] = (), plans: int = 1, loses: bool = False
) -> PathWorld:
    """Plans among misbehaving venues until all is quiet; ``loses``: with what was said last."""
    random = Random(seed)

    def choose(_: str, options: tuple[Any, ...]) -> Any:
        return random.choice(options)

    def torn() -> str:
        return choose("torn", ("", "", "", *crashes))

    world = PathWorld(choose, choose("fees in", FEE_ASSETS))
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    for venue in ("alpha", "beta"):
        if choose("is bad", (False,) * 5 + (True,)):
            world.habits[venue] = choose("habit", HABITS)
    if choose("a book is down", (False,) * 5 + (True,)):
        world.down.add(choose("which", tuple(PRICES)))
    for number in range(plans):
        legs = choose("way", WAYS)
        plan = make_path_plan(f"plan{number:08d}", legs=legs, now_ns=world.now_ns)
        start = torn()
        world.message(plan, torn=start)
        if start:
            for _ in range(choose("redelivered after", (0, 0, 2, 5))):
                if world.inbox:
                    world.deliver()
            world.message(plan, redelivered=True)
        for _ in range(choose("steps", (0, 3, 8, 20))):
            what = choose("next", ("deliver", "deliver", "again", "tick", "crash"))
            if what in {"deliver", "again"} and world.inbox:
                index = choose("which", tuple(range(min(4, len(world.inbox)))))
                world.deliver(index, keep=what == "again", torn=torn())
            elif what == "crash" and crashes:
                back = choose("lost", (0, 1, 3)) if loses else 0
                world.lost |= back > 0
                world.crash(rollback=back)
            else:
                world.tick(torn=torn())
    world.down.clear()
    world.settle(seconds=40)
    return world


@RUN
@given(st.integers(0, 10**9))
def test_any_fills_leave_every_asset_even_or_say_so(seed: int) -> None:
    run(seed).check_quiet()


@RUN
@given(st.integers(0, 10**9))
def test_crashes_change_nothing_about_that(seed: int) -> None:
    run(seed, crashes=CRASHES).check_quiet()


@RUN
@given(st.integers(0, 10**9))
@example(15_523)  # ETH bought with BTC, and sold at a loss in BTC
def test_orders_found_without_their_plan_are_evened_out_or_it_is_said(seed: int) -> None:
    run(seed, crashes=CRASHES, loses=True).check_quiet()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_several_plans_at_a_time(seed: int) -> None:
    run(seed, plans=4).check_quiet()


@RUN
@given(st.integers(0, 10**9))
def test_the_loss_stays_within_the_cap(seed: int) -> None:
    """In the quote asset, what is left counted at its stated price."""
    world = run(seed)
    (plan,) = world.approved.values()
    if any(d.outcome is PlanOutcome.FAILED for d in world.published(PlanDone)):
        return
    worth = {each.asset: each.price for each in plan.values} | {"USDT": D(1)}
    ended = world.published(PlanDone)
    left = sum((qty * worth.get(asset, D(0)) for asset, qty in world.true_changes().items()), D(0))
    # Fees in a third asset are valued by nobody here.
    late = len(ended) > 1
    assert left >= -plan.loss_cap * (2 if late else 1) - 1, (left, plan.loss_cap)


@pytest.mark.parametrize("legs", WAYS)
@pytest.mark.parametrize("fees_in", FEE_ASSETS)
def test_every_combination_of_shares(legs: Any, fees_in: str) -> None:
    """Each leg fills fully, in part, or not at all: 27 ways, all of which end even."""
    shares = ("full", "part", "none")
    for number in range(27):
        fates = [shares[number // 3**place % 3] for place in range(3)]
        turn = iter(fates)
        world = PathWorld(lambda what, _, turn=turn: next(turn, "full"), fees_in)
        while world.engine.obstacle:
            while world.inbox:
                world.deliver()
            world.tick()
        world.message(make_path_plan(legs=legs, now_ns=world.now_ns))
        world.settle(seconds=10)
        world.check_quiet()
        (done,) = world.published(PlanDone)
        assert done.outcome is not PlanOutcome.FAILED, (fates, done)
        assert done.quote == "USDT"
        if fates == ["full"] * 3 and fees_in == "quote":
            assert done.outcome is PlanOutcome.FILLED
