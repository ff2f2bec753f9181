"""Whatever the bus loses, repeats or reorders, a LIVE view is the venue's book at that number."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.orderbook.engine import OrderbookEngine, join_checkpoint
from shared.config_sections import OrderbookConfig
from shared.domain.book import Book
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, DepthView, VenueStatus

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
DEPTH = 3


@dataclass
class Venue:
    """The truth: a plain-dict book, and every state it ever had by (epoch, seq)."""

    epoch: int = NOW
    seq: int = 0
    bids: dict[float, float] = field(default_factory=lambda: {99.0: 1.0, 98.0: 1.0})
    asks: dict[float, float] = field(default_factory=lambda: {101.0: 1.0, 102.0: 1.0})
    history: dict[tuple[int, int], tuple[list, list]] = field(default_factory=dict)

    def remember(self) -> None:
        bids = sorted(self.bids.items(), reverse=True)[:DEPTH]
        self.history[self.epoch, self.seq] = (bids, sorted(self.asks.items())[:DEPTH])

    def snapshot(self, now_ns: int) -> BookSnapshot:
        self.epoch = now_ns
        self.remember()
        return BookSnapshot(
            venue="v",
            instrument="BTC/USDT",
            epoch=self.epoch,
            seq=self.seq,
            bids=list(self.bids.items()),
            asks=list(self.asks.items()),
            ts_recv_ns=now_ns,
        )

    def change(self, levels: list[tuple[int, int]], now_ns: int) -> BookDelta:
        bids, asks = [], []
        for offset, qty in levels:
            side, book = (bids, self.bids) if offset < 0 else (asks, self.asks)
            price = 100.0 + offset
            side.append((price, float(qty)))
            if qty:
                book[price] = float(qty)
            else:
                book.pop(price, None)
        seq_prev, self.seq = self.seq, self.seq + 3
        self.remember()
        return BookDelta(
            venue="v",
            instrument="BTC/USDT",
            epoch=self.epoch,
            seq_prev=seq_prev,
            seq=self.seq,
            bids=bids,
            asks=asks,
            ts_recv_ns=now_ns,
        )


offsets = st.integers(-6, 6).filter(bool)
changes = st.lists(st.tuples(offsets, st.integers(0, 3)), max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), changes),
        st.tuples(st.just("lost"), changes),
        st.tuples(st.just("twice"), changes),
        st.tuples(st.just("late"), changes),
        st.tuples(st.just("restart"), st.just([])),
        st.tuples(st.just("snapshot"), st.just([])),
        st.tuples(st.just("lost_snapshot"), st.just([])),
        st.tuples(st.just("status"), st.sampled_from(list(BookState))),
        st.tuples(st.just("wait"), st.integers(1, 4_000)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_live_views_equal_the_venues_book_at_their_number(plan):
    venue, now_ns = Venue(), NOW
    engine = OrderbookEngine(OrderbookConfig(depth_levels=DEPTH))
    engine.own(0, None, NOW)
    held: list[BookDelta] = []
    saved: bytes | None = None

    def give(message):
        for out in engine.on_message(message, now_ns).messages:
            check(out)

    def check(out):
        if isinstance(out, DepthView):
            live = out.state is BookState.LIVE
            assert (out.bids, out.asks) == (venue.history[out.epoch, out.seq] if live else ([], []))

    give(venue.snapshot(now_ns))
    saved = join_checkpoint("0-0", [engine.save_part(name) for name in engine.names(0)])
    for kind, what in plan:
        now_ns += MS
        if kind in ("delta", "twice", "lost", "late"):
            delta = venue.change(what, now_ns)
            if kind == "late":
                held.append(delta)
            elif kind != "lost":
                give(delta)
                if kind == "twice":
                    give(delta)
                if held:
                    give(held.pop())
        elif kind in ("snapshot", "lost_snapshot"):
            snapshot = venue.snapshot(now_ns)
            if kind == "snapshot":
                give(snapshot)
        elif kind == "status":
            give(
                VenueStatus(
                    venue="v", instrument="BTC/USDT", state=what, epoch=venue.epoch, ts_ns=now_ns
                )
            )
        elif kind == "restart":
            engine = OrderbookEngine(OrderbookConfig(depth_levels=DEPTH))
            engine.own(0, saved, now_ns)
        elif kind == "wait":
            now_ns += what * MS
            calm = [book for book in engine._books.values() if book.is_calm(now_ns)]
            for book in deepcopy(calm):
                book.on_timer(now_ns)
                assert (book.state, book.reason) == (BookState.LIVE, "")
                assert not (book.book.touched or book.ask_due(now_ns) or book.refresh_due(now_ns))
            for out in engine.on_timer(now_ns).messages:
                check(out)
            deadline_ns = engine.next_deadline_ns()
            assert deadline_ns is None or deadline_ns > now_ns

    # However it went: a new snapshot when asked for (or needed) heals.
    now_ns += MS
    give(venue.snapshot(now_ns))
    now_ns += MS
    give(venue.change([(-1, 0), (1, 0), (-2, 2), (2, 2)], now_ns))
    assert engine.gauges()["books_live"] == 1


@given(steps)
def test_a_loss_that_is_noticed_is_asked_for(plan):
    """A book that is GAP or CROSSED has asked, or will at its next timer."""
    venue, now_ns = Venue(), NOW
    engine = OrderbookEngine(OrderbookConfig(depth_levels=DEPTH))
    engine.own(0, None, NOW)
    engine.on_message(venue.snapshot(now_ns), now_ns)
    for kind, what in plan:
        now_ns += MS
        if kind in ("delta", "lost"):
            delta = venue.change(what, now_ns)
            if kind == "delta":
                engine.on_message(delta, now_ns)
    broken = engine.gauges()["books_live"] == 0
    asked = engine.counters()["resyncs"]
    assert bool(asked) == broken


levels = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 3)), max_size=200)


@given(levels, levels, st.lists(st.tuples(levels, levels), max_size=5))
def test_saved_book_is_the_book(bids, asks, deltas):
    """Deep and shallow levels, removed ones too: what is saved restores to the same book."""

    def real(side, sign):
        return [(1000.0 + sign * offset, float(qty)) for offset, qty in side]

    book = Book()
    book.replace(real(bids, -1), real(asks, 1))
    for more_bids, more_asks in deltas:
        book.apply(real(more_bids, -1), real(more_asks, 1))
        book.view(DEPTH)
    again = Book()
    again.replace(*(side.items() for side in book.sides()))
    assert (again.bids(1_000), again.asks(1_000)) == (book.bids(1_000), book.asks(1_000))
