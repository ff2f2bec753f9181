"""Whatever becomes of one feed, a LIVE view of two is the venue's book at its number."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.orderbook.engine import OrderbookEngine
from shared.config_sections import OrderbookConfig
from shared.messages.base import BookState, FeedName, Message
from shared.messages.market import BookDelta, BookSnapshot, DepthView, VenueStatus

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
DEPTH = 3
FAR = 6
"""Levels from the middle."""
BOTH = (FeedName.A, FeedName.B)
BOOK = {"venue": "v", "instrument": "BTC/USDT"}

Levels = list[tuple[float, float]]


@dataclass
class Feed:
    """One connection: what waits on it, and the number that its ingestor has reached."""

    name: FeedName
    epoch: int = 0
    seq: int = 0
    waiting: list[tuple[int, Levels, Levels]] = field(default_factory=list)
    is_dead: bool = False


@dataclass
class Venue:
    """The truth by number."""

    seq: int = 1
    bids: dict[float, float] = field(default_factory=lambda: {99.0: 1.0, 98.0: 1.0})
    asks: dict[float, float] = field(default_factory=lambda: {101.0: 1.0, 102.0: 1.0})
    history: dict[int, tuple[Levels, Levels]] = field(default_factory=dict)

    def remember(self) -> None:
        bids = sorted(self.bids.items(), reverse=True)[:DEPTH]
        self.history[self.seq] = bids, sorted(self.asks.items())[:DEPTH]

    def change(self, levels: list[tuple[int, int]]) -> tuple[int, Levels, Levels]:
        told: tuple[Levels, Levels] = [], []
        for offset, qty in levels:
            side, book = (told[0], self.bids) if offset < 0 else (told[1], self.asks)
            price = 100.0 + offset
            side.append((price, float(qty)))
            if qty:
                book[price] = float(qty)
            else:
                book.pop(price, None)
        self.seq += 1
        self.remember()
        return self.seq, *told


class World:
    """A venue, two feeds of it and the orderbook engine; every view is checked."""

    def __init__(self) -> None:
        self.venue, self.now_ns = Venue(), NOW
        self.venue.remember()
        self.feeds = {name: Feed(name) for name in BOTH}
        self.engine = OrderbookEngine(OrderbookConfig(depth_levels=DEPTH), 1, (), ("v",))
        self.engine.own(0, None, NOW)
        self.views: list[DepthView] = []
        for feed in self.feeds.values():
            self.snapshot(feed)

    def give(self, message: Message) -> None:
        self.check(self.engine.on_message(message, self.now_ns).messages)

    def check(self, messages) -> None:
        for each in messages:
            if isinstance(each, DepthView):
                live = each.state is BookState.LIVE
                right = self.venue.history[each.seq] if live else ([], [])
                assert (each.bids, each.asks) == right, (each.seq, each.reason)
                self.views.append(each)

    def snapshot(self, feed: Feed) -> None:
        """It starts over: what waited on the connection is in the snapshot."""
        feed.waiting.clear()
        feed.is_dead = False
        feed.epoch, feed.seq = self.now_ns + BOTH.index(feed.name), self.venue.seq
        venue = self.venue
        self.give(
            BookSnapshot(
                **BOOK,
                epoch=feed.epoch,
                seq=feed.seq,
                bids=list(venue.bids.items()),
                asks=list(venue.asks.items()),
                ts_recv_ns=self.now_ns,
                feed=feed.name,
            )
        )

    def deliver(self, feed: Feed, *, is_lost: bool = False) -> None:
        if not feed.waiting or feed.is_dead:
            return
        seq, bids, asks = feed.waiting.pop(0)
        seq_prev, feed.seq = feed.seq, seq
        if not is_lost:
            self.give(
                BookDelta(
                    **BOOK,
                    epoch=feed.epoch,
                    seq_prev=seq_prev,
                    seq=seq,
                    bids=bids,
                    asks=asks,
                    ts_recv_ns=self.now_ns,
                    feed=feed.name,
                )
            )

    def wait(self, duration_ms: int, tick_ms: int = 100) -> None:
        for _ in range(duration_ms // tick_ms):
            self.now_ns += tick_ms * MS
            for feed in self.feeds.values():
                if not feed.is_dead:
                    self.give(
                        VenueStatus(
                            **BOOK,
                            state=BookState.LIVE,
                            epoch=feed.epoch,
                            ts_ns=self.now_ns,
                            source=feed.name,
                            feed=feed.name,
                        )
                    )
            self.check(self.engine.on_timer(self.now_ns).messages)


which = st.sampled_from(BOTH)
changes = st.lists(
    st.tuples(st.integers(-FAR, FAR).filter(bool), st.integers(0, 3)), min_size=1, max_size=3
)


def steps(*of_feeds: str):
    return st.lists(
        st.one_of(
            st.tuples(st.just("change"), changes),
            st.tuples(st.just("deliver"), which),
            st.tuples(st.just("wait"), st.integers(1, 30).map(lambda n: n * 100)),
            *(st.tuples(st.just(kind), which) for kind in of_feeds),
        ),
        max_size=60,
    )


def change(world: World, levels: list[tuple[int, int]], spared: FeedName | None) -> None:
    """The venue changes; a feed that is spared brings it at once."""
    told = world.venue.change(levels)
    for feed in world.feeds.values():
        feed.waiting.append(told)
    if spared is not None:
        world.deliver(world.feeds[spared])


def play(world: World, plan, spared: FeedName | None) -> None:
    for kind, what in plan:
        world.now_ns += MS
        if kind == "change":
            change(world, what, spared)
        elif kind == "wait":
            if spared is not None:  # or it may be quieter than usual, which is not well
                change(world, [(FAR, 1)], spared)
            world.wait(what)
        elif what is not spared:
            feed = world.feeds[what]
            if kind == "deliver":
                world.deliver(feed)
            elif kind == "lose":
                world.deliver(feed, is_lost=True)
            elif kind == "kill":
                feed.is_dead = True
            elif kind == "start":
                world.snapshot(feed)


@settings(max_examples=200, deadline=None)
@given(steps("lose", "kill", "start"))
def test_every_live_view_is_the_venues_book_at_its_number(plan):
    world = World()
    play(world, plan, None)
    assert world.engine.counters()["feeds_diverged"] == 0


@settings(max_examples=200, deadline=None)
@given(steps("lose", "kill", "start"), which)
def test_while_one_feed_is_well_the_book_is_live_and_never_goes_back(plan, well):
    world = World()
    play(world, plan, well)
    assert {view.state for view in world.views} == {BookState.LIVE}
    numbers = [view.seq for view in world.views]
    assert numbers == sorted(numbers)
