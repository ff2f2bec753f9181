"""A world in which one venue speaks its real protocol: the ingestor decodes the real wire. Pure.

The lab's last venue is replaced by a real one with the simulated side of its folder
(``shared/venues/<venue>/simulated``): its subscriptions, frames and REST books, between them the
lab's faults and delays. Orders reach its exchange as in every world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from random import Random

from services.ingestor.engine.requests import (
    CloseConnection,
    ConnectionClosed,
    ConnectionOpened,
    FetchSnapshot,
    ListingJob,
    OpenConnection,
    SendFrames,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import VenueSettings
from services.lab.feed import ANSWER_NS, WAY_NS, Feed, Line
from services.lab.kernel import Kernel
from services.lab.kinds import Kind
from services.lab.listings import PRICES
from services.lab.world import START_NS, World
from shared.engine import Action, Result
from shared.errors import ConfigError
from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Fill, Order
from shared.simulated.context import Context
from shared.simulated.direct import Connection, DirectVenue
from shared.simulated.faults import FaultTable
from shared.simulated.port import SimulatedVenue
from shared.simulated.rest import Answer, Request
from shared.venues.registry import load_feed, load_simulated

WS_URL, REST_URL = "ws://lab", "http://lab"
TICK_NS = TICK_MS * 1_000_000


@dataclass(slots=True)
class Wire:
    """A connection to the venue, and the line that it is for the ingestor."""

    connection: Connection
    reader: int
    line: Line
    free_ns: int = 0
    """When what the ingestor sent last has arrived."""


class WiredFeed(Feed):
    """The way to the exchanges, one of which is reached by its own protocol."""

    def __init__(
        self,
        kernel: Kernel,
        exchanges: Mapping[str, Exchange],
        random: Random,
        venue: SimulatedVenue,
    ) -> None:
        super().__init__(kernel, exchanges, random)
        self._venue = venue
        self._direct = DirectVenue(venue, FaultTable({}))
        self._wires: dict[tuple[int, int], Wire] = {}
        """Reader and connection -> it."""
        self._ticks = 0
        venue.exchange.order_listeners.append(self._on_order)

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        """An order changes the book between two moves, and the venue may publish that at once."""

        def remember() -> None:
            self._remember(self._venue.exchange, order.request.listing)

        self._kernel.at(self._kernel.now_ns(), remember)  # once the whole order is in the book

    def on_move(self) -> None:
        """The market moved: the venue publishes what is due, the others what changed."""
        super().on_move()
        now_ns = self._kernel.now_ns()
        while START_NS + (self._ticks + 1) * TICK_NS <= now_ns:
            self._ticks += 1
            self._venue.on_tick(self._ticks, now_ns // 1_000_000)
        for listing in self._venue.exchange.by_instrument.values():
            self._remember(self._venue.exchange, listing)
        for wire in list(self._wires.values()):
            self._pass_on(wire)

    def cut(self, venue: str) -> None:
        """End the venue's connections."""
        if venue != self._venue.venue:
            super().cut(venue)
            return
        wires, self._wires = self._wires, {}
        for (_, number), wire in wires.items():
            wire.connection.close()
            wire.line.deliver(ConnectionClosed(number, "the connection was cut"))

    def carry_out(self, reader: int, action: Action, deliver: Callable[[Result], None]) -> None:
        """Do what an ingestor asks for."""
        if isinstance(action, OpenConnection) and action.venue == self._venue.venue:
            self._after(ANSWER_NS, partial(self._dial, reader, action, deliver))
        elif isinstance(action, FetchSnapshot) and action.venue == self._venue.venue:
            self._after(ANSWER_NS, partial(self._ask, action, deliver))
        elif isinstance(action, SendFrames) and (reader, action.connection) in self._wires:
            self._send_up(self._wires[reader, action.connection], action.frames)
        elif isinstance(action, CloseConnection) and (reader, action.connection) in self._wires:
            self._wires.pop((reader, action.connection)).connection.close()
        else:
            super().carry_out(reader, action, deliver)

    def is_open(self, key: tuple[int, str], line: Line) -> bool:
        """Tell whether a reader's line to a venue is still there."""
        return (key[0], line.connection) in self._wires or super().is_open(key, line)

    def _send_changes(self, venue: str, exchange: Exchange, listing: Listing) -> None:
        if venue != self._venue.venue:
            super()._send_changes(venue, exchange, listing)

    def _dial(self, reader: int, action: OpenConnection, deliver: Callable[[Result], None]) -> None:
        path = action.url.removeprefix(WS_URL)
        opened = None if action.venue in self.refuses else self._direct.connect(path)
        if opened is None:
            deliver(ConnectionClosed(action.connection, "connection refused"))
            return
        line = Line(action.connection, deliver)
        self._wires[reader, action.connection] = Wire(opened, reader, line)
        deliver(ConnectionOpened(action.connection))

    def _ask(self, action: FetchSnapshot, deliver: Callable[[Result], None]) -> None:
        path, _, query = action.url.removeprefix(REST_URL).partition("?")
        answer = None
        if action.venue not in self.refuses:
            if (listing := self._venue.exchange.by_instrument.get(action.instrument)) is not None:
                self._remember(self._venue.exchange, listing)
            answer = self._direct.request(Request(action.method, path, query))
        told = SnapshotAnswered(action.request, HTTPStatus.SERVICE_UNAVAILABLE)
        if isinstance(answer, Answer):
            told = SnapshotAnswered(
                action.request, answer.status, answer.body, answer.headers.get("Retry-After")
            )
        self._after(ANSWER_NS, partial(deliver, told))

    def _send_up(self, wire: Wire, frames: list[str]) -> None:
        at_ns = max(wire.free_ns, self._kernel.now_ns() + self._random.randrange(*WAY_NS))
        wire.free_ns = at_ns

        def arrive() -> None:
            for frame in frames:
                wire.connection.send(frame)
            self._pass_on(wire)

        self._kernel.at(at_ns, arrive)

    def _pass_on(self, wire: Wire) -> None:
        """Send what the venue wrote, unless something happens to a frame."""
        venue, number = self._venue.venue, wire.line.connection
        key = wire.reader, venue
        for raw in wire.connection.frames():
            fault = self._faults.pop(venue, "")
            if fault != "dropped":
                self._send(key, wire.line, raw, is_late=fault == "late")
            if fault == "repeated":
                self._send(key, wire.line, raw, is_late=False)
        is_gone = not wire.connection.is_open
        if is_gone and self._wires.pop((wire.reader, number), None) is not None:
            wire.line.deliver(ConnectionClosed(number, "the venue closed the connection"))


