"""The ingestor put together: the engine, its transport, and the bus."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any

from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.requests import FrameReceived, Stopping
from services.ingestor.engine.settings import venue_settings
from services.ingestor.outbox import Outbox
from services.ingestor.transport import VenueTransport
from shared import streams
from shared.bus.port import Bus, Inbox, Input
from shared.clock import Clock
from shared.config_sections import VenueConfig
from shared.engine import Result, Step
from shared.messages.base import Message
from shared.observe import Observer

OBSERVE_S = 0.5
RESYNC_READ_S = 1.0


class IngestorApp:
    """Runs the feeds of some venues until cancelled.

    Raises (when built):
        ConfigError: A venue that is unknown, or a URL that cannot be one.

    Args:
        venues: The venues to serve, by configured name.
        bus: Where to publish.
        clock: Time.
        observer: Counters and readiness.
        position_interval_s: How often positions are written.
    """

    def __init__(
        self,
        venues: Mapping[str, VenueConfig],
        bus: Bus,
        clock: Clock,
        observer: Observer,
        *,
        position_interval_s: float,
    ) -> None:
        self._bus, self._clock, self._observer = bus, clock, observer
        started_ns = clock.now_ns()
        self.engine = IngestorEngine(
            venue_settings(venues),
            source=f"{observer.instance}#{started_ns:x}",
            uniform=random.Random(started_ns).uniform,
        )
        observer.count("published", 0)
        observer.count("publish_lost", 0)
        observer.take_in(self.engine.counters(), {})
        self._outbox = Outbox(
            bus,
            clock,
            observer,
            deliver=self.deliver,
            positions=self._positions,
            position_interval_s=position_interval_s,
        )
        self._transport = VenueTransport(clock, self._spawn)
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns: int | None = None

    async def run(self) -> None:
        """Serve the venues."""
        inbox = await self._bus.open_inbox(
            [Input(streams.MD_RESYNC)], service="ingestor", instance=self._observer.instance
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._outbox.run())
                tasks.create_task(self._read_resyncs(inbox))
                tasks.create_task(self._observe())
                self._take(self.engine.start({}, self._clock.now_ns()))
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await inbox.close()
            await self._transport.close()

    async def drain(self) -> None:
        """Say that every book is DOWN now, so that nobody trusts what no longer moves."""
        step = self.engine.on_message(Stopping(), self._clock.now_ns())
        self._outbox.put(step.messages)
        await self._outbox.drain()

    def readiness(self) -> tuple[bool, str]:
        """Ready: every connection is up, every book LIVE or refused by its venue."""
        why = self.engine.unready()
        return not why, why

    def deliver(self, result: Message | Result) -> None:
        """Let the engine decide on an input, and carry out its step."""
        if type(result) is not FrameReceived:
            self._take(self.engine.on_message(result, self._clock.now_ns()))
            return
        step = self.engine.on_message(result, result.ts_recv_ns)
        self._outbox.put(step.messages, result.ts_recv_ns)
        if step.at_once or self.engine.next_deadline_ns() != self._armed_ns:
            self._follow(step)

    def _take(self, step: Step) -> None:
        if step.messages:
            self._outbox.put(step.messages)
        self._follow(step)

    def _follow(self, step: Step) -> None:
        """Carry out the actions, and come back when the engine wants it."""
        for action in step.at_once:
            self._transport.carry_out(action, self.deliver)
        deadline_ns = self.engine.next_deadline_ns()
        if deadline_ns != self._armed_ns and deadline_ns is not None:
            self._arm(deadline_ns)

    def _arm(self, deadline_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ns = deadline_ns
        delay_s = max(0.0, (deadline_ns - self._clock.now_ns()) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._armed_ns = None, None
        now_ns, deadline_ns = self._clock.now_ns(), self.engine.next_deadline_ns()
        if deadline_ns is not None and now_ns >= deadline_ns:
            self._take(self.engine.on_timer(now_ns))
        elif deadline_ns is not None:
            self._arm(deadline_ns)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._tasks is not None, "actions are carried out only while the app runs"
        return self._tasks.create_task(work)

    def _positions(self) -> Mapping[str, str]:
        prefix = f"ingestor:{self._observer.instance}:frames:"
        return {prefix + venue: str(n) for venue, n in self.engine.frames().items() if n}

    async def _observe(self) -> None:
        while True:
            self.observe()
            self._observer.take_in(await self._bus.stats(), {}, "bus_")
            self._observer.advance()
            await asyncio.sleep(OBSERVE_S)

    def observe(self) -> None:
        """Bring the observer up to date with the engine."""
        self._observer.take_in(self.engine.counters(), self.engine.gauges())

    async def _read_resyncs(self, inbox: Inbox) -> None:
        while True:
            batch = await inbox.read(RESYNC_READ_S)
            for message in batch.messages:
                self.deliver(message)
