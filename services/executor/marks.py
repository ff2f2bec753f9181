"""The marks of the ledger, as the executor reads and sets them (see shared/ledger.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from services.executor.checkpoint import ledger_id_of
from services.executor.engine import ExecutorEngine
from shared.bus.port import Bus
from shared.clock import Clock
from shared.engine import Step
from shared.errors import BusUnavailable
from shared.ledger import DATA_LOST, EXECUTOR, RISK, lost_mark, open_ledger
from shared.messages.base import Message
from shared.messages.control import Alert

MARKS_S = 1.0


class LedgerMarks:
    """Opens the ledger, and lets executor and risk hear of lost data."""

    def __init__(
        self,
        engine: ExecutorEngine,
        bus: Bus,
        clock: Clock,
        *,
        owner: Mapping[str, str],
        instance: str,
    ) -> None:
        self._engine, self._bus, self._clock = engine, bus, clock
        self._owner, self._instance = owner, instance

    async def open(self, saved: Mapping[str, bytes]) -> None:
        """Find out whose data this is, and whether all of it is there.

        Raises:
            ConfigError: It belongs to another mode or account.
        """
        self._engine.opened = await open_ledger(
            self._bus,
            EXECUTOR,
            self._owner,
            known_id=ledger_id_of(saved),
            instance=self._instance,
            now_ns=self._clock.now_ns(),
        )

    async def watch(self, step: Callable[[Callable[[int], Step]], Awaitable[None]]) -> None:
        """Halt for a loss of data that another process notices after our start."""
        opened = self._engine.opened
        assert opened is not None, "opened before the start"
        await self._bus.mark({EXECUTOR: opened.ledger_id})
        if opened.loss:
            await self._bus.unmark(lost_mark(EXECUTOR))
        while True:
            await asyncio.sleep(MARKS_S)
            # Redis away or refusing: the next step notices, and decides what that means.
            loss = ""
            with contextlib.suppress(BusUnavailable):
                loss = (await self._bus.marks()).get(lost_mark(EXECUTOR), "")
            if loss:
                await step(partial(self._engine.note_loss, loss))
                await self._bus.unmark(lost_mark(EXECUTOR))

    async def mark_data_lost(self, messages: Sequence[Message]) -> None:
        """Let risk know of a loss of data that shows at the venues only."""
        for message in messages:
            if isinstance(message, Alert) and message.code == DATA_LOST:
                await self._bus.mark({lost_mark(RISK): message.text}, only_new=True)
