"""The shell: what it promises about order, timers, checkpoints, measures and lost servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared import streams
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Input
from shared.clock import SystemClock
from shared.engine import NOTHING, Action, Result, Step, Stopping
from shared.errors import BusUnavailable
from shared.lease import Lease, LeaseLost
from shared.messages.base import BookState, Message
from shared.messages.control import Command, CommandKind
from shared.messages.market import DepthView, ResyncRequest
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from tests.support import eventually

NAMES = ("risk", "risk-last")


def resync(number: int) -> ResyncRequest:
    return ResyncRequest(
        ts_ns=number, venue="v", instrument=f"I{number}/X", epoch=number, reason=""
    )


def view(number: int, ts_recv_ns: int) -> DepthView:
    return DepthView(
        venue="v",
        instrument=f"I{number}/X",
        state=BookState.LIVE,
        epoch=number,
        seq=number,
        bids=[],
        asks=[],
        ts_recv_ns=ts_recv_ns,
        ts_ns=0,
    )


def command(number: int) -> Command:
    return Command(ts_ns=0, command_id=f"c{number}", kind=CommandKind.HALT, operator="test")


class Echo:
    """Answers a resync with a view and a command with a resync; counts; remembers commands."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.saved: list[str] = []
        self.timers = 0
        self.deadline_ns: int | None = None
        self.asks = False

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        if isinstance(message, ResyncRequest):
            asked = [Action()] if self.asks else []
            return Step(messages=[view(message.epoch, now_ns - 5_000_000)], actions=asked)
        if isinstance(message, Stopping):
            return NOTHING
        assert isinstance(message, Command)
        if message.command_id == "c13":
            raise AssertionError("an engine's bug")
        self.seen.append(message.command_id)
        return Step(messages=[resync(len(self.seen))])

    def on_timer(self, now_ns: int) -> Step:
        self.timers += 1
        self.deadline_ns = None if self.timers == 3 else now_ns + 10_000_000
        return Step(messages=[view(100 + self.timers, 1)])

    def next_deadline_ns(self) -> int | None:
        return self.deadline_ns

    def counters(self) -> Mapping[str, int]:
        return {"commands": len(self.seen)}

    def gauges(self) -> Mapping[str, float]:
        return {"last": float(len(self.seen))}

    def checkpoints(self) -> dict[str, bytes]:
        """All commands, and apart from them the last one where it is new."""
        saved = {"risk": json.dumps(self.seen).encode()}
        if self.seen[-1:] != self.saved[-1:]:
            saved["risk-last"] = json.dumps(self.seen[-1]).encode()
        self.saved = list(self.seen)
        return saved

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        if not saved:
            return NOTHING
        self.seen = json.loads(saved["risk"])
        assert json.loads(saved["risk-last"]) == self.seen[-1]
        return Step(messages=[resync(999)])


class Rig:
    """An engine in a shell on a bus in memory."""

    def __init__(self, server: MemoryServer, spec: Any, **options: Any) -> None:
        self.server, self.engine, self.observer = server, Echo(), Observer("risk", "r1")
        self._spec, self._options = spec, options

    @asynccontextmanager
    async def running(self) -> Any:
        bus = MemoryBus(self.server, service="risk")
        hosting = Hosting(inputs=lambda _: [Input(self._spec)], **self._options)
        self.shell = Shell("risk", self.engine, bus, SystemClock(), self.observer, hosting)
        self.task = asyncio.create_task(self.shell.run())
        await eventually(lambda: self.shell.readiness()[0] or self.task.done())
        try:
            yield self.shell
        finally:
            self.task.cancel()
            await asyncio.wait({self.task})
            await self.shell.drain()

    def sent(self, spec: Any) -> list[Any]:
        reader = MemoryBus(self.server, service="test")
        start = Input(spec, start="first")
        return reader.open([start], service="test", instance="t").poll().messages


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(SystemClock())


@pytest.fixture(autouse=True)
def prompt_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARB_POSITION_INTERVAL_MS", "0")


async def publish(server: MemoryServer, *messages: Message) -> None:
    await MemoryBus(server, service="orderbook").publish(messages)


async def test_outputs_follow_inputs_and_are_measured(server: MemoryServer) -> None:
    rig = Rig(server, streams.MD_RESYNC, measures={DepthView: "tick_to_depth"})
    async with rig.running():
        for number in range(10):
            await publish(server, resync(number))
        await eventually(lambda: len(rig.sent(streams.MD_DEPTH)) == 10)
        assert [view.epoch for view in rig.sent(streams.MD_DEPTH)] == list(range(10))
    histogram = rig.observer.latency("tick_to_depth")
    assert histogram.count == 10
    assert (histogram.percentile_ns(0.0) or 0) >= 5_000_000 * 0.95


async def test_timers_fire_when_due_and_their_outputs_are_not_measured(
    server: MemoryServer,
) -> None:
    rig = Rig(server, streams.MD_RESYNC, measures={DepthView: "tick_to_depth"})
    rig.engine.deadline_ns = SystemClock().now_ns() + 20_000_000
    async with rig.running():
        await eventually(lambda: rig.engine.timers == 3)
        await eventually(lambda: len(rig.sent(streams.MD_DEPTH)) == 3)
    assert rig.observer.latency("tick_to_depth").count == 0


