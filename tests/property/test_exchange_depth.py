"""A book of which only the depth is known fills as the matching book with the same levels does."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.exchange.depth import ShownDepth
from shared.exchange.matching import MatchingBook, Sequence
from shared.messages.base import Side

D = Decimal

sides = st.sampled_from(list(Side))
quantities = st.dictionaries(st.integers(1, 9), st.integers(1, 50), max_size=6)
orders = st.lists(st.tuples(sides, st.integers(90, 110), st.integers(1, 80)), max_size=8)
changes = st.lists(st.tuples(sides, st.integers(1, 9), st.integers(0, 50)), max_size=5)


def levels_of(away: dict[int, int], sign: int) -> list[tuple[float, float]]:
    return [((100 + sign * n) / 10, lots / 1000) for n, lots in sorted(away.items())]


@given(bids=quantities, asks=quantities, orders=orders)
def test_an_untouched_depth_is_taken_once_like_a_matching_book(bids, asks, orders) -> None:
    depth, book = ShownDepth(), MatchingBook(Sequence(1))
    for side, away, sign in ((Side.BUY, bids, -1), (Side.SELL, asks, 1)):
        for n, lots in away.items():
            book.set_background(side, 100 + sign * n, lots)
    for side, limit, lots in orders:
        depth.show(levels_of(bids, -1), levels_of(asks, 1))  # the venue does not see paper orders
        limit_price, qty = D(limit) / 10, D(lots) / 1000
        offered = depth.reachable(side, limit_price, qty)
        taken = depth.take(side, limit_price, qty)
        matches = book.take(side, limit, lots)
        assert taken == offered == [(D(m.price) / 10, D(m.lots) / 1000) for m in matches]


@given(asks=quantities, changes=changes, lots=st.integers(1, 80))
def test_no_level_ever_gives_more_than_it_shows(asks, changes, lots) -> None:
    depth = ShownDepth()
    given_of: dict[Decimal, Decimal] = {}  # since the level changed
    for _, away, shown in (*changes, (Side.BUY, 0, 0)):
        depth.show([], levels_of(asks, 1))
        for price, part in depth.take(Side.BUY, D(20), D(lots) / 1000):
            given_of[price] = given_of.get(price, D(0)) + part
        for n, size in asks.items():
            assert given_of.get(D(100 + n) / 10, D(0)) <= D(size) / 1000
        if asks.get(away) != (shown or None):
            given_of.pop(D(100 + away) / 10, None)
            if shown:
                asks = {**asks, away: shown}
            else:
                asks = {n: size for n, size in asks.items() if n != away}
