"""One venue: its connections, its snapshot requests and its statuses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.ingestor.engine.audits import Audits
from services.ingestor.engine.connection import Connection
from services.ingestor.engine.driver import FeedDriver
from services.ingestor.engine.refusals import Refusals
from services.ingestor.engine.requests import LogLevel
from services.ingestor.engine.settings import VenueSettings
from services.ingestor.engine.snapshots import SnapshotQueue
from services.ingestor.engine.step_builder import StepBuilder
from shared.delays import Uniform
from shared.messages.base import BookState
from shared.messages.market import ResyncRequest, TradesMissed, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.venues import port
from shared.venues.ccxt_source import PREFIX


class Venue:
    """Everything that serves one venue.

    Args:
        settings: Where it is and which instruments to follow.
        out: Takes what is decided.
        uniform: Jitter.
        ids: Names of connections and requests, shared by all of the engine.
        source: Names this ingestor in statuses.
    """

    def __init__(
        self,
        settings: VenueSettings,
        out: StepBuilder,
        uniform: Uniform,
        *,
        ids: Iterator[int],
        source: str,
    ) -> None:
        feed = settings.feed
        self.name = settings.name
        self.frames = 0
        self._out, self._source, self._feed = out, source, settings.ingestor_feed
        budget = feed.rest_budget
        if self._feed:  # the other one has the same address perhaps, and the executor as well
            budget = replace(budget, weight_per_minute=budget.weight_per_minute // 2)
        self.snapshots = SnapshotQueue(settings.rest_url, budget, out, ids)
        self.connections: list[Connection] = []
        refusals = Refusals(settings.name, out)
        described = list(feed.connections(settings.name, settings.instruments))
        for kind, instruments in settings.extras.items():
            described += feed.extra_connections(settings.name, kind, instruments)
        for each in described:
            driver = FeedDriver(
                each, out, self._request_snapshot, source, refusals, feed=self._feed
            )
            is_asked = each.address is not None
            url, client = settings.ws_url + each.path, each.client
            if client is not None:
                url = PREFIX + client.ccxt_id
                client = replace(client, rest_url=settings.rest_url, ws_url=settings.ws_url)
            self.connections.append(
                Connection(
                    driver,
                    "" if is_asked and settings.ws_url == feed.ws_url else url,
                    lifetime_s=feed.lifetime_s,
                    out=out,
                    uniform=uniform,
                    ids=ids,
                    ask_address=self._ask_address if is_asked else None,
                    client=client,
                )
            )

        self.audits = self.snapshots.audits = Audits(
            settings.name,
            settings.audit,
            every_s=settings.audit_every_s,
            budget=budget,
            connections=self.connections,
            request=self.snapshots.request,
            out=out,
            feed=self._feed,
        )

    def statuses(self, now_ns: int) -> list[VenueStatus]:
        """Return the venue's status (empty instrument) and those of its books."""
        drivers = [c.driver for c in self.connections if c.driver.carries_books]
        down = sum(not driver.is_open for driver in drivers)
        state, reason = BookState.LIVE, ""
        if down:
            state = BookState.DOWN if down == len(drivers) else BookState.SYNCING
            reason = f"{down} of {len(drivers)} connections are down"
        if told := next((d.venue_state for d in drivers if d.venue_state), ""):
            state, reason = BookState.DOWN, told
        whole = VenueStatus(
            venue=self.name,
            instrument="",
            state=state,
            epoch=0,
            reason=reason,
            ts_ns=now_ns,
            source=self._source,
            feed=self._feed,
        )
        return [whole, *(s for driver in drivers for s in driver.statuses(now_ns))]

    def silent_trades(self, now_ns: int) -> list[TradesMissed]:
        """Return of which instruments no trades come though they should."""
        drivers = (connection.driver for connection in self.connections)
        return [
            missed
            for driver in drivers
            for missed in driver.extra.silent_trades(now_ns, is_open=driver.is_open)
        ]

    def unready(self) -> str:
        """Return what is not right yet; empty if everything is."""
        books = (c.driver for c in self.connections if c.driver.carries_books)
        return next((why for driver in books if (why := driver.unready())), "")

    def on_resync(self, request: ResyncRequest, now_ns: int) -> None:
        """A reader lost a book, or wants a newer snapshot of it."""
        if request.feed and request.feed is not self._feed:
            return  # the venue's other ingestor is asked
        self._out.log(
            LogLevel.INFO if request.refresh else LogLevel.WARNING,
            "resync_requested",
            venue=request.venue,
            instrument=request.instrument,
            reason=request.reason,
        )
        for connection in self.connections:
            driver = connection.driver
            act = driver.on_refresh if request.refresh else driver.on_resync
            act(request.instrument, request.epoch, now_ns)
            connection.flush(now_ns)

    def on_listing(
        self, rules: Sequence[InstrumentRules], missing: Mapping[str, str], now_ns: int
    ) -> None:
        """Take the venue's list: the rules of our instruments, and why some have none."""
        for each in rules:
            if (connection := self._connection_of(each.instrument)) is not None:
                connection.driver.on_rules(each, now_ns)
                connection.flush(now_ns)
        for instrument, reason in missing.items():
            if (connection := self._connection_of(instrument)) is not None:
                connection.driver.on_missing(instrument, reason, now_ns)
                connection.flush(now_ns)

    def lose_books(self, now_ns: int) -> None:
        """What was published may be lost: every book starts a new epoch."""
        for connection in self.connections:
            connection.driver.lose_books(now_ns)
            connection.flush(now_ns)

    def _connection_of(self, instrument: str) -> Connection | None:
        """Return the connection that carries the book: a venue's first one with it."""
        carrying = (c for c in self.connections if instrument in c.driver.connection.instruments)
        return next(carrying, None)

    def _ask_address(self, connection: Connection, now_ns: int) -> None:
        asked = connection.driver.connection.address
        assert asked is not None, "only then it is asked"
        self.snapshots.request(connection, port.FetchAddress(asked.path, asked.weight), now_ns)

    def _request_snapshot(
        self, driver: FeedDriver, fetch: port.FetchSnapshot | port.FetchFacts, now_ns: int
    ) -> None:
        connection = next(c for c in self.connections if c.driver is driver)
        self.snapshots.request(connection, fetch, now_ns)
