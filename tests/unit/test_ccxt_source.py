"""What is made of the books of ccxt's streaming clients, without any client."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from shared.domain.book import Book
from shared.errors import ConfigError
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.ccxt_classes import load_streaming, streaming_ids
from shared.venues.ccxt_redirect import CcxtRedirect
from shared.venues.ccxt_source import (
    LEVELS,
    PLACES,
    PRECISION_MODE,
    QUIET_NS,
    STEPS,
    BookFrame,
    CcxtFeed,
    CcxtSession,
    why_unproved,
)
from shared.venues.port import BookStatus, Emit, Malformed, Reconnect

NOW_NS = 1_700_000_000_000_000_000
A, B = "BTC/USDT", "ETH/USDT"
WHY = why_unproved("bitget")


@pytest.fixture
def session() -> CcxtSession:
    opened = CcxtSession("mine", [A, B], "bitget")
    states = [effect.state for effect in opened.on_open(NOW_NS)]
    assert states == [BookState.SYNCING] * 2
    return opened


def frame(instrument: str = A, **fields) -> bytes:
    return msgspec.json.encode(BookFrame(instrument=instrument, **fields))


def messages(effects) -> list:
    return [effect.message for effect in effects if isinstance(effect, Emit)]


def test_first_a_whole_book_that_says_unproved_then_what_changed(session) -> None:
    first = frame(bids=[(9.0, 1.0), (8.0, 2.0)], asks=[(10.0, 3.0)], time_ms=7)
    snapshot, status = session.on_frame(first, NOW_NS)
    assert isinstance(snapshot.message, BookSnapshot)
    assert (snapshot.message.unproved, snapshot.message.depth_max) == (WHY, LEVELS)
    assert (snapshot.message.ts_recv_ns, snapshot.message.ts_venue_ns) == (NOW_NS, 7_000_000)
    assert status == BookStatus(A, BookState.UNPROVED, WHY, snapshot.message.epoch)
    second = frame(bids=[(9.0, 1.5), (7.0, 4.0)], asks=[(10.0, 3.0), (11.0, 1.0)])
    (delta,) = messages(session.on_frame(second, NOW_NS + 1))
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks) == ([(8.0, 0.0), (9.0, 1.5), (7.0, 4.0)], [(11.0, 1.0)])
    assert (delta.epoch, delta.seq_prev, delta.seq) == (snapshot.message.epoch, 1, 2)


def test_a_book_made_of_them_is_the_clients_also_where_levels_move_in_and_out(session) -> None:
    book = Book()
    for step in (0, 7, 3, 60, 61, 0):
        bids = [(float(1_000 + step - n), 1.0 + n % 3) for n in range(LEVELS + 20)]
        asks = [(float(1_001 + step + n), 2.0 + n % 5) for n in range(LEVELS + 20)]
        for message in messages(session.on_frame(frame(bids=bids, asks=asks), NOW_NS + step)):
            if isinstance(message, BookSnapshot):
                book.depth_max = message.depth_max
                book.replace(message.bids, message.asks)
            else:
                book.apply(message.bids, message.asks)
        assert (book.bids(1_000), book.asks(1_000)) == (bids[:LEVELS], asks[:LEVELS])


def test_a_problem_ends_one_book_and_the_next_frame_begins_a_new_epoch(session) -> None:
    for name in (A, B):
        session.on_frame(frame(name, bids=[(9.0, 1.0)]), NOW_NS)
    (status,) = session.on_frame(frame(A, problem="NetworkError: gone"), NOW_NS + 1)
    assert (status.instrument, status.state) == (A, BookState.DOWN)
    assert (status.reason, status.refused) == ("NetworkError: gone", False)
    assert isinstance(messages(session.on_frame(frame(B, bids=[]), NOW_NS + 2))[0], BookDelta)
    (again,) = messages(session.on_frame(frame(A, bids=[(9.0, 1.0)]), NOW_NS))
    assert isinstance(again, BookSnapshot)
    assert again.epoch > NOW_NS


def test_a_reader_that_lost_a_book_gets_it_whole_once(session) -> None:
    (first,) = messages(session.on_frame(frame(bids=[(9.0, 1.0)]), NOW_NS))
    (again,) = messages(session.on_resync(A, first.epoch, NOW_NS + 5))
    assert (again.bids, again.epoch) == ([(9.0, 1.0)], NOW_NS + 5)
    assert not session.on_resync(A, first.epoch, NOW_NS + 6)
    assert not session.on_resync("XRP/USDT", 1, NOW_NS)


def test_a_book_of_which_the_client_says_nothing_more_is_not_vouched_for_again(session) -> None:
    """Its silence is why a reader asks: published anew, a frozen book would be priced for ever."""
    (first,) = messages(session.on_frame(frame(bids=[(9.0, 1.0)]), NOW_NS))
    session.on_frame(frame(B, bids=[(9.0, 1.0)]), NOW_NS + QUIET_NS)
    (again,) = messages(session.on_resync(A, first.epoch, NOW_NS + QUIET_NS - 1))
    (effect,) = session.on_resync(A, again.epoch, NOW_NS + QUIET_NS)
    assert effect == Reconnect(f"the client says nothing more of {A}")


def test_a_book_that_became_unreadable_is_down_until_the_next_one(session) -> None:
    session.on_frame(frame(bids=[(9.0, 1.0)]), NOW_NS)
    unreadable = b'{"instrument":"BTC/USDT","bids":[[9,null]]}'
    status, malformed = session.on_frame(unreadable, NOW_NS + 1)
    assert (status.instrument, status.state) == (A, BookState.DOWN)
    assert "bids[0][1]" in status.reason
    assert isinstance(malformed, Malformed)
    (again,) = messages(session.on_frame(frame(bids=[(9.0, 1.0)]), NOW_NS + 2))
    assert isinstance(again, BookSnapshot)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"bids":[]}',
        b'{"instrument":"BTC/USDT","bids":[[0,1]]}',
        b'{"instrument":"BTC/USDT","bids":[[1,-1]]}',
        b'{"instrument":"BTC/USDT","bids":[[null,1]]}',
        b'{"instrument":"BTC/USDT","time_ms":-1}',
    ],
)
def test_what_is_no_book_is_malformed(session, raw) -> None:
    *before, effect = session.on_frame(raw, NOW_NS)
    assert isinstance(effect, Malformed)
    assert not messages(before)


def test_every_book_is_down_with_its_client(session) -> None:
    assert [effect.state for effect in session.on_close(NOW_NS)] == [BookState.DOWN] * 2


MARKET = {
    "symbol": A,
    "precision": {"price": 2, "amount": 5},
    "limits": {"amount": {"min": 0.001, "max": None}, "cost": {}},
    "taker": 0.001,
    "maker": 0.001,
}


def test_rules_know_steps_and_places_and_no_digits() -> None:
    feed = CcxtFeed("bitget")
    told = feed.rules("mine", {**MARKET, PRECISION_MODE: PLACES})
    assert (str(told.tick_size), str(told.lot_size)) == ("0.01", "0.00001")
    assert (str(told.qty_min), told.qty_max, str(told.taker_fee_bps)) == ("0.001", None, "10.000")
    assert told.active
    steps = {**MARKET, "precision": {"price": 0.1, "amount": 0.01}, PRECISION_MODE: STEPS}
    assert str(feed.rules("mine", steps).tick_size) == "0.1"
    digits = feed.rules("mine", {**MARKET, PRECISION_MODE: 3})
    assert not digits.active
    assert "no tick_size" in digits.reason
    closed = feed.rules("mine", {**MARKET, PRECISION_MODE: PLACES, "active": False})
    assert (closed.active, closed.reason) == (False, "not active")


def test_only_spot_is_read() -> None:
    with pytest.raises(ConfigError, match="BTC/USDT:USDT is not a spot instrument"):
        CcxtFeed("bitget").connections("mine", ["BTC/USDT:USDT"])


def test_every_address_of_a_client_is_put_on_another_host() -> None:
    client = SimpleNamespace(
        urls={"api": {"ws": {"a": "wss://x.com/v2", "b": "wss://x.com"}, "rest": "https://x.com/v"}}
    )
    CcxtRedirect.set_urls(client, "http://h/r/", "ws://h/w")
    assert client.urls["api"] == {
        "ws": {"a": "ws://h/w/v2", "b": "ws://h/w/"},
        "rest": "http://h/r/v",
    }
    CcxtRedirect.set_urls(client, "", "")
    assert client.urls["api"]["rest"] == "http://h/r/v"


@pytest.mark.parametrize("ccxt_id", ["bitget", "bequant", "myokx"])
def test_a_streaming_client_is_loaded_without_all_the_others(ccxt_id) -> None:
    """Also one that ccxt derives from another exchange's."""
    assert ccxt_id in streaming_ids()
    assert load_streaming(ccxt_id)().has["watchOrderBook"]
