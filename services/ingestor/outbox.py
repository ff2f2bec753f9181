"""What the engine publishes, on its way to the bus: micro-batches and a bound.

Everything put in during one turn of the event loop leaves in one commit, so what arrived in one
socket read travels in one entry, and an idle system publishes at once. While a commit waits for the
bus, messages gather and leave together: the slower the bus, the larger the batches.

If the bus is lost, or falls so far behind that the bound is hit, the engine is told. Its newest
messages, which are statuses then, are tried again until the bus takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.ingestor.engine.requests import BusBack, BusLost
from shared.backoff import Backoff
from shared.bus.port import Batch
from shared.clock import Clock
from shared.engine import Result
from shared.errors import BusUnavailable
from shared.messages.base import Message
from shared.observe import Observer

MESSAGES_MAX = 50_000
"""Bound on what waits for the bus: several seconds of a busy market, then it is a loss."""
BACKOFF_S = 0.05
BACKOFF_S_MAX = 2.0


class Publisher(Protocol):
    """The part of the bus that the outbox uses."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish and wait for the confirmation."""

    async def commit(self, batch: Batch | None, messages: Sequence[Message]) -> None:
        """Publish without waiting."""

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """Say how far we are."""


class Outbox:
    """Queue between the engine (synchronous) and the bus (asynchronous).

    Args:
        bus: Where messages go.
        clock: For latencies.
        observer: Counters; and ``tick_to_book``, from a frame's arrival until it is on its way.
        deliver: Tells the engine.
        positions: Returns how far the engine is.
        position_interval_s: How often positions are written.
    """

    def __init__(
        self,
        bus: Publisher,
        clock: Clock,
        observer: Observer,
        *,
        deliver: Callable[[Result], None],
        positions: Callable[[], Mapping[str, str]],
        position_interval_s: float,
    ) -> None:
        self._bus, self._clock, self._observer = bus, clock, observer
        self._deliver, self._positions = deliver, positions
        self._position_interval_s = position_interval_s
        self._queue: list[Message] = []
        self._wake = asyncio.Event()
        self._written: Mapping[str, str] = {}
        self._positions_due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._oldest_recv_ns = 0
        self._latency = observer.latency("tick_to_book")
        self._backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)
        self._overflowed = False
        self._connected = True

    def put(self, messages: list[Message], ts_recv_ns: int = 0) -> None:
        """Queue messages; they leave at the end of this turn of the event loop.

        ``ts_recv_ns`` is when the frame arrived that caused them; it moves the position even where
        it causes none.
        """
        queue = self._queue
        if self._connected and len(queue) < MESSAGES_MAX:
            queue += messages
        else:
            self._put_aside(messages)
        if not self._oldest_recv_ns:
            self._oldest_recv_ns = ts_recv_ns
        self._wake.set()

    def _put_aside(self, messages: list[Message]) -> None:
        """Keep the newest of what a lost bus is tried with, or give up on a bus far behind."""
        if not messages:
            return
        if not self._connected:
            self._observer.count("publish_lost", len(self._queue))
            self._queue = messages
        else:
            self._observer.count("publish_lost", len(messages))
            self._overflowed = True

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
        await self._bus.note_positions(self._positions())

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
        if not self._queue:
            await self._write_positions()

    async def _write_positions(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._positions_due_s:
            if self._timer is None:
                self._timer = loop.call_at(self._positions_due_s, self._on_timer)
            return
        fields = self._positions()
        if fields != self._written:
            self._written = fields
            self._positions_due_s = loop.time() + self._position_interval_s
            await self._bus.note_positions(fields)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake.set()

    async def _recover(self, reason: str) -> None:
        """Wait until the bus takes messages again."""
        self._connected = False
        self._observer.count("publish_lost", len(self._queue))
        self._queue, self._written, self._overflowed = [], {}, False
        self._deliver(BusLost(reason))
        while True:
            await asyncio.sleep(self._backoff.next_s())
            messages, self._queue = self._queue, []
            try:
                await self._bus.publish(messages)
            except BusUnavailable:
                self._observer.count("publish_lost", len(messages))
                continue
            break
        self._backoff.reset()
        self._connected = True
        self._deliver(BusBack())
