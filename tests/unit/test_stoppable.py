"""A pump is ended between two batches, never within one."""

from __future__ import annotations

import pytest

from shared import streams
from shared.bus.memory import MemoryBus, MemoryServer
from shared.bus.port import Input
from shared.clock import SystemClock
from shared.stoppable import StoppableInbox, Stopped


class Noting(StoppableInbox):
    """Counts how often it was between two batches."""

    rounds = 0

    async def between_batches(self) -> None:
        self.rounds += 1


async def test_it_ends_at_the_next_read_and_does_nothing_more() -> None:
    bus = MemoryBus(MemoryServer(SystemClock()), service="scanner")
    inbox = Noting(
        await bus.open_inbox([Input(streams.MD_DEPTH)], service="scanner", instance="one")
    )
    assert not inbox.is_durable
    assert (await inbox.read(0)).messages == []
    inbox.stopping = True
    with pytest.raises(Stopped):
        await inbox.read(0)
    assert inbox.rounds == 1
    await inbox.close()
