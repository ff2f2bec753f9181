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


steps = st.lists(
    st.tuples(st.integers(90, 110), st.integers(1, 80), st.integers(0, 3_000)), max_size=8
)


@given(asks=quantities, steps=steps)
def test_what_is_withheld_is_whole_lots_of_what_was_taken_and_never_more(asks, steps) -> None:
    depth, lot, now_ms, total = ShownDepth(1_000_000_000), D("0.001"), 0, D(0)
    for limit, lots, wait_ms in steps:
        now_ms += wait_ms
        depth.show([], levels_of({n: q + now_ms % 2 for n, q in asks.items()}, 1))
        depth.recover(now_ms * 1_000_000, lot)
        whole = ShownDepth()
        whole.show([], levels_of({n: q + now_ms % 2 for n, q in asks.items()}, 1))
        offered = sum((q for _, q in depth.reachable(Side.BUY, D(20), D(9))), D(0))
        shown = sum((q for _, q in whole.reachable(Side.BUY, D(20), D(9))), D(0))
        assert 0 <= shown - offered <= total
        taken = depth.take(Side.BUY, D(limit) / 10, D(lots) / 1_000)
        assert all(part > 0 and part % lot == 0 for _, part in taken)
        total += sum((part for _, part in taken), D(0))
    depth.recover((now_ms + 60_000) * 1_000_000, lot)
    depth.show([], levels_of({n: q + 1_000 for n, q in asks.items()}, 1))
    again = depth.reachable(Side.BUY, D(20), D(99))
    assert again == [((100 + D(n)) / 10, D(q + 1_000) / 1_000) for n, q in sorted(asks.items())]
