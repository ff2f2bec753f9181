"""The ingestor put together: venues, their connections, and the loops that serve them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from services.ingestor.connection import FeedSocket
from services.ingestor.driver import FeedDriver
from services.ingestor.markets import Job
from services.ingestor.metadata import REPEAT_S, MetadataReader
from services.ingestor.outbox import Outbox
from services.ingestor.snapshots import SnapshotClient
from shared import streams
from shared.bus.port import Bus, Input
from shared.clock import Clock
from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.messages.base import BookState, Message
from shared.messages.market import ResyncRequest, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.observe import Observer
from shared.venues.registry import load_feed

log = logging.getLogger(__name__)

STATUS_S = 0.5
"""Statuses are repeated this often: latecomers and restarted readers learn the truth from them."""
RESYNC_READ_S = 1.0
COUNTERS = (
    "frames", "gaps", "resyncs", "refreshes", "malformed", "checksums_failed", "reconnects",
    "published", "snapshots", "outbox_dropped", "bus_losses", "rest_limited", "metadata_failures",
)  # fmt: skip
"""Shown from the start, so that nought is told from not counted."""


def _checked_url(venue: str, field: str, url: str, scheme: str) -> str:
    """Return the URL without its last slash.

    Raises:
        ConfigError: Not a URL of this kind.
    """
    parts = urlsplit(url)
    if parts.scheme not in (scheme, scheme + "s") or not parts.hostname:
        raise ConfigError(f"venues.{venue}.{field} = {url!r}; give {scheme}://... or {scheme}s://")
    return url.rstrip("/")


class VenueFeed:
    """Everything that serves one venue."""

    def __init__(
        self,
        name: str,
        config: VenueConfig,
        app: IngestorApp,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        feed = load_feed(config.adapter or name)
        clock, observer = app.clock, app.observer
        rest_url = _checked_url(name, "rest_url", config.rest_url or feed.rest_url, "http")
        ws_url = _checked_url(name, "ws_url", config.ws_url or feed.ws_url, "ws")
        self.name = name
        self.frames = 0
        self._app = app
        self._position = f"ingestor:{observer.instance}:frames:{name}"
        self.snapshots = SnapshotClient(rest_url, feed.rest_budget, clock, observer, spawn)
        self.drivers = [
            FeedDriver(connection, app.outbox, observer, self.snapshots.request, app.source)
            for connection in feed.connections(name, config.instruments)
        ]
        self.sockets = [
            FeedSocket(
                driver,
                ws_url + driver.connection.path,
                lifetime_s=feed.lifetime_s,
                clock=clock,
                observer=observer,
                on_frame=self._on_frame,
            )
            for driver in self.drivers
        ]

    def statuses(self, now_ns: int) -> list[VenueStatus]:
        """Return the venue's status (empty instrument) and those of its books."""
        down = [driver for driver in self.drivers if not driver.is_open]
        state, reason = BookState.LIVE, ""
        if down:
            state = BookState.DOWN if len(down) == len(self.drivers) else BookState.SYNCING
            reason = f"{len(down)} of {len(self.drivers)} connections are down"
        if told := next((d.venue_state for d in self.drivers if d.venue_state), ""):
            state, reason = BookState.DOWN, told
        whole = VenueStatus(
            venue=self.name,
            instrument="",
            state=state,
            epoch=0,
            reason=reason,
            ts_ns=now_ns,
            source=self._app.source,
        )
        return [whole, *(s for driver in self.drivers for s in driver.statuses(now_ns))]

    def unready(self) -> str:
        """Return what is not right yet; empty if everything is."""
        return next((why for driver in self.drivers if (why := driver.unready())), "")

    def on_resync(self, request: ResyncRequest, now_ns: int) -> None:
        """A reader lost a book, or wants a newer snapshot of it."""
        for driver in self.drivers:
            act = driver.on_refresh if request.refresh else driver.on_resync
            act(request.instrument, request.epoch, now_ns)

    def _on_frame(self, ts_recv_ns: int) -> None:
        self.frames += 1
        self._app.observer.count("frames")
        self._app.outbox.note(self._position, self.frames, ts_recv_ns)

    def on_listing(self, rules: Sequence[InstrumentRules], missing: Mapping[str, str]) -> None:
        """The venue's list of instruments was read: what it says of ours."""
        now_ns = self._app.clock.now_ns()
        for each in rules:
            if (driver := self._driver_of(each.instrument)) is not None:
                driver.on_rules(each, now_ns)
        for instrument, reason in missing.items():
            if (driver := self._driver_of(instrument)) is not None:
                driver.on_missing(instrument, reason, now_ns)

    def _driver_of(self, instrument: str) -> FeedDriver | None:
        """Return the connection that carries the book: a venue's first one with it."""
        return next((d for d in self.drivers if instrument in d.connection.instruments), None)


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
        self.clock, self.observer = clock, observer
        self.source = f"{observer.instance}#{clock.now_ns():x}"
        """Names this process: another may carry the same instance's name."""
        for name in COUNTERS:
            observer.count(name, 0)
        self._bus = bus
        self.outbox = Outbox(
            bus,
            clock,
            observer,
            present=self._present,
            on_loss=self._lose_books,
            position_interval_s=position_interval_s,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._venues = {
            name: VenueFeed(name, config, self, self._spawn) for name, config in venues.items()
        }
        self._metadata = MetadataReader(
            [
                Job(config.adapter or name, name, config.rest_url, list(config.instruments))
                for name, config in venues.items()
            ],
            taker_fees_bps={
                name: config.taker_fee_bps
                for name, config in venues.items()
                if config.taker_fee_bps is not None
            },
            sink=self.outbox,
            on_listing=lambda venue, *what: self._venues[venue].on_listing(*what),
            observer=observer,
            clock=clock,
        )

    async def run(self) -> None:
        """Serve the venues."""
        inbox = await self._bus.open_inbox(
            [Input(streams.MD_RESYNC)], service="ingestor", instance=self.observer.instance
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self.outbox.run())
                tasks.create_task(self._read_resyncs(inbox))
                tasks.create_task(self._repeat())
                tasks.create_task(self._metadata.run())
                for venue in self._venues.values():
                    for socket in venue.sockets:
                        tasks.create_task(socket.run())
        finally:
            await inbox.close()
            for venue in self._venues.values():
                await venue.snapshots.close()

    async def drain(self) -> None:
        """Say that every book is DOWN now, so that nobody trusts what no longer moves."""
        now_ns = self.clock.now_ns()
        for venue in self._venues.values():
            for driver in venue.drivers:
                driver.on_close(now_ns, "the ingestor was stopped")
            for status in venue.statuses(now_ns):
                self.outbox.put(status)
        await self.outbox.drain()

    def readiness(self) -> tuple[bool, str]:
        """Ready: every connection is up, every book LIVE or refused by its venue."""
        if not self.outbox.connected:
            return False, "the bus is lost"
        for venue in self._venues.values():
            if why := venue.unready():
                return False, why
        return True, ""

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._tasks is not None, "connections open only while the app runs"
        return self._tasks.create_task(work)

    def _present(self) -> Sequence[Message]:
        now_ns = self.clock.now_ns()
        return [s for venue in self._venues.values() for s in venue.statuses(now_ns)]

    def _lose_books(self) -> None:
        now_ns = self.clock.now_ns()
        for venue in self._venues.values():
            for driver in venue.drivers:
                driver.lose_books(now_ns)

    async def _repeat(self) -> None:
        """Say again what is true, and how ready we are."""
        repeats_per_metadata = round(REPEAT_S / STATUS_S)
        turn = 0
        while True:
            for message in self._present():
                self.outbox.put(message)
            if turn % repeats_per_metadata == 0:
                self._metadata.repeat()
            turn += 1
            connections = [d for venue in self._venues.values() for d in venue.drivers]
            self.observer.gauge("connections", sum(driver.is_open for driver in connections))
            self.observer.take_in(await self._bus.stats(), {}, "bus_")
            self.observer.advance()
            await asyncio.sleep(STATUS_S)

    async def _read_resyncs(self, inbox: Any) -> None:
        while True:
            batch = await inbox.read(RESYNC_READ_S)
            now_ns = self.clock.now_ns()
            for message in batch.messages:
                if type(message) is ResyncRequest and message.venue in self._venues:
                    extra = {"venue": message.venue, "instrument": message.instrument}
                    level = logging.INFO if message.refresh else logging.WARNING
                    log.log(level, "resync_requested", extra={**extra, "reason": message.reason})
                    self._venues[message.venue].on_resync(message, now_ns)
