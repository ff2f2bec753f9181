"""The way from the lab's exchanges to the ingestor: connections, frames, REST books, lists.

Frames of a connection keep their order unless something goes wrong with one; then it is dropped,
repeated or late, or the whole connection ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from random import Random
from types import MappingProxyType

from services.ingestor.engine.requests import (
    CloseConnection,
    ConnectionClosed,
    ConnectionOpened,
    FetchSnapshot,
    FrameReceived,
    ListingAnswered,
    ListingJob,
    OpenConnection,
    ReadListings,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import VenueSettings
from services.lab.kernel import Kernel, between
from services.lab.protocol import (
    Change,
    LabFeed,
    SnapshotBody,
    body_of,
    changed_levels,
    frame_of,
)
from shared.domain.instrument import MarketKey
from shared.engine import Action, Result
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.market import Level
from shared.messages.rules import InstrumentRules

_MS = 1_000_000
WAY_NS = (1 * _MS, 4 * _MS)
ANSWER_NS = (3 * _MS, 40 * _MS)
LATE_NS = (20 * _MS, 400 * _MS)
DEPTH = 100
"""Levels of a side that are remembered as true; the lab's books have fewer."""
FRAME_FAULTS = ("dropped", "repeated", "late")


@dataclass(slots=True)
class Line:
    """One open connection of a venue."""

    connection: int
    deliver: Callable[[Result], None]
    free_ns: int = 0
    """When what was sent last has arrived: frames do not overtake one another."""


