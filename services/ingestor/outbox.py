"""What the feeds say, on its way to the bus: micro-batches, a bound, and what happens on loss.

Everything put in during one turn of the event loop leaves in one commit, so what arrived in one
socket read travels in one entry, and an idle system publishes at once. While a commit waits for the
bus, messages gather and leave together: the slower the bus, the larger the batches.

If the bus is lost, or falls so far behind that the bound is hit, what was in flight may be lost,
and with it deltas that every book needs. Then everything queued is thrown away, the bus is awaited,
and ``on_loss`` lets every book start a new epoch. The venue connections are kept all the while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shared.backoff import Backoff
from shared.bus.port import Batch
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.messages.base import Message
from shared.observe import Observer

MESSAGES_MAX = 50_000
"""Bound on what waits for the bus: several seconds of a busy market, then it is a loss."""
BACKOFF_S = 0.05
BACKOFF_S_MAX = 2.0

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The part of the bus that the outbox uses."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish and wait for the confirmation."""

    async def commit(self, batch: Batch | None, messages: Sequence[Message]) -> None:
        """Publish without waiting."""

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """Say how far we are."""


class Outbox:
    """Queue between the feeds (synchronous) and the bus (asynchronous).

    Args:
        bus: Where messages go.
        clock: For latencies.
        observer: Counters; and ``tick_to_book``, from a frame's arrival until it is on its way.
        present: Returns what is true now (statuses); it is published first when the bus is back.
        on_loss: Called after the bus is back: every book must start a new epoch.
    """

    def __init__(
        self,
        bus: Publisher,
        clock: Clock,
        observer: Observer,
        *,
        present: Callable[[], Sequence[Message]],
        on_loss: Callable[[], None],
        position_interval_s: float,
    ) -> None:
        self._bus, self._clock, self._observer = bus, clock, observer
        self._present, self._on_loss = present, on_loss
        self._position_interval_s = position_interval_s
        self._queue: list[Message] = []
        self._overflowed = False
        self._wake = asyncio.Event()
        self._positions: dict[str, int] = {}
        self._positions_due_s = 0.0
        self._positions_timed = False
        self._oldest_recv_ns = 0
        self._latency = observer.latency("tick_to_book")
        self._backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)
        self.connected = True

    def put(self, message: Message) -> None:
        """Queue a message; it leaves at the end of this turn of the event loop."""
        queue = self._queue
        if len(queue) >= MESSAGES_MAX or not self.connected:
            self._observer.count("outbox_dropped")
            self._overflowed = self.connected
        else:
            queue.append(message)
        self._wake.set()

    def note(self, field: str, value: int, ts_recv_ns: int) -> None:
        """Note a position that becomes true once what was put before it is published.

        ``ts_recv_ns`` is when the frame arrived that it counts.
        """
        self._positions[field] = value
        if not self._oldest_recv_ns:
            self._oldest_recv_ns = ts_recv_ns
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except BusUnavailable as error:
                await self._recover(str(error))

    async def drain(self) -> None:
        """Publish what is queued and wait until the bus has it."""
        messages, self._queue = self._queue, []
        await self._bus.publish(messages)
        self._positions_due_s = 0.0
        if self._positions:
            await self._write_positions()

    async def _flush(self) -> None:
        if self._overflowed:
            raise BusUnavailable(f"more than {MESSAGES_MAX} messages waited for the bus")
        oldest_recv_ns, self._oldest_recv_ns = self._oldest_recv_ns, 0
        if self._queue:
            messages, self._queue = self._queue, []
            await self._bus.commit(None, messages)
            self._observer.count("published", len(messages))
            if oldest_recv_ns:
                self._latency.record(self._clock.now_ns() - oldest_recv_ns)
        # A position may speak of messages that were queued during the commit: not yet.
        if self._positions and not self._queue:
            await self._write_positions()

    async def _write_positions(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._positions_due_s:
            if not self._positions_timed:
                self._positions_timed = True
                loop.call_at(self._positions_due_s, self._wake.set)
            return
        self._positions_timed = False
        self._positions_due_s = loop.time() + self._position_interval_s
        fields = {field: str(value) for field, value in self._positions.items()}
        self._positions.clear()
        await self._bus.note_positions(fields)

    async def _recover(self, reason: str) -> None:
        """Wait until the bus takes messages again, then let every book start anew."""
        self.connected = False
        self._observer.count("bus_losses")
        log.error("bus_lost", extra={"reason": reason})
        while True:
            self._observer.count("outbox_dropped", len(self._queue))
            self._queue, self._positions, self._overflowed = [], {}, False
            await asyncio.sleep(self._backoff.next_s())
            try:
                await self._bus.publish(self._present())
            except BusUnavailable:
                continue
            break
        self._backoff.reset()
        self.connected = True
        log.info("bus_back")
        self._on_loss()
