"""The simulated venues on one port: wiring, the clock that paces the market, the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from aiohttp import web

from services.venuesim import config
from services.venuesim.control import Control
from services.venuesim.faults import FaultTable
from services.venuesim.generator import Market
from services.venuesim.listing import Listing
from services.venuesim.venue import Context, OpenVenue, SimulatedVenue
from shared.clock import SystemClock
from shared.venues.registry import ADAPTERS


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: ``port`` 0 takes a free one, ``rate`` is market time per wall time."""

    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    rate: float = 1.0


class VenueSim:
    """All simulated venues over one generated market."""

    def __init__(self, options: Options) -> None:
        self._options = options
        faults = FaultTable({})
        self.context = Context(options.seed, faults, SystemClock(), self._fair)
        self.venues: dict[str, SimulatedVenue] = {}
        for adapter in ADAPTERS:
            self.venues[adapter] = open_venue(adapter, self.context, ())
        faults.instruments.update(
            {name: tuple(venue.exchange.by_instrument) for name, venue in self.venues.items()}
        )
        self._market = Market([venue.exchange for venue in self.venues.values()], options.seed)
        self.control = Control(self.venues, self.context)

    def _fair(self, venue: str, base: str) -> float:
        return self._market.fair(venue, base)

    def application(self) -> web.Application:
        """Return the web application with every venue's paths."""
        app = web.Application(client_max_size=config.REQUEST_BYTES_MAX)
        for venue in self.venues.values():
            venue.add_routes(app)
        self.control.add_routes(app)
        return app

    def step(self) -> None:
        """Move the market by one tick and publish."""
        self.control.ticks += 1
        self._market.step(self.context.venue_ms(""))
        for venue in self.venues.values():
            venue.on_tick(self.control.ticks, self.context.venue_ms(venue.venue))

    async def run(self) -> None:
        """Pace the market by the wall clock until canceled."""
        loop = asyncio.get_running_loop()
        period_s = config.TICK_MS / 1_000 / self._options.rate
        due = loop.time()
        while True:
            self.step()
            due += period_s
            if loop.time() - due > config.TICKS_BEHIND_MAX * period_s:
                due = loop.time()
            await asyncio.sleep(max(0.0, due - loop.time()))

    def description(self, host: str, port: int) -> dict[str, Any]:
        """Return what a client needs to know: the one line printed when ready."""
        http = f"http://{host}:{port}"
        return {
            "http": http,
            "ws": f"ws://{host}:{port}",
            "control": f"{http}/control",
            "credentials": {name: venue.credentials for name, venue in self.venues.items()},
            "instruments": [
                {"venue": name, "instrument": instrument}
                for name, venue in self.venues.items()
                for instrument in venue.exchange.by_instrument
            ],
        }


def open_venue(adapter: str, context: Context, listings: Sequence[Listing]) -> SimulatedVenue:
    """Return the simulated venue of an adapter's folder."""
    module = import_module(f"services.venuesim.{adapter}.venue")
    return cast("OpenVenue", module.open_venue)(context, tuple(listings))


@dataclass(frozen=True, slots=True)
class Server:
    """The running simulation; ``clock`` ends only if it failed."""

    sim: VenueSim
    description: dict[str, Any]
    clock: asyncio.Task[None]


@asynccontextmanager
async def serve(options: Options) -> AsyncIterator[Server]:
    """Serve the venues; yields once clients may connect."""
    sim = VenueSim(options)
    for _ in range(2):
        sim.step()  # so that no client ever sees an empty book
    runner = web.AppRunner(sim.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    port = int(runner.addresses[0][1])
    clock = asyncio.create_task(sim.run())
    try:
        yield Server(sim, sim.description(options.host, port), clock)
    finally:
        clock.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await clock
        for venue in sim.venues.values():
            venue.hub.disconnect()
        await runner.cleanup()