class Feed:
    """Everything public of the exchanges.

    Args:
        kernel: Time.
        exchanges: By venue.
        random: Draws how long things take.
        clocks_ms: By how much the clocks of venues are ahead of ours, of those that differ.
    """

    def __init__(
        self,
        kernel: Kernel,
        exchanges: Mapping[str, Exchange],
        random: Random,
        clocks_ms: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._kernel, self._exchanges, self._random = kernel, exchanges, random
        self.clocks_ms = clocks_ms
        self._lines: dict[tuple[int, str], Line] = {}
        """Reader and venue -> its connection."""
        self._readers = 0
        self._sent: dict[MarketKey, int] = {}
        """Market -> last id that was sent."""
        self._faults: dict[str, str] = {}
        """Venue -> what happens to its next frame."""
        self.refuses: dict[str, None] = {}
        """Venues that refuse connections and answer no book."""
        self.true_books: dict[tuple[str, str, int], tuple[list[Level], list[Level]]] = {}
        """What each exchange's book was at each id, best levels first."""

    # The exchanges' side

    def on_move(self) -> None:
        """The market moved: send what changed."""
        for venue, exchange in self._exchanges.items():
            for listing in exchange.by_instrument.values():
                self._send_changes(venue, exchange, listing)

    def hit(self, venue: str, fault: str) -> None:
        """Apply a fault to the venue's next frame."""
        self._faults[venue] = fault

    def cut(self, venue: str) -> None:
        """End the venue's connection."""
        for key, line in self._lines_of(venue):
            del self._lines[key]
            line.deliver(ConnectionClosed(line.connection, "the connection was cut"))

    def _lines_of(self, venue: str) -> list[tuple[tuple[int, str], Line]]:
        return [(key, line) for key, line in self._lines.items() if key[1] == venue]

    # The ingestors' side

    def port(self) -> FeedPort:
        """Return what one more ingestor reaches the venues by."""
        self._readers += 1
        return FeedPort(self, self._readers)

    def carry_out(self, reader: int, action: Action, deliver: Callable[[Result], None]) -> None:
        """Do what an ingestor asks for; log entries are dropped."""
        if isinstance(action, OpenConnection):
            self._after(ANSWER_NS, lambda: self._open(reader, action, deliver))
        elif isinstance(action, CloseConnection):
            for key, line in list(self._lines.items()):
                if key[0] == reader and line.connection == action.connection:
                    del self._lines[key]
        elif isinstance(action, FetchSnapshot):
            self._after(ANSWER_NS, lambda: self._answer(action, deliver))
        elif isinstance(action, ReadListings):
            for job in action.jobs:
                self._after(ANSWER_NS, partial(deliver, self._listing(job)))

    def _open(self, reader: int, action: OpenConnection, deliver: Callable[[Result], None]) -> None:
        if action.venue in self.refuses:
            deliver(ConnectionClosed(action.connection, "connection refused"))
            return
        self._lines[reader, action.venue] = Line(action.connection, deliver)
        deliver(ConnectionOpened(action.connection))

    def _answer(self, action: FetchSnapshot, deliver: Callable[[Result], None]) -> None:
        if action.venue in self.refuses:
            busy = SnapshotAnswered(action.request, HTTPStatus.SERVICE_UNAVAILABLE)
            self._after(ANSWER_NS, lambda: deliver(busy))
            return
        exchange = self._exchanges[action.venue]
        listing = exchange.by_instrument[action.instrument]
        bids, asks = self._remember(exchange, listing)
        body = body_of(SnapshotBody(exchange.books[action.instrument].seq, bids, asks))
        answer = SnapshotAnswered(action.request, HTTPStatus.OK, body)
        self._after(ANSWER_NS, lambda: deliver(answer))

    def _listing(self, job: ListingJob) -> ListingAnswered:
        listings = self._exchanges[job.venue].by_instrument
        return ListingAnswered(job.venue, [rules_of(listings[name]) for name in job.instruments])

    def _send_changes(self, venue: str, exchange: Exchange, listing: Listing) -> None:
        book, key = exchange.books[listing.instrument], (venue, listing.instrument)
        changed, book.changed = book.changed, {}
        if not changed:
            return
        first, self._sent[key] = self._sent.get(key, book.seq - 1) + 1, book.seq
        bids, asks = changed_levels(book, listing, changed)
        self._remember(exchange, listing)
        lines = self._lines_of(venue)
        if not lines:
            return
        now_ms = self._kernel.now_ns() // _MS + self.clocks_ms.get(venue, 0)
        raw = frame_of(Change(listing.instrument, first, book.seq, now_ms, bids, asks))
        fault = self._faults.pop(venue, "")
        for number, (place, line) in enumerate(lines):  # what goes wrong, goes wrong on one of them
            hit = fault if number == 0 else ""
            if hit != "dropped":
                self._send(place, line, raw, is_late=hit == "late")
            if hit == "repeated":
                self._send(place, line, raw, is_late=False)

    def _send(self, key: tuple[int, str], line: Line, raw: bytes, *, is_late: bool) -> None:
        way_ns = between(self._random.getrandbits, WAY_NS)
        at_ns = max(line.free_ns, self._kernel.time_ns + way_ns)
        if is_late:
            at_ns += self._random.randrange(*LATE_NS)
        else:
            line.free_ns = at_ns

        def arrive() -> None:
            if self.is_open(key, line):
                line.deliver(FrameReceived(line.connection, raw, self._kernel.now_ns()))

        self._kernel.at(at_ns, arrive)

    def is_open(self, key: tuple[int, str], line: Line) -> bool:
        """Tell whether a reader's line to a venue is still there."""
        return self._lines.get(key) is line

    def _remember(self, exchange: Exchange, listing: Listing) -> tuple[list[Level], list[Level]]:
        book = exchange.books[listing.instrument]
        price_unit, qty_unit = 10**listing.price_scale, 10**listing.qty_scale
        of_bids, of_asks = book.bids.depth(DEPTH), book.asks.depth(DEPTH)
        bids = [(ticks / price_unit, lots / qty_unit) for ticks, lots in of_bids]
        asks = [(ticks / price_unit, lots / qty_unit) for ticks, lots in of_asks]
        self.true_books[exchange.venue, listing.instrument, book.seq] = bids, asks
        return bids, asks

    def _after(self, between_ns: tuple[int, int], event: Callable[[], None]) -> None:
        self._kernel.after(self._random.randrange(*between_ns), event)


class FeedPort:
    """The venues as one ingestor reaches them, over connections of its own."""

    def __init__(self, feed: Feed, reader: int) -> None:
        self._feed, self._reader = feed, reader

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Do what the ingestor asks for."""
        self._feed.carry_out(self._reader, action, deliver)


def settings_of(exchanges: Mapping[str, Exchange]) -> list[VenueSettings]:
    """Return what the ingestor of these exchanges serves."""
    return [
        VenueSettings(
            name=venue,
            feed=LabFeed(venue),
            rest_url=LabFeed.rest_url,
            ws_url=LabFeed.ws_url,
            instruments=tuple(exchange.by_instrument),
            listing=ListingJob(venue, venue, "", list(exchange.by_instrument)),
        )
        for venue, exchange in exchanges.items()
    ]


def rules_of(listing: Listing) -> InstrumentRules:
    """Return the trading rules of a listing."""
    return InstrumentRules(
        venue=listing.venue,
        instrument=listing.instrument,
        tick_size=listing.tick,
        lot_size=listing.lot,
        qty_min=listing.qty_min,
        notional_min=listing.notional_min,
        taker_fee_bps=listing.taker_bps,
        maker_fee_bps=listing.maker_bps,
        contract_size=Decimal(1),
    )