class WiredWorld(World):
    """A world with one real venue.

    Args:
        seed: Of everything.
        adapter: The venue. By the numbers of its books a checker finds what they truly were.

    Raises:
        ConfigError: No such venue, or one without such numbers.
    """

    def __init__(self, seed: int, adapter: str) -> None:
        self.adapter = adapter
        super().__init__(seed)

    def _kind(self) -> Kind:
        return Kind.PAIRS

    def _new_exchanges(self) -> dict[str, Exchange]:
        """Return the lab's venues, the last of them replaced by the real one."""
        exchanges = super()._new_exchanges()
        exchanges.popitem()
        context = Context(
            self.seed,
            FaultTable({}),
            self.kernel.now_ns,
            lambda venue, base: PRICES[base],
            lambda delay_s, event: self.kernel.after(int(delay_s * 1e9), event),
        )
        simulated = load_simulated(self.adapter)
        listings = tuple(x for x in simulated.LISTINGS if x.base in PRICES)
        self._venue = simulated.open_venue(context, listings)
        if not self._venue.has_update_ids:
            raise ConfigError(
                f"{self.adapter} does not number its books, so that nothing tells which one a view "
                "is of; give a venue that does"
            )
        return {**exchanges, self.adapter: self._venue.exchange}

    def _new_feed(self, random: Random) -> Feed:
        """Return the way to them."""
        return WiredFeed(self.kernel, self.exchanges, random, self._venue)

    def _venue_settings(self) -> list[VenueSettings]:
        """Return what the ingestor serves: the real venue by its own feed."""
        instruments = tuple(self.exchanges[self.adapter].by_instrument)
        real = VenueSettings(
            name=self.adapter,
            feed=load_feed(self.adapter),
            rest_url=REST_URL,
            ws_url=WS_URL,
            instruments=instruments,
            listing=ListingJob(self.adapter, self.adapter, "", list(instruments)),
        )
        return [s for s in super()._venue_settings() if s.name != self.adapter] + [real]
