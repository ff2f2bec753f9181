"""The simulated venues on one port: wiring, the clock that paces the market, the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from services.venuesim import config
from services.venuesim.control import Control
from services.venuesim.http import add_venue, answering_when
from services.venuesim.replay import VenueReplay, survey
from services.venuesim.store import StateLostError, Store
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.exchange.generator import TICK_MS, MarketGenerator, Shape
from shared.simulated.context import Context
from shared.simulated.faults import FaultTable
from shared.simulated.port import SimulatedVenue
from shared.simulated.recorded import RecordedMarket
from shared.venues.registry import ADAPTERS, EVERY, TRADED, load_simulated


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    ``port`` 0 takes a free one; ``rate`` is market time (or recorded time) per wall time;
    ``capture`` are recordings to play instead of a generated market, in ``lockstep`` only as far as
    the control port was asked to. Perpetuals settle every ``funding_interval_s`` and jump up to
    ``premium_bps`` away from spot, to converge. Rates are for ``funding_rate_interval_s``, without
    it for the interval itself: with it, eight hours pass in seconds. ``more_markets`` lists markets
    between assets too, whose stable coin falls by ``depeg_bps`` now and then. ``more_venues`` opens
    the venues beside the usual ones, too, ``trading_venues`` those of them that orders can be sent
    to. With ``state``, a folder, accounts outlive the process.
    """

    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    rate: float = 1.0
    capture: tuple[str, ...] = ()
    lockstep: bool = False
    funding_interval_s: int = 8 * 3_600
    premium_bps: float = 0.0
    more_markets: bool = False
    depeg_bps: float = 0.0
    funding_rate_interval_s: int | None = None
    more_venues: bool = False
    trading_venues: bool = False
    state: str = ""


class VenueSim:
    """All simulated venues over one market: generated, or recorded."""

    def __init__(self, options: Options) -> None:
        self._options = options
        faults = FaultTable({})
        self.context = Context(
            options.seed,
            faults,
            SystemClock.now_ns,
            self._fair,
            _later,
            None if options.capture else self._index,
            options.funding_interval_s * 1_000,
            options.funding_rate_interval_s and options.funding_rate_interval_s * 1_000,
        )
        self.venues: dict[str, SimulatedVenue] = {}
        self.store: Store | None = None
        self._market: MarketGenerator | None = None
        self.replay: VenueReplay | None = None
        if options.capture:
            self.replay = self._open_recording(options.capture)
        else:
            traded = TRADED if options.trading_venues else ADAPTERS
            for adapter in EVERY if options.more_venues else traded:
                venue = load_simulated(adapter)
                more = venue.more_listings() if options.more_markets else ()
                self.venues[adapter] = venue.open_venue(self.context, (*venue.LISTINGS, *more))
            self._market = MarketGenerator(
                [venue.exchange for venue in self.venues.values()],
                options.seed,
                Shape(premium_bps=options.premium_bps, depeg_bps=options.depeg_bps),
            )
        if options.state:  # before the market opens: open orders are on the books first
            self.store = Store(Path(options.state), self.venues)
        faults.instruments.update(
            {name: tuple(venue.exchange.by_instrument) for name, venue in self.venues.items()}
        )
        self.control = Control(self.venues, self.context, self.replay)

    def _open_recording(self, paths: tuple[str, ...]) -> VenueReplay:
        contents = survey(paths)
        markets: dict[str, RecordedMarket] = {}
        for venue, samples in contents.samples.items():
            if venue not in EVERY:
                raise ConfigError(
                    f"there is no simulated {venue} to play the recording; "
                    f"there are: {', '.join(EVERY)}"
                )
            opened = self.venues[venue] = load_simulated(venue).open_recorded(self.context, samples)
            assert opened.recorded is not None
            markets[venue] = opened.recorded
        return VenueReplay(paths, contents, markets, [venue.hub for venue in self.venues.values()])

    def _fair(self, venue: str, base: str) -> float:
        if self._market is not None:
            return self._market.fair(venue, base)
        for listing in self.venues[venue].exchange.by_instrument.values():
            best = self.venues[venue].exchange.books[listing.instrument].bids.best()
            if listing.base == base and best is not None:
                return float(listing.price(best))
        return 0.0

    def _index(self, base: str) -> float:
        assert self._market is not None, "a recording has no index of its own"
        return self._market.index(base)

    def application(self) -> web.Application:
        """Return the web application with every venue's paths."""
        app = web.Application(
            client_max_size=config.REQUEST_BYTES_MAX, middlewares=[answering_when(self.is_kept)]
        )
        for venue in self.venues.values():
            add_venue(app, venue, self.context.faults, self.is_kept)
        self.control.add_routes(app)
        return app

    def is_kept(self) -> bool:
        """Write what happened to the accounts, if that is wanted; tell whether clients may know."""
        return self.store is None or self.store.written()

    def step(self) -> None:
        """Move the market by one tick, unless it is to stand still, and publish.

        Raises:
            StateLostError: What happened to the accounts cannot be written.
        """
        self.control.ticks += 1
        began_ns = self.context.now_ns()
        if self._market is not None and self.control.market_moves:
            self._market.step(self.context.venue_ms(""))
        for venue in self.venues.values():
            venue.on_tick(self.control.ticks, self.context.venue_ms(venue.venue))
        self.control.truth.record(began_ns)
        if self.store is not None:
            self.store.look()
            if not self.store.written():
                raise StateLostError(self.store.error)

    async def run(self) -> None:
        """Pace the market by the wall clock until canceled."""
        if self.replay is not None and not self._options.lockstep:
            await self._play(self.replay.run(self._options.rate))
        elif self.replay is not None:
            await self._play(self.replay.run_when_told())
        else:
            await self._tick(self._options.rate)

    async def _play(self, replay: Coroutine[Any, Any, None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(replay)
            group.create_task(self._tick(1.0))

    async def _tick(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        period_s = TICK_MS / 1_000 / rate
        due = loop.time()
        while True:
            self.step()
            due += period_s
            if loop.time() - due > config.TICKS_BEHIND_MAX * period_s:
                due = loop.time()
            await asyncio.sleep(max(0.0, due - loop.time()))

    def description(self, host: str, port: int) -> dict[str, Any]:
        """Return what a client needs to know: the one line printed when ready."""
        reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
        http = f"http://{reachable}:{port}"
        return {
            "http": http,
            "ws": f"ws://{reachable}:{port}",
            "control": f"{http}/control",
            "venues": {
                name: {"http": f"{http}/{name}", "ws": f"ws://{reachable}:{port}/{name}"}
                for name in self.venues
            },
            "credentials": {name: venue.credentials for name, venue in self.venues.items()},
            "instruments": [
                {"venue": name, "instrument": instrument}
                for name, venue in self.venues.items()
                for instrument in venue.exchange.by_instrument
            ],
        }


def _later(delay_s: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay_s, action)


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
    try:
        for _ in range(config.WARM_UP_TICKS):
            sim.step()  # so that no client ever sees an empty generated book
        async with _serving(sim, options) as server:
            yield server
    finally:
        if sim.store is not None:
            sim.store.close()


@asynccontextmanager
async def _serving(sim: VenueSim, options: Options) -> AsyncIterator[Server]:
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
