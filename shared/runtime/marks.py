"""Carries out what an engine asks of the ledger's marks."""

from __future__ import annotations

import asyncio

from shared.bus.port import Bus
from shared.errors import BusUnavailable
from shared.lease import Lease
from shared.ledger import ClearMark, MarkAction, MarksFailed, MarksRead, WriteMarks
from shared.runtime.hosting import Deliver
from shared.runtime.tasks import Tasks


class MarkRequests:
    """One request after the other, beside the steps; nothing is written without the lease."""

    def __init__(self, bus: Bus, lease: Lease | None, tasks: Tasks) -> None:
        self._bus, self._lease, self._tasks = bus, lease, tasks
        self._turn = asyncio.Lock()  # it lets in who came first

    def carry_out(self, action: MarkAction, deliver: Deliver) -> None:
        """Start a request and return at once."""
        self._tasks.spawn(self._do(action, deliver))

    async def _do(self, action: MarkAction, deliver: Deliver) -> None:
        async with self._turn:
            try:
                if isinstance(action, WriteMarks | ClearMark):
                    await self._write(action)
                    return
                result = MarksRead(await self._bus.marks())
            except BusUnavailable as error:
                deliver(MarksFailed(action, str(error)))
            else:
                deliver(result)

    async def _write(self, action: WriteMarks | ClearMark) -> None:
        if self._lease is not None:
            self._lease.check()
        if isinstance(action, WriteMarks):
            await self._bus.mark(action.fields, only_new=action.only_new)
        else:
            await self._bus.unmark(action.name)
