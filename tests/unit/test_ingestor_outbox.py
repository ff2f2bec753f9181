"""The way to the bus: micro-batches, a bound, positions, and a bus that comes and goes."""

from __future__ import annotations

import asyncio

import pytest

from services.ingestor.engine.requests import BusBack, BusLost
from services.ingestor.outbox import Outbox
from shared.clock import ManualClock
from shared.errors import BusUnavailable
from shared.observe import Observer
from tests.support import eventually


class Bus:
    """A bus that can be away, and takes its time."""

    def __init__(self) -> None:
        self.commits: list[list] = []
        self.positions: list[dict] = []
        self.away = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def publish(self, messages):
        await self.commit(None, messages)

    async def commit(self, batch, messages):
        await self.slow.wait()
        if self.away:
            raise BusUnavailable("away")
        self.commits.append(list(messages))

    async def note_positions(self, fields):
        self.positions.append(dict(fields))


@pytest.fixture
async def outbox():
    bus, told, position = Bus(), [], {}
    observer = Observer("ingestor", "i")
    outbox = Outbox(
        bus, ManualClock(), observer,
        deliver=told.append, positions=lambda: dict(position), position_interval_s=0.0,
    )  # fmt: skip
    outbox.bus, outbox.told, outbox.counters = bus, told, observer.counters
    outbox.position = position
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_turn_of_the_loop_is_one_commit(outbox):
    for n in range(3):
        outbox.put([n])
    await eventually(lambda: outbox.bus.commits == [[0, 1, 2]])


async def test_slow_bus_makes_larger_batches(outbox):
    outbox.bus.slow.clear()
    outbox.put([0])
    await asyncio.sleep(0)
    for n in range(1, 5):
        await asyncio.sleep(0)
        outbox.put([n])
    outbox.bus.slow.set()
    await eventually(lambda: outbox.bus.commits == [[0], [1, 2, 3, 4]])


async def test_position_waits_for_what_was_put_before_it(outbox):
    outbox.bus.slow.clear()
    for n in (1, 2):
        outbox.position["frames"] = str(n)
        outbox.put([n], 1)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert outbox.bus.positions == []
    outbox.bus.slow.set()
    await eventually(lambda: outbox.bus.positions == [{"frames": "2"}])
    assert outbox.bus.commits == [[1], [2]]


async def test_frame_that_says_nothing_moves_the_position_too(outbox):
    for n in (1, 2, 3):
        outbox.position["frames"] = str(n)
        outbox.put([], n)
        await eventually(lambda n=n: outbox.bus.positions[-1:] == [{"frames": str(n)}])
    assert outbox.bus.commits == []


async def test_lost_bus_is_told_and_tried_with_the_newest_statuses(outbox):
    outbox.bus.away = True
    outbox.put([0])
    await eventually(lambda: outbox.told == [BusLost("away")])
    outbox.put(["older"])
    outbox.put(["present"])
    assert outbox.told == [BusLost("away")]
    outbox.bus.away = False
    await eventually(lambda: outbox.told == [BusLost("away"), BusBack()])
    assert outbox.bus.commits in ([["present"]], [[]]), "an attempt may have lost it"
    outbox.put([2])
    await eventually(lambda: outbox.bus.commits[-1] == [2])


async def test_bus_too_far_behind_is_a_loss(outbox, monkeypatch):
    monkeypatch.setattr("services.ingestor.outbox.MESSAGES_MAX", 10)
    outbox.bus.slow.clear()
    outbox.put([0])
    await asyncio.sleep(0)
    for n in range(20):
        outbox.put([n])
    outbox.bus.slow.set()
    await eventually(lambda: outbox.told[-1:] == [BusBack()])
    assert [type(result) for result in outbox.told] == [BusLost, BusBack]
    assert outbox.counters["publish_lost"] == 20
