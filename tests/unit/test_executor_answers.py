"""A venue that fails some orders, or answers late, stands down, is checked, and is judged anew."""

from __future__ import annotations

from typing import Any

import pytest

from services.executor.answers import ANSWERS_KEPT, ANSWERS_LEAST, VenueAnswers
from services.executor.down import COST_WINDOW_NS
from services.executor.standdown import FALLS_MAX, PROBE_PAUSE_NS
from shared.errors import Cause
from shared.messages.control import CommandKind
from shared.messages.execution import PlanOutcome
from tests.executor_model import MS, SECOND, World
from tests.unit.test_executor_engine import command
from tests.unit.test_executor_standdown import alerts, down, trade

T0 = 1_700_000_000_000_000_000


def ready(**limits: Any) -> World:
    """A ready world with these limits, in which a slow answer takes 1,500 ms."""
    world = World(lambda what, options: 1_500 if what == "answers after" else options[0], **limits)
    world.calm = True
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def answered(*took_ms: int, failures: int = 0) -> VenueAnswers:
    told = VenueAnswers()
    for number, each in enumerate(took_ms):
        told.add(each * MS, is_failure=number < failures)
    return told


@pytest.mark.parametrize(
    ("failures", "count", "flaw"),
    [
        (3, 10, ""),
        (4, 10, "it failed 4 of its last 10 orders"),
        (6, 20, ""),
        (7, 20, "it failed 7 of its last 20 orders"),
        (9, ANSWERS_LEAST - 1, ""),
        (5, 30, ""),  # those were long ago
    ],
)
def test_the_share_of_failures_among_the_last_answers(failures: int, count: int, flaw: str) -> None:
    told = answered(*[1] * count, failures=failures)
    assert told.flaw(0.3, 0) == flaw
    assert told.flaw(0, 0) == ""
    assert len(told.answers) <= ANSWERS_KEPT


@pytest.mark.parametrize(
    ("took_ms", "flaw"),
    [
        ([100] * 5 + [900] * 5, "half of its last 10 answers took 900 ms or longer"),
        ([100] * 6 + [900] * 4, ""),
        ([800] * 10, ""),
        ([900] * 9 + [0] * 11, ""),  # nine answers, and eleven that were not sent
        ([900] * (ANSWERS_LEAST - 1), ""),
    ],
)
def test_how_long_half_of_the_last_answers_took(took_ms: list[int], flaw: str) -> None:
    assert answered(*took_ms).flaw(0, 800) == flaw
    assert answered(*took_ms).flaw(0.5, 0) == ""


def test_falls_soon_after_one_another_are_counted() -> None:
    told = answered(1, 1)
    assert told.fall(T0) == 1
    assert told.answers == []
    assert told.fall(T0 + COST_WINDOW_NS - 1) == 2
    assert told.fall(T0 + 2 * COST_WINDOW_NS) == 1


def fail_every_second_until_it_stands_down(world: World) -> None:
    for number in range(30):
        world.habits["beta"] = Cause.RATE.value if number % 2 else "full"
        trade(world, 1)
        if down(world):
            return


def test_a_venue_that_fails_every_second_order_stands_down_and_comes_back() -> None:
    world = ready(venue_error_rate_max=0.4)
    fail_every_second_until_it_stands_down(world)
    assert down(world) == {"beta": "it failed 5 of its last 10 orders"}
    (said,) = alerts(world, "VENUE_STANDS_DOWN")
    assert "it is checked again after a pause" in said.text
    world.habits["beta"] = "full"
    world.settle(PROBE_PAUSE_NS // SECOND + 2)
    assert not down(world)
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.FILLED


def test_a_venue_that_comes_back_from_refusals_is_judged_anew() -> None:
    """What it answered before it was checked no longer counts, whatever it stood down for."""
    world = ready(venue_error_rate_max=0.4)
    trade(world, 6)
    world.habits["beta"] = Cause.RATE.value
    for _ in range(10):
        trade(world, 1)
        if down(world):
            break
    assert "of its last" not in down(world)["beta"]
    world.habits["beta"] = "full"
    world.settle(PROBE_PAUSE_NS // SECOND + 2)
    assert not down(world)
    assert world.engine.state.answers["beta"].answers == []


def test_a_venue_that_answers_late_stands_down() -> None:
    world = ready(venue_latency_ms_max=1_000)
    world.habits["beta"] = "slow"
    trade(world, ANSWERS_LEAST + 2)
    assert down(world) == {"beta": "half of its last 10 answers took 1500 ms or longer"}


@pytest.mark.parametrize("limits", [{}, {"venue_latency_ms_max": 1_500}])
def test_a_venue_within_the_limits_is_traded(limits: dict[str, int]) -> None:
    world = ready(**limits)
    world.habits["beta"] = "slow"
    ends = trade(world, ANSWERS_LEAST + 2)
    assert {end.outcome for end in ends} == {PlanOutcome.FILLED}
    assert down(world) == {}


def test_answers_survive_a_restart() -> None:
    world = ready(venue_latency_ms_max=1_000)
    world.habits["beta"] = "slow"
    trade(world, ANSWERS_LEAST - 1)
    world.crash()
    world.settle(3)
    assert down(world) == {}
    trade(world, 1)
    assert "beta" in down(world)


def test_after_as_many_falls_an_operator_has_to_say_so() -> None:
    world = ready(venue_latency_ms_max=1_000)
    world.habits["beta"] = "slow"
    for _ in range(FALLS_MAX + 1):
        trade(world, ANSWERS_LEAST)
        world.settle(60)
    assert "arb resume" in alerts(world, "VENUE_STANDS_DOWN")[-1].text
    assert "beta" in down(world)
    command(world, CommandKind.RESUME)
    assert down(world) == {}
