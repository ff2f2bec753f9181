"""The book against a plain dict model, under any order of snapshots, deltas and views."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.domain import book as book_module
from shared.domain.book import Book

prices = st.integers(1, 60).map(lambda tick: tick * 0.1)
levels = st.lists(st.tuples(prices, st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5])), max_size=4)
VIEW_DEPTH = 3


class BookMachine(RuleBasedStateMachine):
    """Applies the same changes to the book and to two dicts."""

    @initialize(
        depth_max=st.sampled_from([None, None, 2, 3, 5]),
        near_min=st.sampled_from([1, 3, 32]),
        mid_max=st.sampled_from([2, 12, 1_000]),
    )
    def start(self, depth_max: int | None, near_min: int, mid_max: int) -> None:
        self.depth_max = depth_max
        self.book = Book(depth_max)
        self.book._near_min = near_min  # few near levels run short and spill often
        book_module.MID_MAX, book_module.MID_FILL = mid_max, mid_max // 2
        book_module.MID_SLACK = mid_max // 4
        book_module.DEAD_MAX = mid_max
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.shown = None

    def change(self, bids, asks) -> None:
        for side, changes, sign in ((self.bids, bids, -1), (self.asks, asks, 1)):
            for price, qty in changes:
                side[price] = qty
                if not qty:
                    del side[price]
            if self.depth_max is not None:
                for price in sorted(side, key=lambda p: sign * p)[self.depth_max :]:
                    del side[price]

    @rule(bids=levels, asks=levels)
    def snapshot(self, bids, asks) -> None:
        self.bids.clear()
        self.asks.clear()
        self.book.replace(bids=dict(bids).items(), asks=dict(asks).items())
        self.change(list(dict(bids).items()), list(dict(asks).items()))
        assert self.book.touched

    @rule(bids=levels, asks=levels)
    def delta(self, bids, asks) -> None:
        self.book.apply(bids, asks)
        self.change(bids, asks)

    @rule(bids=levels, asks=levels)
    def spread(self, bids, asks) -> None:
        """Many levels at once, so that there are far ones."""
        wide = [(tick * 0.1, 1.0) for tick in range(1, 61)]
        self.book.apply([*wide, *bids], [*wide, *asks])
        self.change([*wide, *bids], [*wide, *asks])

    @rule(count=st.integers(1, 25))
    def eat(self, count) -> None:
        """The best levels go, so that near ones run short."""
        bids = [(price, 0.0) for price in sorted(self.bids, reverse=True)[:count]]
        asks = [(price, 0.0) for price in sorted(self.asks)[:count]]
        self.book.apply(bids, asks)
        self.change(bids, asks)

    @rule(
        at=st.integers(0, VIEW_DEPTH), side=st.sampled_from(["bids", "asks"]), qty=st.floats(1, 9)
    )
    def nudge(self, at, side, qty) -> None:
        """One level near the edge of the view changes right after it was shown."""
        self.view()
        levels = sorted(getattr(self, side), reverse=side == "bids")
        if at < len(levels):
            changes = {"bids": [], "asks": [], side: [(levels[at], qty)]}
            self.book.apply(**changes)
            self.change(**changes)

    @rule()
    def view(self) -> None:
        self.shown = self.book.view(VIEW_DEPTH)
        assert not self.book.touched

    @invariant()
    def same_as_model(self) -> None:
        bids = sorted(self.bids.items(), reverse=True)
        asks = sorted(self.asks.items())
        assert self.book.bids(100) == bids
        assert self.book.asks(100) == asks
        assert self.book.bids(2) == bids[:2]
        assert self.book.depth() == (len(bids), len(asks))
        assert self.book.best_bid() == (bids[0] if bids else None)
        assert self.book.best_ask() == (asks[0] if asks else None)
        assert self.book.is_crossed() == bool(bids and asks and bids[0][0] >= asks[0][0])
        sides = [{p: q for p, q in side.items() if q} for side in self.book.sides()]
        assert sides == [self.bids, self.asks]

    @invariant()
    def untouched_means_unchanged(self) -> None:
        if self.shown is not None and not self.book.touched:
            assert (self.book.bids(VIEW_DEPTH), self.book.asks(VIEW_DEPTH)) == self.shown

    def teardown(self) -> None:
        for name, value in BOUNDS.items():
            setattr(book_module, name, value)


BOUNDS = {
    name: getattr(book_module, name) for name in ("MID_MAX", "MID_FILL", "MID_SLACK", "DEAD_MAX")
}
TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)


def test_a_change_below_the_view_does_not_touch_it():
    book = Book()
    book.replace([(10.0, 1.0), (9.0, 1.0), (8.0, 1.0)], [(11.0, 1.0), (12.0, 1.0), (13.0, 1.0)])
    book.view(2)
    book.apply([(8.0, 5.0), (7.0, 1.0)], [(13.0, 0.0), (14.0, 2.0)])
    assert not book.touched
    book.apply([(9.0, 2.0)], [])
    assert book.touched
