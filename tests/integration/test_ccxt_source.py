"""``adapter = "ccxt:<id>"``: unmodified streaming clients of ccxt against the simulated venues."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest

from arbstream import BookState, ConfigError, watch
from services.ingestor import ccxt_books
from services.ingestor.engine.requests import ListingJob
from services.ingestor.markets import read_rules
from services.ingestor.source import VenueSource
from services.venuesim.app import Options
from shared.clock import SystemClock
from shared.config_sections import VenueConfig
from shared.messages.market import BookSnapshot, VenueStatus
from shared.venues.registry import load_feed
from tests.integration.test_cli import GOOD, arb
from tests.integration.test_watch_library import at, until
from tests.integration.venuesim_clients import SYMBOLS, simulation, within
from tests.support import eventually

VENUES = ("kraken", "gateio", "bitstamp", "kucoin", "okx")


@pytest.fixture
async def sim():
    async with simulation(Options(seed=5, more_venues=True)) as running:
        yield running


def through_ccxt(venue: str) -> str:
    return "ccxt:" + load_feed(venue).ccxt_id


@pytest.mark.parametrize("venue", VENUES)
async def test_the_book_of_a_client_is_the_venues_book(sim, venue):
    server, control = sim
    symbol = SYMBOLS[venue]
    books = watch(
        "mine",
        symbol,
        adapter=through_ccxt(venue),
        depth=5,
        accept_unproved=True,
        **at(server, venue),
    )
    async with aclosing(books):
        same = 0
        while same < 2:
            book = await within(anext(books))
            truth = (await control.get("books"))[venue][symbol]
            mine = book.bids, book.asks
            same += book.state is BookState.LIVE and mine == tuple(
                [(float(price), float(qty)) for price, qty in truth[side][:5]]
                for side in ("bids", "asks")
            )


async def test_such_a_book_says_that_nothing_proves_it(sim):
    server, _ = sim
    books = watch("mine", "BTC/USDT", adapter="ccxt:kraken", **at(server, "kraken"))
    async with aclosing(books):
        book = await within(until(books, lambda b: b.state is BookState.UNPROVED))
    assert book.bids == book.asks == []
    assert book.reason == "kept by ccxt's client of kraken: a lost change would not show"


async def test_an_instrument_that_is_not_listed_leaves_the_others_alone(sim):
    server, _ = sim
    names = ["ABC/XYZ", "BTC/USDT"]
    config = VenueConfig(instruments=names, adapter="ccxt:kraken", **at(server, "kraken"))
    source = VenueSource({"mine": config}, SystemClock())
    told: list = []
    running = asyncio.create_task(source.run(told.extend))
    try:
        await eventually(lambda: any(isinstance(m, BookSnapshot) for m in told), timeout_s=30)
        statuses = [m for m in told if isinstance(m, VenueStatus)]
        refused = next(s for s in statuses if s.instrument == "ABC/XYZ" and s.refused)
        assert (refused.state, refused.reason) == (BookState.DOWN, "the venue does not list it")
        assert not any(s.refused for s in statuses if s.instrument == "BTC/USDT")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_lost_connection_ends_the_book_and_the_client_comes_back(sim):
    server, control = sim
    books = watch(
        "mine", "BTC/USDT", adapter="ccxt:kraken", accept_unproved=True, **at(server, "kraken")
    )
    async with aclosing(books):
        first = await within(until(books, lambda b: b.state is BookState.LIVE))
        await control.fault("disconnect", "kraken", instrument="BTC/USDT", count=1)
        lost = await within(until(books, lambda b: b.state is BookState.DOWN))
        assert "NetworkError" in lost.reason
        again = await within(until(books, lambda b: b.state is BookState.LIVE))
        assert again.epoch > first.epoch


async def test_a_client_that_falls_silent_is_given_up_for_a_new_one(sim, monkeypatch):
    """A frozen book must not stay: nothing but silence may tell of a socket that is dead."""
    monkeypatch.setattr(ccxt_books, "SILENT_S", 1.0)
    server, control = sim
    books = watch(
        "mine", "BTC/USDT", adapter="ccxt:kraken", accept_unproved=True, **at(server, "kraken")
    )
    async with aclosing(books):
        first = await within(until(books, lambda b: b.state is BookState.LIVE))
        await control.fault("stall", "kraken", ms=3_000)
        lost = await within(until(books, lambda b: b.state is BookState.DOWN))
        assert lost.reason == "no change of any book for 1 s"
        again = await within(until(books, lambda b: b.state is BookState.LIVE))
        assert again.epoch > first.epoch


async def test_a_client_that_wants_keys_says_so(sim):
    server, _ = sim
    symbol = SYMBOLS["coinbaseexchange"]
    place = at(server, "coinbaseexchange")
    async with aclosing(watch("mine", symbol, adapter="ccxt:coinbaseexchange", **place)) as books:
        book = await within(until(books, lambda b: b.state is BookState.DOWN))
    assert 'coinbaseexchange requires "apiKey" credential' in book.reason


async def test_a_venue_that_is_not_there_is_down_and_says_why():
    place = {"rest_url": "http://127.0.0.1:9", "ws_url": "ws://127.0.0.1:9"}
    config = VenueConfig(instruments=["BTC/USDT"], adapter="ccxt:kraken", **place)
    source = VenueSource({"mine": config}, SystemClock())
    told: list = []
    running = asyncio.create_task(source.run(told.extend))
    try:
        await eventually(
            lambda: any(isinstance(m, VenueStatus) and m.state is BookState.DOWN for m in told),
            timeout_s=30,
        )
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_rules_come_from_the_markets_of_ccxt(sim):
    server, _ = sim
    url = server.description["venues"]["kraken"]["http"]
    answer = await read_rules(ListingJob("ccxt:kraken", "mine", url, ["BTC/USDT", "ABC/XYZ"]))
    (rules,) = answer.rules
    listing = server.sim.venues["kraken"].exchange.by_instrument["BTC/USDT"]
    assert (rules.venue, rules.tick_size, rules.lot_size) == ("mine", listing.tick, listing.lot)
    assert (rules.active, rules.contract_size) == (True, Decimal(1))
    assert list(answer.missing) == ["ABC/XYZ"]


SECTION = '[venues.mine]\nadapter = "{}"\ninstruments = ["{}"]\n{}\n'
PAPER = "trade = false\ntaker_fee_bps = 10"


@pytest.mark.parametrize(
    ("adapter", "instrument", "more", "text"),
    [
        ("ccxt:bitget", "BTC/USDT", PAPER, ""),
        ("ccxt:nowhere", "BTC/USDT", PAPER, "ccxt streams no exchange of this name; there are: "),
        ("ccxt:mudrex", "BTC/USDT", PAPER, "ccxt's client of mudrex cannot stream order books"),
        ("ccxt:bitget", "BTC/USDT:USDT", PAPER, "BTC/USDT:USDT is not a spot instrument"),
        ("ccxt:bitget", "BTC/USDT", "trade = false", "'ccxt:bitget' needs taker_fee_bps"),
        ("ccxt:bitget", "BTC/USDT", f'{PAPER}\nfeeds = ["depth", "trades"]', "feeds names trades"),
    ],
)
def test_a_configuration_is_checked_in_one_line(tmp_path, adapter, instrument, more, text):
    path = tmp_path / "arb.toml"
    path.write_text(GOOD + SECTION.format(adapter, instrument, more))
    told = arb("config", "check", "--config", str(path))
    if not text:
        assert told.returncode == 0, told.stderr
        return
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "venues.mine" in told.stderr
    assert text in told.stderr


def test_orders_are_refused_there(tmp_path):
    path = tmp_path / "arb.toml"
    section = SECTION.format("ccxt:bitget", "BTC/USDT", "taker_fee_bps = 10")
    path.write_text(f'{GOOD}{section}[executor]\nmode = "simulated"\n')
    told = arb("config", "check", "--config", str(path))
    assert told.returncode == 2
    assert "venues.mine: ccxt:bitget is known here for its market data only" in told.stderr


def test_arb_venues_tells_what_it_can_do(tmp_path):
    path = tmp_path / "arb.toml"
    path.write_text(GOOD + SECTION.format("ccxt:bitget", "BTC/USDT", PAPER))
    told = arb("venues", "--config", str(path))
    assert told.returncode == 0, told.stderr
    assert "mine: generic gateway (ccxt's bitget), refused for live arbitrage" in told.stdout
    assert "unproved, by ccxt's streaming client of bitget" in told.stdout


async def test_watch_refuses_what_ccxt_does_not_have():
    with pytest.raises(ConfigError, match="ccxt streams no exchange of this name"):
        await anext(watch("mine", "BTC/USDT", adapter="ccxt:nowhere"))
