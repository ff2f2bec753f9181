"""What the simulated venues write, read by rules of their own making as a client would."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from zlib import crc32

import pytest

from shared.exchange.listing import scaled_text
from shared.exchange.matching import MatchingBook, Sequence
from shared.messages.base import Side
from shared.simulated.recorded import units
from shared.venues.binance.simulated.streams import DepthFeed
from shared.venues.binanceusdm.simulated.listing import LISTINGS as PERPETUALS
from shared.venues.kraken.simulated.book import BookWindow
from shared.venues.kraken.simulated.listing import LISTINGS as KRAKEN
from shared.venues.kraken.simulated.orders import number_of, venue_id


def shake(book: MatchingBook, rng: random.Random, changes: int) -> None:
    """Change background levels near 1000 without crossing."""
    for _ in range(changes):
        side = rng.choice((Side.BUY, Side.SELL))
        away = rng.randint(1, 40)
        price = 1_000 - away if side is Side.BUY else 1_000 + away
        book.set_background(side, price, rng.choice((0, rng.randint(1, 10**9))))


@pytest.mark.parametrize("depth", [10, 25])
def test_kraken_client_that_truncates_has_the_venues_window_and_checksum(depth: int) -> None:
    rng, listing = random.Random(depth), KRAKEN[0]
    book = MatchingBook(Sequence(1))
    shake(book, rng, 200)
    window = BookWindow(listing, book, depth)
    sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    frames = [window.snapshot()]
    for _ in range(300):
        shake(book, rng, rng.randint(0, 6))
        frame = window.update("2026-01-01T00:00:00.000000Z")
        if frame is not None:
            frames.append(frame)
    for number, frame in enumerate(frames):
        message = json.loads(frame, parse_float=Decimal, parse_int=Decimal)
        assert message["type"] == ("update" if number else "snapshot")
        data = message["data"][0]
        for name, best_first in (("bids", True), ("asks", False)):
            levels = sides[name]
            for row in data[name]:
                if row["qty"]:
                    levels[row["price"]] = row["qty"]
                else:
                    del levels[row["price"]]
            for price in sorted(levels, reverse=best_first)[depth:]:
                del levels[price]
        text = "".join(
            digits(price) + digits(sides[name][price])
            for name, best_first in (("asks", False), ("bids", True))
            for price in sorted(sides[name], reverse=best_first)[:10]
        )
        assert crc32(text.encode()) == int(data["checksum"])
    want = {float(listing.price(p)): float(listing.qty(n)) for p, n in book.bids.depth(depth)}
    assert {float(p): float(q) for p, q in sides["bids"].items()} == want


def digits(number: Decimal) -> str:
    return format(number, "f").replace(".", "").lstrip("0")


@pytest.mark.parametrize("futures", [False, True])
def test_binance_depth_events_continue_each_other_and_rebuild_the_book(futures: bool) -> None:
    rng = random.Random(1)
    book = MatchingBook(Sequence(500))
    feed = DepthFeed(PERPETUALS[1], book, 100, ["ethusdt@depth@100ms"])
    rebuilt: dict[str, dict[str, str]] = {"b": {}, "a": {}}
    last = feed.last_u
    for _ in range(200):
        shake(book, rng, rng.randint(0, 5))
        changes, book.changed = book.changed, {}
        feed.add(changes)
        event = feed.event(1, futures=futures, wanted=True)
        assert (event is None) == (not changes)
        if event is None:
            continue
        body = json.loads(event)
        assert body["U"] <= body["u"] == book.seq
        if futures:
            assert body["pu"] == last
            assert body["U"] > last + 1 or last == 501
            book.sequence.advance()
        else:
            assert body["U"] == last + 1
        last = body["u"]
        for name in ("b", "a"):
            rebuilt[name].update(dict(body[name]))
    levels = {float(p): float(q) for p, q in rebuilt["b"].items() if float(q)}
    listing = PERPETUALS[1]
    assert levels == {
        float(listing.price(p)): float(listing.qty(n)) for p, n in book.bids.depth(99)
    }


def test_numbers_are_written_with_the_venues_decimals() -> None:
    assert scaled_text(6400012, 2, 8) == "64000.12000000"
    assert scaled_text(5, 3, 3) == "0.005"
    assert scaled_text(7, 0, 0) == "7"
    assert units("64000.12000000", 2) == 6400012
    assert units("28145", 2) == 2814500
    with pytest.raises(ValueError, match="finer"):
        units("0.123", 2)


def test_kraken_ids_have_the_venues_shape_and_can_be_read_back() -> None:
    txid = venue_id("O", 4_000_000_123)
    assert len(txid) == 19
    assert [len(part) for part in txid.split("-")] == [6, 5, 6]
    assert number_of(txid) == 4_000_000_123
    assert number_of("OABCDE-ABCDE-ABCDE1") == -1
