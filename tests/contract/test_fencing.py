"""A process that has lost its lease writes nothing any more, on every implementation of the bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared import streams
from shared.bus.address import Endpoint
from shared.bus.connection import RedisLink
from shared.bus.fence import AHEAD_S
from shared.bus.port import Batch, Bus, Input
from shared.bus.wire import pack
from shared.errors import BusUnavailable
from shared.messages.control import Command, CommandKind
from tests.contract.bus_harness import PATIENT, Harness, RedisHarness

LONG_MS = 60_000
COMMAND = streams.CTL_COMMAND


def halt(number: int) -> Command:
    return Command(
        ts_ns=time.time_ns(), command_id=f"c{number}", kind=CommandKind.HALT, operator="test"
    )


async def lead(bus: Bus, owner: str, ttl_ms: int = LONG_MS) -> int:
    """Take the lease and let all writes carry its token."""
    token = await bus.hold_lease("risk", owner, ttl_ms)
    if token:
        bus.fence("risk", owner, token)
    return token


async def replaced(harness: Harness, *, is_checked_ahead: bool = False) -> tuple[Bus, Bus]:
    """Return a leader of before, who does not know that it is, and the one of now.

    Where Redis ``is_checked_ahead``, the old one was still the leader by its check of before.
    """
    old, new = await harness.bus("risk"), await harness.bus("risk")
    assert await lead(old, "r1", 50)
    if is_checked_ahead:
        await old.commit(None, [], checkpoints={"of the old": b"1"})
        await asyncio.sleep(20 * AHEAD_S)
    while not await lead(new, "r2"):
        await asyncio.sleep(0.02)
    return old, new


async def test_every_acquisition_has_a_greater_token(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    assert await bus.hold_lease("risk", "r1", LONG_MS) == 1
    assert await bus.hold_lease("risk", "r1", LONG_MS) == 1, "to renew is no acquisition"
    assert await bus.hold_lease("risk", "r2", LONG_MS) == 0
    await bus.release_lease("risk", "r1")
    assert await bus.hold_lease("risk", "r1", LONG_MS) == 2, "also by the same owner"
    await bus.release_lease("risk", "r1")
    assert await bus.hold_lease("risk", "r2", 20) == 3
    await asyncio.sleep(0.05)
    assert await bus.hold_lease("risk", "r1", LONG_MS) == 4, "the one before ran out"
    assert await bus.hold_lease("executor", "e1", LONG_MS) == 1, "each lease counts for itself"


async def commit_plainly(bus: Bus, batch: Batch) -> None:
    """Nothing is promised, so it is sent without waiting: the next one says that it was refused."""
    del batch
    await bus.commit(None, [halt(1)])
    await bus.commit(None, [], checkpoints={"risk": b"old"})


WRITES: dict[str, Callable[[Bus, Batch], Awaitable[Any]]] = {
    "publish": lambda bus, batch: bus.publish([halt(1)]),
    "commit": lambda bus, batch: bus.commit(batch, [halt(1)], checkpoints={"risk": b"old"}),
    "acknowledge": lambda bus, batch: bus.commit(batch, []),
    "checkpoint": lambda bus, batch: bus.commit(None, [], checkpoints={"risk": b"old"}),
    "without waiting": commit_plainly,
    "mark": lambda bus, batch: bus.mark({"a": "old"}),
    "unmark": lambda bus, batch: bus.unmark("kept"),
}


@pytest.mark.parametrize("is_checked_ahead", [False, True])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_an_older_token_writes_nothing(
    bus_harness: Harness,
    write: Callable[[Bus, Batch], Awaitable[Any]],
    is_checked_ahead: bool,
) -> None:
    old, new = await replaced(bus_harness, is_checked_ahead=is_checked_ahead)
    await new.mark({"kept": "1"})
    inbox = await new.open_inbox([Input(COMMAND)], service="risk", instance="r2")
    await new.publish([halt(0)])
    async with asyncio.timeout(10):
        while not (batch := await inbox.read(0.5)).messages:
            pass
    with pytest.raises(BusUnavailable, match="another instance took the lease"):
        await write(old, batch)
    assert await bus_harness.length(COMMAND.key()) == 1
    assert await new.load_checkpoint("risk") is None
    assert await new.marks() == {"kept": "1"}
    await inbox.close()
    again = await new.open_inbox([Input(COMMAND)], service="risk", instance="r2", exclusive=True)
    assert (await again.read(5)).redelivered, "nothing was acknowledged"
    await again.close()


async def test_the_newest_token_writes(bus_harness: Harness) -> None:
    _, new = await replaced(bus_harness)
    await new.publish([halt(1)])
    await new.commit(None, [halt(2)])
    await new.commit(None, [halt(3)], checkpoints={"risk": b"new"})
    await new.mark({"a": "1"})
    assert await bus_harness.length(COMMAND.key()) == 3
    assert await new.load_checkpoint("risk") == b"new"


async def test_a_lease_that_ran_out_and_nobody_took_still_writes(bus_harness: Harness) -> None:
    """Its owner ends by its own clock; until somebody else acts, nothing is at stake."""
    bus = await bus_harness.bus("risk")
    assert await lead(bus, "r1", 20)
    await asyncio.sleep(0.05)
    await bus.publish([halt(1)])
    assert await bus_harness.length(COMMAND.key()) == 1


async def test_after_all_data_was_lost_nobody_leads(bus_harness: Harness) -> None:
    bus = await bus_harness.bus("risk")
    assert await lead(bus, "r1")
    await bus_harness.lose_everything()
    with pytest.raises(BusUnavailable):
        await bus.publish([halt(1)])
    assert await bus_harness.length(COMMAND.key()) == 0


async def test_a_takeover_between_the_check_and_the_write_is_noticed(bus_harness: Harness) -> None:
    if not isinstance(bus_harness, RedisHarness):
        return  # there is nothing between
    old, new = await bus_harness.bus("risk"), await bus_harness.bus("risk")
    assert await lead(old, "r1", 50)
    link = RedisLink(Endpoint(bus_harness.config), PATIENT)
    await link.call_all(*old._fence.check)
    while not await lead(new, "r2"):
        await asyncio.sleep(0.02)
    result = await link.call_all(pack("MULTI"), pack("SET", "{arb}:x", "old"), pack("EXEC"))
    assert result is None
    with pytest.raises(BusUnavailable, match="changed hands"):
        old._fence.check_done(result)
    assert await bus_harness.call("EXISTS", "{arb}:x") == 0
    await link.drop()


async def test_a_check_sent_ahead_ends_with_its_connection(bus_harness: Harness) -> None:
    if not isinstance(bus_harness, RedisHarness):
        return  # there is none
    old, new = await bus_harness.bus("risk"), await bus_harness.bus("risk")
    assert await lead(old, "r1", 50)
    await old.publish([halt(1)])
    await asyncio.sleep(20 * AHEAD_S)
    await old._out.drop()
    while not await lead(new, "r2"):
        await asyncio.sleep(0.02)
    with pytest.raises(BusUnavailable, match="another instance took the lease"):
        await old.publish([halt(2)])
    assert await bus_harness.length(COMMAND.key()) == 1


async def test_writes_go_on_with_checks_sent_ahead_and_without(bus_harness: Harness) -> None:
    _, new = await replaced(bus_harness)
    for number in range(9):
        await new.commit(None, [halt(number)], checkpoints={"risk": b"%d" % number})
        await asyncio.sleep((0, AHEAD_S, 5 * AHEAD_S)[number % 3])
    assert await bus_harness.length(COMMAND.key()) == 9
    assert await new.load_checkpoint("risk") == b"8"
