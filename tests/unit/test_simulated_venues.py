"""Every venue's feed against its other side, both pure: no sockets, no clock, no event loop."""

from __future__ import annotations

import pytest

from shared.domain.book import Book
from shared.exchange.generator import TICK_MS, MarketGenerator
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, Trade, TradesMissed
from shared.simulated.context import Context
from shared.simulated.direct import DirectVenue
from shared.simulated.faults import FaultTable
from shared.simulated.rest import Answer, Pending, Request
from shared.venues.port import BookStatus, Effect, Emit, FetchSnapshot, Gap, Reconnect, Send
from shared.venues.registry import EVERY, load_feed, load_simulated
from shared.venues.stream_book import AGAIN_NS

UNPROVED = ("bitstamp", "coinbaseexchange")
"""Whose feeds show nothing where a change is lost."""
START_NS = 1_700_000_000_000_000_000
WARM_UP_TICKS, TICKS = 20, 200
KEPT = 2_000  # levels of a client's book


class World:
    """One venue, a market that moves it, and a feed that watches all it lists."""

    def __init__(self, adapter: str, seed: int = 3) -> None:
        self.now_ns = START_NS
        self.faults = FaultTable({})
        self.later: list[tuple[int, object]] = []
        context = Context(seed, self.faults, lambda: self.now_ns, self._fair, self._later)
        self.venue = load_simulated(adapter).open_venue(context, ())
        exchange = self.venue.exchange
        self.faults.instruments[adapter] = tuple(exchange.by_instrument)
        self.market = MarketGenerator([exchange], seed)
        self.host = DirectVenue(self.venue, self.faults)
        self.ticks = 0
        for _ in range(WARM_UP_TICKS):
            self.step()
        feed = load_feed(adapter)
        self.links = []
        self.books = {name: Book(KEPT) for name in exchange.by_instrument}
        self.states: dict[str, BookState] = {}
        self.trades = 0
        self.missed: list[TradesMissed] = []
        self.seen: list[Effect] = []
        names = list(exchange.by_instrument)
        connections = list(feed.connections(adapter, names))
        for kind in feed.extras:
            connections += feed.extra_connections(adapter, kind, names)
        for connection in connections:
            opened = self.host.connect(self.path_of(connection))
            assert opened is not None, f"nobody serves {connection.path}"
            self.links.append((connection.session, opened))
            self.carry_out(connection.session, opened, connection.session.on_open(self.now_ns))

    def path_of(self, connection) -> str:
        """Where to connect, as the venue itself says where it must be asked."""
        asked = connection.address
        if asked is None:
            return connection.path
        answer = self.host.request(Request("POST", asked.path))
        assert isinstance(answer, Answer), answer
        return asked.read(answer.body, "ws://host" + connection.path).removeprefix("ws://host")

    def _fair(self, venue: str, base: str) -> float:
        return self.market.fair(venue, base)

    def _later(self, delay_s: float, action) -> None:
        self.later.append((self.now_ns + int(delay_s * 1e9), action))

    def step(self) -> None:
        self.now_ns += TICK_MS * 1_000_000
        self.ticks += 1
        due = [action for at_ns, action in self.later if at_ns <= self.now_ns]
        self.later = [(at_ns, action) for at_ns, action in self.later if at_ns > self.now_ns]
        for action in due:
            action()
        self.market.step(self.now_ns // 1_000_000)
        self.venue.on_tick(self.ticks, self.now_ns // 1_000_000)

    def run(self, ticks: int = TICKS) -> None:
        for _ in range(ticks):
            self.step()
            self.deliver()

    def deliver(self) -> None:
        for session, link in self.links:
            for frame in link.frames():
                self.carry_out(session, link, session.on_frame(frame, self.now_ns))
            self.carry_out(session, link, session.on_timer(self.now_ns))

    def carry_out(self, session, link, effects) -> None:
        for effect in effects:
            self.seen.append(effect)
            if isinstance(effect, Send):
                link.send(effect.frame)
            elif isinstance(effect, FetchSnapshot):
                path, _, query = effect.path.partition("?")
                answer = self.host.request(Request("GET", path, query))
                assert isinstance(answer, Answer), answer
                assert answer.status == 200, answer.body
                joined = session.on_snapshot(effect.instrument, answer.body, self.now_ns)
                self.carry_out(session, link, joined)
            elif isinstance(effect, BookStatus):
                self.states[effect.instrument] = effect.state
            elif isinstance(effect, Emit):
                self.take(effect.message)
            assert not isinstance(effect, Reconnect), effect

    def take(self, message) -> None:
        if isinstance(message, BookSnapshot):
            self.books[message.instrument].replace(message.bids, message.asks)
        elif isinstance(message, BookDelta):
            self.books[message.instrument].apply(message.bids, message.asks)
        self.trades += isinstance(message, Trade)
        if isinstance(message, TradesMissed):
            self.missed.append(message)

    def wrong_books(self, levels: int = 10) -> list[str]:
        wrong = []
        for name, book in self.books.items():
            listing = self.venue.exchange.by_instrument[name]
            truth = self.venue.exchange.books[name]
            for side, own in ((truth.bids, book.bids(levels)), (truth.asks, book.asks(levels))):
                told = [
                    (float(listing.price(p)), float(listing.qty(n))) for p, n in side.depth(levels)
                ]
                wrong += [] if told == own else [name]
        return wrong


@pytest.mark.parametrize("adapter", EVERY)
def test_feed_has_the_books_and_trades_of_its_other_side(adapter: str) -> None:
    world = World(adapter)
    world.run()
    state = BookState.UNPROVED if adapter in UNPROVED else BookState.LIVE
    assert set(world.states.values()) == {state}
    assert set(world.states) == set(world.books)
    assert not [effect for effect in world.seen if isinstance(effect, Gap)]
    assert world.trades > 0
    # Once when the trades of an instrument are subscribed, and never again.
    assert sorted(missed.instrument for missed in world.missed) == sorted(world.books)
    settled(world)


@pytest.mark.parametrize("adapter", [name for name in EVERY if name not in UNPROVED])
def test_feed_heals_what_its_other_side_loses(adapter: str) -> None:
    world = World(adapter)
    world.run(100)
    name = next(iter(world.books))
    world.faults.inject({"kind": "drop", "venue": adapter, "instrument": name}, 0)
    world.seen.clear()
    world.run()
    assert world.faults.happened == {"drop": 1}
    statuses = [effect for effect in world.seen if isinstance(effect, BookStatus)]
    assert {status.instrument for status in statuses} == {name}
    assert statuses[0].state is not BookState.LIVE
    assert statuses[-1].state is BookState.LIVE
    settled(world)


@pytest.mark.parametrize("adapter", UNPROVED)
def test_a_book_of_which_nothing_is_proved_is_never_live(adapter: str) -> None:
    """Also where a change was lost: it goes on, and says why nobody knows."""
    world = World(adapter)
    world.run(100)
    name = next(iter(world.books))
    world.faults.inject({"kind": "drop", "venue": adapter, "instrument": name}, 0)
    world.run()
    assert world.faults.happened == {"drop": 1}
    statuses = [effect for effect in world.seen if isinstance(effect, BookStatus)]
    assert BookState.LIVE not in {status.state for status in statuses}
    reasons = {status.reason for status in statuses if status.state is BookState.UNPROVED}
    assert reasons == {"changes have a time and no number: a lost one would not show"}
    messages = [effect.message for effect in world.seen if isinstance(effect, Emit)]
    assert {m.unproved for m in messages if isinstance(m, BookSnapshot)} == reasons


@pytest.mark.parametrize("adapter", EVERY)
def test_same_seed_writes_the_same_frames(adapter: str) -> None:
    def frames() -> list[bytes]:
        world, read = World(adapter), []
        for _ in range(100):
            world.step()
            read += [frame for _, link in world.links for frame in link.frames()]
        return read

    assert frames() == frames() != []


def test_a_path_that_nobody_serves_is_not_found() -> None:
    world = World(EVERY[0])
    assert world.host.connect("/nowhere") is None
    answer = world.host.request(Request("GET", "/nowhere"))
    assert isinstance(answer, Answer) and not isinstance(answer, Pending)
    assert answer.status == 404


def settled(world: World) -> None:
    """Let what is held back until the next interval come; the market stands still meanwhile."""
    for _ in range(40):
        world.now_ns += TICK_MS * 1_000_000
        world.ticks += 1
        world.venue.on_tick(world.ticks, world.now_ns // 1_000_000)
        world.deliver()
    assert world.wrong_books() == []


def frames_published(adapter: str, *, is_lying: bool) -> list[bytes]:
    world = World(adapter)
    world.run(100)
    told: list[bytes] = []
    hub, publish = world.venue.hub, world.venue.hub.publish

    def listen(topic: str, frame: bytes, combined: bytes | None, instrument: str) -> None:
        told.append(frame)
        publish(topic, frame, combined, instrument)

    hub.publish = listen
    if is_lying:
        world.faults.inject({"kind": "wrong_qty", "venue": adapter}, 0)
    world.run(100)
    assert world.faults.happened == ({"wrong_qty": 1} if is_lying else {})
    return told


@pytest.mark.parametrize("adapter", EVERY)
def test_a_wrong_quantity_is_told_however_a_venue_writes_it(adapter: str) -> None:
    right = frames_published(adapter, is_lying=False)
    lying = frames_published(adapter, is_lying=True)
    before, after = next(pair for pair in zip(right, lying, strict=False) if pair[0] != pair[1])
    at = next(at for at, byte in enumerate(before) if byte != after[at])
    assert after == before[:at] + b"7" + before[at:]


ON_THE_CONNECTION = ("kraken", "bybit", "okx", "krakenfutures", "coinbaseexchange")
"""Venues that send snapshots where the changes come, so a silence swallows them."""


@pytest.mark.parametrize("adapter", ON_THE_CONNECTION)
def test_a_book_asked_for_during_a_silence_is_back_soon_after_it(adapter: str) -> None:
    """Without giving up the connection, which other books use."""
    world = World(adapter)
    world.run(100)
    name = next(iter(world.books))
    stall = {"kind": "stall", "venue": adapter, "instrument": name, "ms": 2_000}
    world.faults.inject(stall, world.now_ns // 1_000_000)
    session, link = world.links[0]
    world.carry_out(session, link, session.on_resync(name, 1 << 62, world.now_ns))
    assert not world.states[name].is_followed
    world.run(int(AGAIN_NS // (TICK_MS * 1_000_000)) + 4)
    assert world.states[name].is_followed
    world.run()
    settled(world)
