"""A machine's clock that is set: time never falls, and never stands still."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import streams
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Input
from shared.clock import SLOWER_BY, STEP_NS, SteadyTime, SystemClock
from shared.measure_names import CLOCK_AHEAD
from shared.observe import Observer
from shared.own_clock import clock_gauges, clock_notes
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from tests.support import eventually
from tests.unit.test_shell import Echo

NOW: Final = 1_700_000_000_000_000_000
MS, S = 1_000_000, 1_000_000_000
HOUR: Final = 3_600 * S


class Kept:
    """A clock of a time that is not the process's own."""

    def __init__(self, time: SteadyTime) -> None:
        self.now_ns, self.monotonic_ns = time.now_ns, SystemClock.monotonic_ns


class Machine:
    """A machine whose clock can be set; its counter cannot."""

    def __init__(self) -> None:
        self.wall_ns, self.counter_ns = NOW, 5 * S
        self.time = SteadyTime(lambda: self.wall_ns, lambda: self.counter_ns)

    def run(self, for_ns: int) -> int:
        self.wall_ns += for_ns
        self.counter_ns += for_ns
        return self.time.now_ns()


def test_it_is_the_machines_clock_also_where_that_is_set_ahead() -> None:
    machine = Machine()
    assert machine.run(S) == NOW + S
    machine.wall_ns += HOUR
    assert machine.run(S) == NOW + 2 * S + HOUR
    assert machine.time.ahead_ns() == 0


@pytest.mark.parametrize("back_ns", [200 * MS, 2 * S, HOUR])
def test_a_clock_set_back_stops_no_time_and_is_caught_up_with(back_ns: int) -> None:
    machine = Machine()
    before_ns = machine.run(S)
    machine.wall_ns -= back_ns
    assert machine.time.now_ns() == before_ns
    assert machine.time.ahead_ns() == back_ns == machine.time.set_back_ns
    assert machine.run(10 * MS) == before_ns + 9 * MS, "a tenth slower"
    for _ in range(SLOWER_BY * 20 + 1):
        machine.run(back_ns // 20)
    assert machine.time.now_ns() == machine.wall_ns, "caught up"
    assert machine.time.ahead_ns() == 0


def test_one_that_is_a_little_behind_is_waited_for() -> None:
    machine = Machine()
    machine.wall_ns -= STEP_NS
    assert machine.time.now_ns() == NOW
    assert machine.time.ahead_ns() == 0
    assert machine.run(STEP_NS + 1) == NOW + 1


def test_another_thread_that_asks_in_between_sets_nothing_ahead() -> None:
    machine = Machine()

    def interrupted() -> int:
        before_ns = machine.counter_ns
        time._monotonic = lambda: machine.counter_ns
        machine.run(S)
        time.now_ns()  # as another thread does that runs for a second
        return before_ns

    time = SteadyTime(lambda: machine.wall_ns, lambda: machine.counter_ns)
    time._monotonic = interrupted
    time.now_ns()
    machine.run(10 * MS)
    assert time.now_ns() == machine.wall_ns
    assert time.ahead_ns() == time.set_back_ns == 0


def test_time_is_not_ahead_by_less_than_nothing_when_it_is_caught_up_with() -> None:
    machine = Machine()

    def wall() -> int:
        machine.wall_ns += 1
        return machine.wall_ns

    time = SteadyTime(wall, lambda: machine.counter_ns)
    machine.wall_ns -= S
    time.now_ns()
    assert time.ahead_ns() > 0
    machine.wall_ns += 2 * S
    assert time.ahead_ns() == 0
    assert clock_notes(time) == {}


def test_all_that_run_have_the_same_time_however_often_they_ask() -> None:
    machine = Machine()
    other = SteadyTime(lambda: machine.wall_ns, lambda: machine.counter_ns)
    for _ in range(500):
        machine.run(10 * MS)
    machine.wall_ns -= 4 * S  # less than passed since the other one asked: it saw no fall
    for _ in range(100):
        machine.run(10 * MS)
    assert abs(machine.time.now_ns() - other.now_ns()) <= S // SLOWER_BY


@given(
    st.lists(
        st.tuples(st.integers(0, 5 * S), st.integers(-10 * S, 10 * S)), min_size=1, max_size=60
    )
)
def test_time_never_falls_nor_stands_still_for_long(steps: list[tuple[int, int]]) -> None:
    machine = Machine()
    last_ns = machine.time.now_ns()
    for passed_ns, set_by_ns in steps:
        machine.wall_ns += set_by_ns
        now_ns = machine.run(passed_ns)
        assert now_ns - last_ns >= passed_ns - max(passed_ns // SLOWER_BY + 1, STEP_NS)
        assert now_ns >= last_ns
        last_ns = now_ns


async def test_an_engines_timers_go_on_when_the_clock_is_set_back_by_an_hour() -> None:
    back_ns = 0
    time = SteadyTime(lambda: SystemClock.now_ns() - back_ns, SystemClock.monotonic_ns)
    engine, bus = Echo(), MemoryBus(MemoryServer(SystemClock()), service="risk")
    engine.deadline_ns = time.now_ns() + 20 * MS
    hosting = Hosting(inputs=lambda _: [Input(streams.MD_RESYNC)])
    shell = Shell("risk", engine, bus, Kept(time), Observer("risk", "r1"), hosting)
    running = asyncio.create_task(shell.run())
    try:
        await eventually(lambda: engine.timers == 1)
        back_ns = HOUR
        await eventually(lambda: engine.timers == 3, what="its timers come")
    finally:
        running.cancel()
        await asyncio.wait({running})
        await shell.drain()


def test_heartbeats_say_by_how_much_and_how_long_it_lasts() -> None:
    machine = Machine()
    assert clock_gauges(machine.time) == {CLOCK_AHEAD: 0.0}
    assert clock_notes(machine.time) == {}
    machine.wall_ns -= 3 * S
    machine.run(0)
    assert clock_gauges(machine.time) == {CLOCK_AHEAD: 3.0}
    (note,) = clock_notes(machine.time).values()
    assert "set back by 3.0 s" in note
    assert "30 s" in note, "a tenth of the way is made up in each second"
    observer = Observer("risk", "r1")
    observer.notes = {"mine": "stays"}
    observer.read_notes(lambda: clock_notes(machine.time))
    assert observer.heartbeat(1).notes == {"mine": "stays", **clock_notes(machine.time)}