async def test_positions_are_noted_after_the_outputs(server: MemoryServer) -> None:
    rig = Rig(server, streams.MD_RESYNC)
    async with rig.running():
        await publish(server, resync(1))
        key = f"risk:r1:{streams.MD_RESYNC.key()}"
        await eventually(lambda: key in server.positions)
        assert len(rig.sent(streams.MD_DEPTH)) == 1
        assert rig.observer.inputs[streams.MD_RESYNC.key()] == server.positions[key]


async def test_a_restart_continues_from_the_checkpoint(server: MemoryServer) -> None:
    first = Rig(server, streams.CTL_COMMAND, checkpoints=NAMES)
    async with first.running() as shell:
        assert shell.readiness()[0] is False or first.task
        await publish(server, command(1), command(2))
        await eventually(lambda: server.values.get("risk") == b'["c1", "c2"]')
        assert server.values["risk-last"] == b'"c2"', "every name in one commit"
    second = Rig(server, streams.CTL_COMMAND, checkpoints=NAMES)
    async with second.running() as shell:
        await eventually(lambda: shell.readiness() == (True, ""))
        await publish(server, command(3))
        await eventually(lambda: second.engine.seen == ["c1", "c2", "c3"])
        await eventually(lambda: second.observer.counters.get("commands") == 3)
    assert 999 in [m.epoch for m in second.sent(streams.MD_RESYNC)], "restore's outputs are said"


async def test_an_engine_that_fails_leaves_its_batch_pending(server: MemoryServer) -> None:
    rig = Rig(server, streams.CTL_COMMAND, checkpoints=NAMES)
    async with rig.running():
        await publish(server, command(13))
        with pytest.raises(AssertionError, match="bug"):
            await asyncio.wait_for(asyncio.shield(rig.task), 5)
    assert server.values == {}
    again = Rig(server, streams.CTL_COMMAND, checkpoints=NAMES)
    async with again.running():
        with pytest.raises(AssertionError, match="bug"):
            await asyncio.wait_for(asyncio.shield(again.task), 5)


async def test_losing_redis_is_survived_with_latest_inputs_only(server: MemoryServer) -> None:
    rig = Rig(server, streams.MD_RESYNC)
    async with rig.running():
        await publish(server, resync(1))
        await eventually(lambda: len(rig.sent(streams.MD_DEPTH)) == 1)
        server.is_up = False
        rig.engine.deadline_ns = 1  # something to say meanwhile
        await eventually(lambda: rig.observer.counters.get("publish_lost", 0) >= 1)
        server.is_up = True
        await publish(server, resync(2))
        await eventually(lambda: 2 in [m.epoch for m in rig.sent(streams.MD_DEPTH)])


async def test_losing_redis_ends_a_durable_service(server: MemoryServer) -> None:
    rig = Rig(server, streams.CTL_COMMAND, checkpoints=NAMES)
    async with rig.running():
        await eventually(lambda: rig.shell.readiness()[0])
        server.is_up = False
        with pytest.raises(BusUnavailable):
            await asyncio.wait_for(asyncio.shield(rig.task), 5)


class RanOut(Lease):
    """Was held, and is not renewed any more: the process was stopped for too long."""

    ran_out = False

    def check(self) -> None:
        if self.ran_out:
            raise LeaseLost("ran out")

    async def keep(self) -> None:
        await asyncio.Event().wait()


async def test_nothing_is_committed_by_a_process_whose_lease_ran_out(server: MemoryServer) -> None:
    lease = RanOut(MemoryBus(server, service="risk"), "risk", "r1")
    rig = Rig(server, streams.MD_RESYNC, lease=lease)
    async with rig.running():
        lease.ran_out = True
        await publish(server, resync(1))
        await asyncio.wait({rig.task}, timeout=5)
        assert isinstance(rig.task.exception(), LeaseLost)
        assert not rig.sent(streams.MD_DEPTH)


class Sent:
    """Notes what is carried out."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def carry_out(self, action: Action, deliver: Any) -> None:
        self.actions.append(action)

    async def close(self) -> None:
        pass


class RunsOut(RanOut):
    """Runs out after it has been looked at so many times."""

    looks_left = 3

    def check(self) -> None:
        self.looks_left -= 1
        self.ran_out = self.looks_left < 0
        super().check()


@pytest.mark.parametrize("looks", [2, 50])
async def test_nothing_is_sent_once_the_lease_ran_out_during_the_commit(
    server: MemoryServer, looks: int
) -> None:
    lease, sent = RunsOut(MemoryBus(server, service="risk"), "risk", "r1"), Sent()
    rig = Rig(server, streams.MD_RESYNC, lease=lease, transport=sent)
    rig.engine.asks = True
    async with rig.running():
        lease.looks_left = looks  # of the step, and of its commit; then one is missing, or not
        await publish(server, resync(1))
        await eventually(lambda: bool(sent.actions) or rig.task.done())
        assert rig.sent(streams.MD_DEPTH)
        assert len(sent.actions) == (0 if looks == 2 else 1)


async def test_a_standby_waits_for_the_lease_and_then_works(server: MemoryServer) -> None:
    server.hold_lease("risk", "other", 60_000)
    rig = Rig(
        server, streams.MD_RESYNC, lease=Lease(MemoryBus(server, service="risk"), "risk", "r1")
    )
    async with rig.running():
        await eventually(lambda: rig.shell.readiness() == (True, "standby: other is active"))
        server.release_lease("risk", "other")
        await eventually(lambda: rig.shell.readiness() == (True, ""))
        await publish(server, resync(1))
        await eventually(lambda: len(rig.sent(streams.MD_DEPTH)) == 1)
    assert server.lease_holder("risk") == "", "a drain gives it up"
