"""The shell: when actions go, how their results come in, what a stop and a lost bus tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared import streams
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import NO_CHECKPOINTS, Batch, Input
from shared.clock import SystemClock
from shared.engine import NOTHING, Action, BusBack, BusLost, Result, Step
from shared.errors import BusUnavailable
from shared.lease import ShardOwner
from shared.messages.base import Message
from shared.messages.control import Command
from shared.messages.market import ResyncRequest
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from tests.support import eventually
from tests.unit.test_shell import command, resync, view


class Send(Action, frozen=True):
    what: str


class Answer(Result, frozen=True):
    what: str


class Asking:
    """A command is sent for at once and afterwards; answers are said as resync requests."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.published = 0

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        return NOTHING

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        if isinstance(message, Command):
            self.heard.append(message.command_id)
            return Step(
                messages=[resync(0)], actions=[Send("after")], at_once=[Send(message.command_id)]
            )
        if isinstance(message, ResyncRequest):
            return Step(messages=[view(message.epoch, 1)])
        self.heard.append(message.what if isinstance(message, Answer) else type(message).__name__)
        self.published += 1
        return Step(messages=[resync(self.published)])

    def on_timer(self, now_ns: int) -> Step:
        return NOTHING

    def next_deadline_ns(self) -> int | None:
        return None

    def checkpoints(self) -> Mapping[str, bytes]:
        return {"state": str(self.published).encode()}

    def counters(self) -> Mapping[str, int]:
        return {}

    def gauges(self) -> Mapping[str, float]:
        return {}


class World(MemoryBus):
    """A bus that writes down what was done in which order, and the outside in one."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, service="risk")
        self.server = server
        self.done: list[str] = []
        self.answers = 1
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoints: Mapping[str, bytes] = NO_CHECKPOINTS,
    ) -> None:
        await self.gate.wait()
        await super().commit(batch, messages, checkpoints=checkpoints)
        self.done.append(f"commit {len(messages)}")

    async def close(self) -> None:
        """The bus stays open."""

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        assert isinstance(action, Send)
        self.done.append(f"send {action.what}")
        for number in range(self.answers):
            deliver(Answer(f"{action.what} {number}"))


@asynccontextmanager
async def running(
    world: World, engine: Asking, *specs: Any, **options: Any
) -> AsyncIterator[Shell]:
    hosting = Hosting(
        inputs=lambda _: [Input(spec) for spec in specs],
        transport=world,
        **options,
    )
    shell = Shell("risk", engine, world, SystemClock(), Observer("risk", "r1"), hosting)
    task = asyncio.create_task(shell.run())
    await eventually(lambda: shell.readiness()[0] or task.done())
    try:
        yield shell
    finally:
        world.gate.set()
        task.cancel()
        await asyncio.wait({task})
        if not shell._is_ending:
            await shell.drain()


@pytest.fixture
def world() -> World:
    return World(MemoryServer(SystemClock()))


async def publish(world: World, *messages: Message) -> None:
    await MemoryBus(world.server, service="orderbook").publish(messages)


async def test_actions_follow_the_commit_and_what_goes_at_once_is_before_it(world: World) -> None:
    world.gate.clear()
    async with running(world, Asking(), streams.CTL_COMMAND, checkpoints=("state",)):
        await publish(world, command(1))
        await eventually(lambda: world.done == ["send c1"])
        world.gate.set()
        await eventually(lambda: len(world.done) == 4)
        assert world.server.values["state"] == b"2"
    assert world.done[:3] == ["send c1", "commit 1", "send after"]


async def test_actions_do_not_follow_a_commit_that_failed(world: World) -> None:
    world.gate.clear()
    async with running(world, Asking(), streams.CTL_COMMAND, checkpoints=("state",)) as shell:
        await publish(world, command(1))
        await eventually(lambda: world.done == ["send c1"])
        world.server.is_up = False
        world.gate.set()
        await eventually(lambda: shell._tasks.has_failed)
        with pytest.raises(BusUnavailable):
            shell._tasks.raise_failure()
    assert world.done == ["send c1"]


async def test_results_of_one_turn_are_one_commit(world: World) -> None:
    world.answers = 50
    engine = Asking()
    async with running(world, engine, streams.CTL_COMMAND, checkpoints=("state",)):
        await publish(world, command(1))
        await eventually(lambda: engine.published >= 100)
        await eventually(lambda: world.server.values.get("state") == b"100")
        assert world.done == ["send c1", "commit 1", "send after", "commit 100"]


async def test_a_stop_is_told_and_waits_for_what_is_open(world: World) -> None:
    engine, open_work = Asking(), ["one"]
    options: dict[str, Any] = {"checkpoints": ("state",), "open_work": lambda: open_work}
    async with running(world, engine, streams.CTL_COMMAND, **options) as shell:
        draining = asyncio.create_task(shell.drain())
        await eventually(lambda: engine.heard == ["Stopping"])
        await publish(world, command(1))
        await eventually(lambda: "c1" in engine.heard)
        assert not draining.done()
        open_work.clear()
        await asyncio.wait_for(draining, 5)
        engine.heard.clear()
        await publish(world, command(2))
        assert not engine.heard


async def test_an_engine_that_wants_it_is_told_of_a_lost_bus(world: World) -> None:
    engine = Asking()
    async with running(world, engine, streams.MD_RESYNC, reports_bus_state=True) as shell:
        world.server.is_up = False
        shell.deliver(Answer("dropped"))
        await eventually(lambda: engine.heard == ["dropped", BusLost.__name__])
        shell.deliver(Answer("newest"))
        await eventually(lambda: engine.heard[-1] == "newest")
        world.server.is_up = True
        await eventually(lambda: engine.heard[-1] == BusBack.__name__)
        await eventually(lambda: world.done)
    start = Input(streams.MD_RESYNC, start="first")
    reader = MemoryBus(world.server, service="test")
    published = reader.open([start], service="test", instance="t").poll().messages
    assert [m.epoch for m in published] == [3, 4, 5], (
        "the newest of those that were dropped comes first"
    )


async def test_a_change_of_shards_does_not_cut_a_commit_in_half(world: World) -> None:
    owner = ShardOwner(world, "risk", "a", 2)
    async with running(world, Asking(), streams.MD_RESYNC, shards=owner) as shell:
        await eventually(lambda: shell._owned == (0, 1))
        world.gate.clear()
        await publish(world, resync(1))
        await eventually(lambda: shell._steps.turns.is_taken)
        world.server.join_members("risk", "b", 60_000)
        await eventually(lambda: shell._stops_reading)
        assert shell._owned == (0, 1)
        world.gate.set()
        await eventually(lambda: shell._owned == (0,))
        assert world.done[:1] == ["commit 1"]
        world.server.leave_members("risk", "b")
        await eventually(lambda: shell._owned == (0, 1))


class Reconnecting(World):
    """An action that connects again for as long as it runs, and once more when it is canceled."""

    tasks: Tasks
    is_connected = False

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        self.done.append("started")
        self.tasks.spawn(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.tasks.spawn(self._connect_once())

    async def _connect_once(self) -> None:
        await asyncio.sleep(0)
        self.is_connected = True
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.is_connected = False
        await asyncio.sleep(0.01)


async def test_what_actions_opened_is_closed_once_none_of_them_runs() -> None:
    world = Reconnecting(MemoryServer(SystemClock()))
    async with running(world, Asking(), streams.CTL_COMMAND, checkpoints=("state",)) as shell:
        world.tasks = shell._tasks
        await publish(world, command(1))
        await eventually(lambda: "started" in world.done)
        await shell.drain()
        assert not world.is_connected
        assert not world.tasks._running
