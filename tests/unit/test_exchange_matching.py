"""Price-time matching of the simulated venues."""

from __future__ import annotations

from shared.exchange.matching import BACKGROUND, Match, MatchingBook, Sequence
from shared.messages.base import Side

BUY, SELL = Side.BUY, Side.SELL


def book_with(asks: dict[int, int], bids: dict[int, int] | None = None) -> MatchingBook:
    book = MatchingBook(Sequence(100))
    for price, lots in asks.items():
        book.set_background(SELL, price, lots)
    for price, lots in (bids or {}).items():
        book.set_background(BUY, price, lots)
    return book


def test_taker_gets_the_best_prices_first_up_to_its_limit() -> None:
    book = book_with({101: 5, 103: 5, 102: 5})
    assert book.take(BUY, 102, 12) == [Match(101, 5, BACKGROUND), Match(102, 5, BACKGROUND)]
    assert book.asks.depth(9) == [(103, 5)]


def test_market_order_walks_the_whole_side() -> None:
    book = book_with({}, {99: 1, 98: 2})
    assert [(m.price, m.lots) for m in book.take(SELL, None, 9)] == [(99, 1), (98, 2)]
    assert book.bids.best() is None


def test_order_waits_behind_what_was_there_before_it() -> None:
    book = book_with({101: 5})
    book.rest(SELL, 101, 7, 4)
    book.set_background(SELL, 101, 8)  # three more lots of background stand behind the order
    assert book.lots_at(SELL, 101) == 12
    assert book.take(BUY, 101, 12) == [
        Match(101, 5, BACKGROUND),
        Match(101, 4, 7),
        Match(101, 3, BACKGROUND),
    ]


def test_withdrawn_background_leaves_from_the_back_and_never_takes_an_order_along() -> None:
    book = book_with({101: 5})
    book.rest(SELL, 101, 7, 4)
    book.set_background(SELL, 101, 0)
    assert book.asks.depth(1) == [(101, 4)]
    assert book.take(BUY, 101, 9) == [Match(101, 4, 7)]


def test_background_quote_through_an_order_fills_the_order() -> None:
    book = book_with({})
    book.rest(SELL, 101, 7, 4)
    assert book.set_background(BUY, 102, 10) == [Match(101, 4, 7)]
    assert book.bids.depth(1) == [(102, 6)]
    assert book.asks.best() is None


def test_canceled_order_is_gone_and_what_was_left_of_it_is_told() -> None:
    book = book_with({})
    book.rest(BUY, 99, 7, 4)
    book.take(SELL, 99, 1)
    assert book.remove(BUY, 99, 7) == 3
    assert book.remove(BUY, 99, 7) == 0
    assert book.bids.best() is None


def test_every_change_has_its_update_id() -> None:
    book = book_with({101: 5})
    before = book.seq
    book.set_background(SELL, 101, 5)
    assert book.seq == before, "nothing changed"
    book.set_background(SELL, 102, 1)
    book.set_background(SELL, 102, 0)
    assert book.seq == before + 2
    assert book.changed[SELL, 102] == before + 1
