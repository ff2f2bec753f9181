"""How steps get to the bus, and what it means when they do not.

A service whose inputs are all LATEST lives through the loss of Redis: what it could not publish is
dropped and counted, because every fact on a LATEST stream is repeated and every gap is noticed by
its reader. A service with a DURABLE input or a checkpoint ends instead: its engine must not run
ahead of the bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from shared.backoff import Backoff
from shared.bus.connection import ReplyError
from shared.bus.port import NO_CHECKPOINTS, Batch, Bus
from shared.clock import Clock
from shared.engine import BusBack, BusLost, Engine, Result, Step
from shared.errors import BusUnavailable
from shared.logs import Throttle
from shared.messages.base import Message
from shared.observe import Observer
from shared.runtime.log_lines import LogLines
from shared.runtime.tasks import Tasks

log = logging.getLogger(__name__)

LOG_S = 1.0
RETRY_S = 0.1
"""Pause after a LATEST publish failed; the bus itself backs off from reconnecting."""
BACK_INITIAL_S, BACK_CAP_S = 0.05, 2.0
"""Between the attempts of a service that waits for the bus."""


class Publisher:
    """Commits what an engine decided."""

    def __init__(self, bus: Bus, engine: Engine, clock: Clock, observer: Observer) -> None:
        self._bus, self._engine, self._clock, self._observer = bus, engine, clock, observer
        self._throttle = Throttle(LOG_S)
        self.is_durable = False
        """Whether losing the bus ends the service."""
        self.saves = False
        """Whether the engine has checkpoints."""
        self._bus_state_to: tuple[Tasks, Callable[[Result], None]] | None = None
        self._is_lost = False
        self._newest: Sequence[Message] = ()
        self._lines = LogLines()

    def report_bus_state(self, tasks: Tasks, deliver: Callable[[Result], None]) -> None:
        """Let the engine know when the bus is lost and when it is back."""
        self._bus_state_to = (tasks, deliver)

    async def commit(self, batch: Batch | None, step: Step) -> bool:
        """Make a step safe on the bus; false if its messages were dropped because Redis is away.

        Raises:
            BusUnavailable: Not confirmed, and this service makes durable promises.
        """
        if self._is_lost:
            self._newest = step.messages
            self._observer.count("publish_lost", len(step.messages))
            return False
        pending = batch is not None and bool(batch.pending)
        saved = self._engine.checkpoints() if self.saves else NO_CHECKPOINTS
        try:
            if step.actions and self.is_durable and not (pending or saved):
                await self._bus.publish(step.messages)  # a commit would not wait: no write-ahead
            else:
                await self._bus.commit(batch, step.messages, checkpoints=saved)
        except BusUnavailable as error:
            await self._lost(error, len(step.messages), is_promise=bool(step.actions))
            return False
        self._lines.published(step.messages)
        return True

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """Publish how far the service is.

        Raises:
            BusUnavailable: As for ``commit``.
        """
        if self._is_lost:
            return
        try:
            await self._bus.note_positions(fields)
        except BusUnavailable as error:
            await self._lost(error, 0)

    async def _lost(
        self, error: BusUnavailable, messages: int, *, is_promise: bool = False
    ) -> None:
        may_pass = isinstance(error, ReplyError) and error.may_pass and not is_promise
        if self.is_durable and not may_pass:  # what was promised, the bus itself asks for again
            raise error
        self._observer.count("publish_lost", messages)
        if self._throttle.passes(self._clock.monotonic_ns() / 1e9):
            log.warning("publish_lost", extra={"reason": str(error), "outputs": messages})
        if self._bus_state_to is None:
            await asyncio.sleep(RETRY_S)
        elif not self._is_lost:
            tasks, deliver = self._bus_state_to
            self._is_lost = True
            deliver(BusLost(str(error)))
            tasks.spawn(self._wait_until_back(deliver))

    async def _wait_until_back(self, deliver: Callable[[Result], None]) -> None:
        """Try to publish the newest messages, the present state, until the bus has them."""
        backoff = Backoff(BACK_INITIAL_S, BACK_CAP_S)
        while self._is_lost:
            await asyncio.sleep(backoff.next_s())
            messages, self._newest = self._newest, ()
            try:
                if messages:
                    await self._bus.publish(messages)
                    self._is_lost = False
            except BusUnavailable:
                self._newest = self._newest or messages
        deliver(BusBack())
