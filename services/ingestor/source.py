"""The ingestor's engine without a bus: venues as a market source in any process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping

from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.settings import venue_settings
from services.ingestor.transport import VenueTransport
from shared.clock import Clock
from shared.config_sections import VenueConfig
from shared.engine import Result, Step
from shared.market_source import Take
from shared.messages.market import ResyncRequest
from shared.runtime.tasks import Tasks

NAME = "library"


class VenueSource:
    """Books of venues, proved as the ingestor proves them; see ``MarketSource``.

    Args:
        venues: By configured name.
        clock: Stamps frames.

    Raises:
        ConfigError: A venue or an instrument that is unknown, or a URL that cannot be one.
    """

    def __init__(self, venues: Mapping[str, VenueConfig], clock: Clock) -> None:
        started_ns = clock.now_ns()
        self._clock = clock
        self._engine = IngestorEngine(
            venue_settings(venues),
            source=f"{NAME}#{started_ns:x}",
            uniform=random.Random(started_ns).uniform,
        )
        self._tasks = Tasks()
        self._transport = VenueTransport(clock, self._tasks.spawn)
        self._take: Take = lambda _: None
        self._earlier = asyncio.Event()
        self._sleeps_until_ns = 0

    async def run(self, take: Take) -> None:
        """Hand over messages until canceled."""
        self._take = take
        try:
            self._carry_out(self._engine.start({}, self._clock.now_ns()))
            self._tasks.spawn(self._keep_time())
            await self._tasks.until_one_fails()
            self._tasks.raise_failure()
        finally:
            self._take = lambda _: None
            await self._tasks.cancel()
            await self._transport.close()

    def ask(self, request: ResyncRequest) -> None:
        """Ask for a book anew, in a later turn of the event loop."""
        asyncio.get_running_loop().call_soon(self._deliver, request)

    def _deliver(self, news: Result | ResyncRequest) -> None:
        self._carry_out(self._engine.on_message(news, self._clock.now_ns()))

    def _carry_out(self, step: Step) -> None:
        for action in (*step.at_once, *step.actions):
            self._transport.carry_out(action, self._deliver)
        if step.messages:
            self._take(step.messages)
        due_ns = self._engine.next_deadline_ns()
        if due_ns is not None and due_ns < self._sleeps_until_ns:
            self._earlier.set()

    async def _keep_time(self) -> None:
        """Call the engine's timer when it is due, also where that became earlier meanwhile."""
        now_ns, engine = self._clock.now_ns, self._engine
        while True:
            self._earlier.clear()
            due_ns = engine.next_deadline_ns()
            assert due_ns is not None, "statuses are repeated for ever"
            self._sleeps_until_ns = due_ns
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0, due_ns - now_ns()) / 1e9):
                    await self._earlier.wait()
            if now_ns() >= due_ns:
                self._carry_out(engine.on_timer(now_ns()))
