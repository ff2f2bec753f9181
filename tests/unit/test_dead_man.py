"""Dead-man's switches: set while we live, set again in time, turned off at a clean stop."""

from __future__ import annotations

import msgspec
import pytest

from services.cli.look import switch_rows, switch_text
from services.executor import actions as act
from shared.engine import Stopping
from shared.messages.control import Alert
from shared.messages.execution import ExecutorReady
from shared.messages.switches import DeadManSwitch, SwitchState
from tests.executor_model import SECOND, World

AFTER_S = 60


def make_world(**config: object) -> World:
    world = World(lambda what, options: options[0], **{"dead_man_s": AFTER_S, **config})
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def answer(world: World, result: act.Report) -> None:
    world.step(lambda now: world.engine.on_message(result, now))


def light(world: World, venue: str = "alpha") -> DeadManSwitch:
    seen = len(world.published(ExecutorReady))
    while len(world.published(ExecutorReady)) == seen:
        world.settle(1)
    return world.published(ExecutorReady)[-1].switches[venue]


def asked(world: World, venue: str = "alpha") -> list[act.SetSwitch]:
    return [each for each in world.switches if each.venue == venue]


def test_every_venue_is_asked_once_its_account_is_ready() -> None:
    world = make_world()
    assert {each.venue: each.after_s for each in world.switches} == dict.fromkeys(
        ("alpha", "beta", "gamma"), AFTER_S
    )
    assert light(world).state is SwitchState.FAILED, "nobody has answered yet"


def test_it_is_set_again_while_the_setting_lasts() -> None:
    world = make_world()
    for number in range(1, 5):
        newest = asked(world)[-1]
        answer(world, act.SwitchSet(newest))
        shown = light(world)
        assert shown.state is SwitchState.ARMED
        assert shown.ts_until_ns == newest.ts_ns + AFTER_S * SECOND
        world.settle(25)
        assert len(asked(world)) == number + 1
        assert asked(world)[-1].ts_ns - newest.ts_ns == AFTER_S * SECOND // 3


def test_one_that_is_not_answered_is_not_asked_twice_at_a_time() -> None:
    world = make_world()
    world.settle(120)
    assert len(asked(world)) == 1


def test_a_venue_without_one_is_asked_no_more_and_says_so() -> None:
    world = make_world()
    answer(world, act.SwitchSet(asked(world)[0], "none at this venue"))
    world.settle(90)
    assert len(asked(world)) == 1
    assert light(world).state is SwitchState.NONE
    assert light(world).reason == "none at this venue"


def test_a_failure_is_alerted_once_and_tried_again_soon() -> None:
    world = make_world()
    first = asked(world)[0]
    answer(world, act.SwitchSet(first))
    world.settle(25)
    for _ in range(3):
        answer(world, act.SwitchFailed(asked(world)[-1], "no answer in time"))
        shown = light(world)
        assert shown.state is SwitchState.FAILED
        assert shown.ts_until_ns == first.ts_ns + AFTER_S * SECOND, "what was set before stands"
        world.settle(7)
    assert len(asked(world)) == 5
    assert [each.code for each in world.published(Alert)].count("DEAD_MAN") == 1


@pytest.mark.parametrize(("after_s", "pause_ms"), [(60, 5_000), (30, 5_000), (6, 1_000)])
def test_it_is_tried_again_in_time_however_short_a_setting_lasts(
    after_s: int, pause_ms: int
) -> None:
    """A pause of five seconds alone would let one of six run out after one failure."""
    world = make_world(dead_man_s=after_s)
    answer(world, act.SwitchFailed(asked(world)[-1], "503"))
    failed_ns = world.now_ns
    while len(asked(world)) == 1:
        world.settle(1)
    assert asked(world)[-1].ts_ns == failed_ns + pause_ms * SECOND // 1_000


def test_a_clean_stop_turns_off_what_is_set_and_waits_for_that() -> None:
    world = make_world()
    alpha, beta, gamma = (asked(world, venue)[0] for venue in ("alpha", "beta", "gamma"))
    answer(world, act.SwitchSet(alpha))
    answer(world, act.SwitchSet(beta, "none at this venue"))
    world.step(lambda now: world.engine.on_message(Stopping(), now))
    assert [each.after_s for each in asked(world)] == [AFTER_S, 0]
    assert len(asked(world, "beta")) == 1
    answer(world, act.SwitchSet(gamma))  # it was on its way
    assert asked(world, "gamma")[-1].after_s == 0
    assert len(world.engine.open_work()) == 2
    answer(world, act.SwitchSet(asked(world)[-1]))
    answer(world, act.SwitchFailed(asked(world, "gamma")[-1], "gone"))
    assert not world.engine.open_work()
    world.settle(60)
    assert len(world.switches) == 5, "nothing is set again"


@pytest.mark.parametrize("config", [{"dead_man_s": 0}, {"mode": "paper"}])
def test_nothing_is_set_where_it_is_off(config: dict[str, object]) -> None:
    world = World(lambda what, options: options[0])
    executor = msgspec.structs.replace(world.config.executor, **{"dead_man_s": 60, **config})
    world.config = msgspec.structs.replace(world.config, executor=executor)
    world.crash()
    world.settle(5)
    assert not world.switches
    assert light(world).state is SwitchState.OFF


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (
            {"state": SwitchState.ARMED, "ts_until_ns": 42 * SECOND},
            "armed, cancels all open orders",
        ),
        ({"state": SwitchState.ARMED, "ts_until_ns": 1 * SECOND}, "ran out 1 s ago"),
        ({"state": SwitchState.NONE, "reason": "none at this venue"}, "none at this venue"),
        ({"state": SwitchState.OFF, "reason": "a clean stop"}, "off (a clean stop)"),
        ({"state": SwitchState.FAILED, "reason": "no answer"}, "not set (no answer)"),
    ],
)
def test_status_says_how_it_is(shown: dict[str, object], text: str) -> None:
    rows = switch_rows({"alpha": DeadManSwitch(**shown)}, 2 * SECOND)
    assert switch_text(rows["alpha"]).startswith(text)
