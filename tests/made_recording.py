"""Recordings of the simulated venues: what their feeds hear of a generated market, by its seed.

Every venue is run against its own feed in virtual time, and what goes over each connection is
written down as a recorder would: the same seed gives the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shared.exchange.generator import MarketGenerator, Shape
from shared.messages.raw import RawKind
from shared.simulated.context import Context
from shared.simulated.direct import Connection, DirectVenue
from shared.simulated.faults import FaultTable
from shared.simulated.port import SimulatedVenue
from shared.simulated.rest import Answer, Request
from shared.store.rows import RawRow, line_of
from shared.venues.port import Effect, Feed, FeedConnection, FetchFacts, FetchSnapshot, Send
from shared.venues.registry import TRADED, load_feed, load_simulated

START_NS = 1_723_161_253_000_000_000
WARM_UP_TICKS = 20
Markets = Mapping[str, Sequence[str]]
"""Venue -> instruments."""


class _Link:
    """One connection of a feed, and the lines of it."""

    def __init__(self, feed: Feed, connection: FeedConnection, direct: DirectVenue) -> None:
        self._feed, self.session, self._direct = feed, connection.session, direct
        opened = direct.connect(connection.path)
        assert opened is not None, connection.path
        self._socket: Connection = opened
        self._url = feed.ws_url + connection.path
        self.lines: list[bytes] = []

    def open(self, now_ns: int) -> None:
        self._write(RawKind.OPENED, self._url, b"", now_ns)
        self._carry_out(self.session.on_open(now_ns), now_ns)

    def deliver(self, now_ns: int) -> None:
        for frame in self._socket.frames():
            self._write(RawKind.FRAME, self._url, frame, now_ns)
            self._carry_out(self.session.on_frame(frame, now_ns), now_ns)
        self._carry_out(self.session.on_timer(now_ns), now_ns)

    def _carry_out(self, effects: Sequence[Effect], now_ns: int) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._socket.send(effect.frame)
            elif isinstance(effect, FetchSnapshot):
                body = self._asked(effect.path, now_ns)
                self._carry_out(self.session.on_snapshot(effect.instrument, body, now_ns), now_ns)
            elif isinstance(effect, FetchFacts):
                body = self._asked(effect.path, now_ns)
                self._carry_out(self.session.on_facts(effect.topic, body, now_ns), now_ns)

    def _asked(self, asked: str, now_ns: int) -> bytes:
        path, _, query = asked.partition("?")
        answer = self._direct.request(Request("GET", path, query))
        assert isinstance(answer, Answer), answer
        self._write(RawKind.REST, self._feed.rest_url + asked, answer.body, now_ns)
        return answer.body

    def _write(self, kind: RawKind, url: str, frame: bytes, now_ns: int) -> None:
        self.lines.append(line_of(RawRow(now_ns, "made", 1, "", kind, url, frame)))


class MadeMarket:
    """The simulated venues that take orders, over one generated market, and a clock of its own."""

    def __init__(self, seed: int, shape: Shape, funding_interval_s: int = 8 * 3_600) -> None:
        self.now_ns, self._ticks, self._shape = START_NS, 0, shape
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._faults = FaultTable({})
        context = Context(
            seed,
            self._faults,
            lambda: self.now_ns,
            lambda venue, base: self._market.fair(venue, base),
            lambda delay_s, act: self._later.append((self.now_ns + int(delay_s * 1e9), act)),
            lambda base: self._market.index(base),
            funding_interval_s * 1_000,
            8 * 3_600_000,
        )
        self.venues: dict[str, SimulatedVenue] = {}
        for adapter in TRADED:
            venue = load_simulated(adapter)
            listings = (*venue.LISTINGS, *venue.more_listings())
            self.venues[adapter] = venue.open_venue(context, listings)
        self._market = MarketGenerator(
            [venue.exchange for venue in self.venues.values()], seed, shape
        )
        for _ in range(WARM_UP_TICKS):
            self.step()

    def step(self) -> None:
        """Let the market go on for a tick."""
        self.now_ns += self._shape.tick_ms * 1_000_000
        self._ticks += 1
        due = [act for at_ns, act in self._later if at_ns <= self.now_ns]
        self._later = [each for each in self._later if each[0] > self.now_ns]
        for act in due:
            act()
        self._market.step(self.now_ns // 1_000_000)
        for venue in self.venues.values():
            venue.on_tick(self._ticks, self.now_ns // 1_000_000)

    def record(self, folder: Path, markets: Markets, seconds: float) -> list[Path]:
        """Write what the feeds of some markets hear, a file for each connection."""
        links: list[tuple[str, _Link]] = []
        for adapter, names in markets.items():
            feed, direct = load_feed(adapter), DirectVenue(self.venues[adapter], self._faults)
            connections = list(feed.connections(adapter, names))
            for kind in feed.extras:
                connections += feed.extra_connections(adapter, kind, names)
            links += [
                (f"{adapter}-{number}.txt", _Link(feed, each, direct))
                for number, each in enumerate(connections)
            ]
        for _, link in links:
            link.open(self.now_ns)
        for _ in range(self._shape.ticks(seconds)):
            self.step()
            for _, link in links:
                link.deliver(self.now_ns)
        folder.mkdir(parents=True, exist_ok=True)
        for name, link in links:
            (folder / name).write_bytes(b"\n".join(link.lines) + b"\n")
        return [folder / name for name, _ in links]
