"""All decisions of the ingestor: frames and answers in, ``md.*`` and requests out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from services.ingestor.engine.connection import NEVER_NS, Connection
from services.ingestor.engine.listings import Listings
from services.ingestor.engine.requests import (
    ConnectionClosed,
    ConnectionOpened,
    FrameReceived,
    ListingAnswered,
    LogLevel,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import VenueSettings, venue_settings
from services.ingestor.engine.step_builder import StepBuilder
from services.ingestor.engine.venue import Venue
from shared.delays import Uniform
from shared.engine import NOTHING, BusBack, BusLost, EngineSpec, Result, Step, Stopping
from shared.messages.base import Message
from shared.messages.market import ResyncRequest

STATUS_NS = 500_000_000
"""Statuses are repeated this often, for readers that started later."""

UNKNOWN_NS = 0
"""A deadline that must be worked out again."""


class IngestorEngine:
    """Feeds of some venues.

    Args:
        venues: The venues to serve.
        source: Names this process in statuses: another may carry the same instance's name.
        uniform: Jitter of backoff and renewal, for example ``random.Random(seed).uniform``.
    """

    def __init__(self, venues: Sequence[VenueSettings], *, source: str, uniform: Uniform) -> None:
        self._out = out = StepBuilder()
        ids = count(1)
        self._venues = {
            each.name: Venue(each, out, uniform, ids=ids, source=source) for each in venues
        }
        self._listings = Listings(
            [each.listing for each in venues],
            taker_fees_bps={
                each.name: each.taker_fee_bps for each in venues if each.taker_fee_bps is not None
            },
            on_listing=lambda venue, *what: self._venues[venue].on_listing(*what),
            out=out,
            uniform=uniform,
        )
        self._links = [(v, c) for v in self._venues.values() for c in v.connections]
        self._open: dict[int, tuple[Venue, Connection]] = {}
        """Connection id -> whose it is; brought up to date after every input."""
        self._status_ns = NEVER_NS
        self._stopped = False
        self._now_ns = 0
        self._deadline_ns = UNKNOWN_NS

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Ask for every connection and list; nothing of an ingestor is saved."""
        assert not saved, "an ingestor has no checkpoints"
        self._now_ns = now_ns
        for _, connection in self._links:
            connection.open(now_ns)
        self._status_ns = now_ns
        return self.on_timer(now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take a frame, an answer, or a reader's request in."""
        if type(message) is FrameReceived:  # first, and without further calls: the hot path
            return self._on_frame(message)
        if self._stopped:
            return NOTHING
        self._now_ns = now_ns = max(now_ns, self._now_ns)
        if type(message) is ResyncRequest:
            if message.venue in self._venues:
                self._venues[message.venue].on_resync(message, now_ns)
        elif type(message) is ConnectionOpened or type(message) is ConnectionClosed:
            self._on_connection(message, now_ns)
        elif type(message) is SnapshotAnswered:
            self._on_snapshot(message, now_ns)
        elif type(message) is ListingAnswered:
            self._listings.on_answer(message, now_ns)
        elif type(message) is BusLost:
            self._on_bus_lost(message)
        elif type(message) is BusBack:
            self._on_bus_back(now_ns)
        elif type(message) is Stopping:
            self._on_stopping(now_ns)
        return self._finish()

    def on_timer(self, now_ns: int) -> Step:
        """Do what is due."""
        if self._stopped:
            return NOTHING
        self._now_ns = now_ns = max(now_ns, self._now_ns)
        for _, connection in self._links:
            connection.on_timer(now_ns)
        for venue in self._venues.values():
            if now_ns >= venue.snapshots.due_ns:
                venue.snapshots.advance(now_ns)
            if now_ns >= venue.audits.due_ns:
                venue.audits.advance(now_ns)
        if now_ns >= self._status_ns:
            self._status_ns = now_ns + STATUS_NS
            self._publish_statuses(now_ns)
        if now_ns >= self._listings.due_ns:
            self._listings.on_timer(now_ns)
        return self._finish()

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next (UNIX ns)."""
        if self._stopped:
            return None
        if self._deadline_ns == UNKNOWN_NS:
            self._deadline_ns = min(
                self._status_ns,
                self._listings.due_ns,
                min((c.due_ns for _, c in self._links), default=NEVER_NS),
                min((v.snapshots.due_ns for v in self._venues.values()), default=NEVER_NS),
                min((v.audits.due_ns for v in self._venues.values()), default=NEVER_NS),
            )
        return None if self._deadline_ns >= NEVER_NS else self._deadline_ns

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return nothing: every book starts again with its connection."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        frames = sum(venue.frames for venue in self._venues.values())
        return {"frames": frames, **self._out.counters}

    def gauges(self) -> Mapping[str, float]:
        """Return how many connections are open."""
        return {"connections": sum(c.driver.is_open for _, c in self._links)}

    def frames(self) -> Mapping[str, int]:
        """Return how many frames of each venue were taken in."""
        return {venue.name: venue.frames for venue in self._venues.values()}

    def unready(self) -> str:
        """Return what is missing; empty: every connection is up, every book LIVE or refused."""
        if self._out.bus_lost:
            return "the bus is lost"
        return next((why for venue in self._venues.values() if (why := venue.unready())), "")

    # Inputs

    def _on_frame(self, frame: FrameReceived) -> Step:
        link = self._open.get(frame.connection)
        if link is None:
            self._out.count("answers_late")
            return NOTHING
        venue, connection = link
        now_ns = frame.ts_recv_ns
        if now_ns < self._now_ns:  # noqa: PLR1730 - half the time of max(), once per frame
            # Received before an input that was taken in already: session times must not fall.
            now_ns = self._now_ns
        self._now_ns = now_ns
        venue.frames += 1
        driver, out = connection.driver, self._out
        driver.on_frame(frame.raw, now_ns)
        if driver.sends or driver.reconnect_reason is not None:
            connection.flush(now_ns)
        if out.actions:
            return self._finish()
        if venue.snapshots.due_ns < self._deadline_ns:
            self._deadline_ns = UNKNOWN_NS
        messages = out.messages
        if not messages:
            return NOTHING
        if out.bus_lost:
            return out.take()
        out.messages = []
        return Step(messages)

    def _on_connection(self, result: ConnectionOpened | ConnectionClosed, now_ns: int) -> None:
        link = self._open.get(result.connection)
        if link is None:
            return  # given up already
        if type(result) is ConnectionOpened:
            link[1].on_opened(now_ns)
        elif type(result) is ConnectionClosed:
            link[1].on_closed(result.reason, result.code, now_ns)

    def _on_snapshot(self, answer: SnapshotAnswered, now_ns: int) -> None:
        for venue in self._venues.values():
            if venue.snapshots.awaits(answer.request):
                venue.snapshots.on_answer(answer, now_ns)
                return
        self._out.count("answers_late")

    def _on_bus_lost(self, lost: BusLost) -> None:
        if not self._out.bus_lost:
            self._out.bus_lost = True
            self._out.count("bus_losses")
            self._out.log(LogLevel.ERROR, "bus_lost", reason=lost.reason)

    def _on_bus_back(self, now_ns: int) -> None:
        """Publish the present state; then every book starts a new epoch on the same connection."""
        if not self._out.bus_lost:
            return
        self._out.bus_lost = False
        self._out.log(LogLevel.INFO, "bus_back")
        self._publish_statuses(now_ns)
        for venue in self._venues.values():
            venue.lose_books(now_ns)

    def _on_stopping(self, now_ns: int) -> None:
        """Publish that every book is DOWN, so that nothing trusts a book that no longer changes."""
        self._stopped = True
        for _, connection in self._links:
            connection.stop(now_ns)
        self._publish_statuses(now_ns)

    def _publish_statuses(self, now_ns: int) -> None:
        for venue in self._venues.values():
            self._out.messages += venue.statuses(now_ns)
            self._out.messages += venue.silent_trades(now_ns)

    def _finish(self) -> Step:
        """Return the step of an input that may have changed connections and deadlines."""
        self._open = {link[1].id: link for link in self._links if link[1].id}
        self._deadline_ns = UNKNOWN_NS
        return self._out.take()


ENGINE = EngineSpec(
    new=lambda config, given: IngestorEngine(
        venue_settings(config.venues), source=given.source, uniform=given.uniform
    ),
    reports_bus_state=True,
)
