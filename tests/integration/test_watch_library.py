"""``watch`` of the library: live books in the caller's event loop, without Redis."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from contextlib import aclosing

import pytest

from arbstream import BookState, ConfigError, watch
from services.ingestor import listing_child
from services.venuesim.app import Options
from tests.integration.pipeline import NO_METADATA
from tests.integration.venuesim_clients import SYMBOLS, simulation, within
from tests.support import ROOT, eventually

NUMBERED = ("binance", "gateio", "kucoin")
"""Where a view's number is the simulated venue's own."""


@pytest.fixture
async def sim(monkeypatch):
    monkeypatch.setattr(listing_child, "CHILD", NO_METADATA)
    async with simulation(Options(seed=5, more_venues=True)) as running:
        yield running


def at(server, venue: str) -> dict[str, str]:
    place = server.description["venues"][venue]
    return {"rest_url": place["http"], "ws_url": place["ws"]}


async def until(books, condition):
    async for book in books:
        if condition(book):
            return book
    raise AssertionError("it ended")


@pytest.mark.parametrize("venue", NUMBERED)
async def test_a_watched_book_is_the_venues_book(sim, venue):
    server, control = sim
    symbol = SYMBOLS[venue]
    async with aclosing(watch(venue, symbol, depth=5, **at(server, venue))) as books:
        same = 0
        while same < 3:
            book = await within(anext(books))
            truth = (await control.get("books"))[venue][symbol]
            if book.state is BookState.LIVE and book.seq == truth["seq"]:
                for mine, theirs in ((book.bids, truth["bids"]), (book.asks, truth["asks"])):
                    assert mine == [(float(p), float(q)) for p, q in theirs[:5]]
                same += 1


async def test_who_is_slow_gets_the_newest_book_and_a_lost_change_shows_and_heals(sim):
    server, control = sim
    async with aclosing(watch("binance", "BTC/USDT", **at(server, "binance"))) as books:
        await within(until(books, lambda b: b.state is BookState.LIVE))
        await control.fault("drop", "binance", instrument="BTC/USDT", count=1)
        lost = await within(until(books, lambda b: b.state is not BookState.LIVE))
        assert lost.reason
        assert lost.bids == lost.asks == []
        healed = await within(until(books, lambda b: b.state is BookState.LIVE))
        assert healed.epoch > lost.epoch

        async def moved_on() -> bool:
            return (await control.get("books"))["binance"]["BTC/USDT"]["seq"] > healed.seq + 50

        await eventually(moved_on)
        newest = await within(anext(books))
        assert newest.seq > healed.seq + 25


async def test_a_book_that_nothing_proves_has_levels_only_where_that_is_accepted(sim):
    server, _ = sim
    place = at(server, "bitstamp")
    symbol = SYMBOLS["bitstamp"]
    async with aclosing(watch("bitstamp", symbol, **place)) as books:
        book = await within(until(books, lambda b: b.state is BookState.UNPROVED))
        assert not book.bids
        assert "a lost one would not show" in book.reason
    async with aclosing(watch("bitstamp", symbol, accept_unproved=True, **place)) as books:
        book = await within(until(books, lambda b: b.state is BookState.LIVE))
        assert book.bids[0][0] < book.asks[0][0]


async def test_nothing_is_left_of_a_watch_that_ended(sim):
    server, _ = sim
    before = asyncio.all_tasks()
    async with aclosing(watch("kraken", "BTC/USDT", **at(server, "kraken"))) as books:
        await within(until(books, lambda b: b.state is BookState.LIVE))
    served = server.sim.venues["kraken"]
    assert served is not None
    own = {task for task in asyncio.all_tasks() - before if "services.ingestor" in repr(task)}
    assert own == set()


@pytest.mark.parametrize(
    ("venue", "instrument", "more", "text"),
    [
        ("nowhere", "BTC/USDT", {}, "no venue adapter 'nowhere'; there are: binance"),
        ("kraken", "btc/usdt", {}, "btc/usdt is not in capitals; give BTC/USDT"),
        ("kraken", "BTC/USDT", {"depth": 0}, "depth = 0; give 1 to 1000 levels"),
        ("kraken", "BTC/USDT", {"ws_url": "http://x"}, "ws_url = 'http://x'; give ws://"),
    ],
)
async def test_what_cannot_be_watched_is_said_at_once(venue, instrument, more, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        await within(anext(watch(venue, instrument, **more)))


async def test_an_instrument_that_the_venue_refuses_is_an_error(sim):
    server, _ = sim
    with pytest.raises(ConfigError, match="kraken does not serve ABC/XYZ: "):
        async for _ in watch("kraken", "ABC/XYZ", **at(server, "kraken")):
            pass


async def test_example_in_the_documentation_runs(sim):
    server, _ = sim
    text = (ROOT / "docs" / "venues.md").read_text(encoding="utf-8")
    found = re.search(r"## As a library\n.*?```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    example = found[1]
    assert len(example.splitlines()) <= 10
    own = 'watch("kraken", "BTC/USDT"'
    place = at(server, "kraken")
    pointed = example.replace(
        own, f"{own}, rest_url={place['rest_url']!r}, ws_url={place['ws_url']!r}"
    )
    assert pointed != example
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", pointed, cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        seen = b""
        while b"LIVE" not in seen:
            line = await within(process.stdout.readline())
            assert line, seen
            seen += line
    finally:
        process.terminate()
        await process.wait()
