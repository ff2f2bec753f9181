"""An ingestor in this process and the books that the orderbook's engine makes of its stream."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import redis.asyncio as redis

from services.ingestor import listing_child
from services.ingestor.app import build, new_engine
from services.orderbook.engine import OrderbookEngine
from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.clock import SystemClock
from shared.config_sections import BusConfig, OrderbookConfig, VenueConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from shared.messages.market import DepthView
from shared.observe import Observer
from shared.streams import StreamSpec

NO_METADATA = (sys.executable, "-S", "-c", "input(); print()")
"""A reader of metadata that fails at once, without importing ccxt."""
POSITION_S = 0.01


class Reader:
    """The newest view of every book, and all states each book went through."""

    def __init__(self, bus, config: OrderbookConfig, accepted: list[str]) -> None:
        self.engine = OrderbookEngine(config, accepted=accepted)
        self.engine.own(0, None, SystemClock.now_ns())
        self.views: dict[tuple[str, str], DepthView] = {}
        self.states: dict[tuple[str, str], list[str]] = {}
        self._bus = bus

    async def run(self) -> None:
        inputs = [Input(streams.MD_BOOK), Input(streams.MD_STATUS)]
        inbox = await self._bus.open_inbox(inputs, service="orderbook", instance="t")
        try:
            while True:
                await self._turn(inbox)
        finally:
            await inbox.close()

    async def _turn(self, inbox) -> None:
        batch = await inbox.read(0.02)
        out = []
        for message in batch.messages:
            out += self.engine.on_message(message, SystemClock.now_ns()).messages
        now_ns = SystemClock.now_ns()
        if now_ns >= self.engine.next_deadline_ns():
            out += self.engine.on_timer(now_ns).messages
        for view in out:
            if isinstance(view, DepthView):
                key = (view.venue, view.instrument)
                self.views[key] = view
                seen = self.states.setdefault(key, [])
                if not seen or seen[-1] != view.state.value:
                    seen.append(view.state.value)
        # Views lost with the bus are repeated by the engine.
        with contextlib.suppress(BusUnavailable):
            await self._bus.commit(batch, out)

    def view(self, venue="binance", instrument="BTC/USDT") -> DepthView | None:
        return self.views.get((venue, instrument))

    def is_live(self, venue="binance", instrument="BTC/USDT") -> bool:
        view = self.view(venue, instrument)
        return view is not None and view.state.value == "LIVE"


class Pipeline:
    """What a test holds: the server, the app, its counters, and the reader."""

    def __init__(self, server, bus, app, engine, observer, reader) -> None:  # noqa: PLR0917
        self.server, self.bus, self.app, self.engine = server, bus, app, engine
        self.observer, self.reader = observer, reader

    @property
    def counters(self) -> dict[str, int]:
        return {**self.observer.counters, **self.engine.counters()}

    async def ask(self, *command: str):
        """Ask the server itself."""
        client = redis.Redis(unix_socket_path=self.server.url.removeprefix("unix://"))
        async with client:
            return await client.execute_command(*command)

    async def entries(self, spec: StreamSpec) -> int:
        """How many entries a stream holds."""
        return await self.ask("XLEN", spec.key())


@contextlib.asynccontextmanager
async def pipeline(
    directory: Path,
    venues: dict[str, VenueConfig],
    monkeypatch,
    *,
    orderbook: OrderbookConfig = OrderbookConfig(),
    child: tuple[str, ...] = NO_METADATA,
) -> AsyncIterator[Pipeline]:
    monkeypatch.setattr(listing_child, "CHILD", child)
    with EmbeddedServer(directory / "valkey") as server:
        config = BusConfig(url=server.url)
        bus = await open_bus(config, service="ingestor", instance="i1")
        reading = await open_bus(config, service="orderbook", instance="t")
        observer = Observer("ingestor", "i1")
        engine = new_engine(venues, SystemClock(), observer)
        app = build(engine, bus, SystemClock(), observer, position_interval_s=POSITION_S)
        accepted = [name for name, venue in venues.items() if venue.accept_unproved]
        reader = Reader(reading, orderbook, accepted)
        tasks = [asyncio.create_task(reader.run()), asyncio.create_task(app.run())]
        try:
            yield Pipeline(server, bus, app, engine, observer, reader)
            for task in tasks:
                assert not task.done(), task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await app.drain()
            await bus.close()
            await reading.close()
