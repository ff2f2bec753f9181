"""`arb ticker` against the simulated venues, and a server that answers as CoinGecko does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from email.utils import formatdate

import pytest
from aiohttp import web

from services.venuesim.app import Options
from shared.clock import SystemClock
from shared.sources.coingecko import CoinGeckoPrice
from shared.sources.polled_source import PolledSource
from shared.venues.registry import EVERY, load_book_audit
from tests.integration.test_cli import arb_meanwhile
from tests.integration.venuesim_clients import SYMBOLS, simulation
from tests.support import eventually
from tests.unit.test_polling import LIMITED

WITH_BOOKS = [name for name in EVERY if load_book_audit(name) is not None]
LINE = re.compile(
    r"\d\d:\d\d:\d\d\.\d{3}  (\S+)  ([\d.]+)(  [+-][\d.]+ \([+-][\d.]+ %\))?  bid .* ask .*"
)


class CoinGecko:
    """Answers what it is told to, then prices that rise by a dollar; notes when it was asked."""

    def __init__(self, *answers: web.Response | float) -> None:
        self.answers = list(answers)
        self.asked_s: list[float] = []
        self.queries: list[dict[str, str]] = []
        self.price = 67_000.25

    async def answer(self, request: web.Request) -> web.Response:
        self.asked_s.append(time.monotonic())
        self.queries.append(dict(request.query))
        next_one = self.answers.pop(0) if self.answers else None
        if isinstance(next_one, float):
            await asyncio.sleep(next_one)
        elif next_one is not None:
            return next_one
        self.price += 1
        return web.json_response({"bitcoin": {"usd": self.price, "last_updated_at": 1711356300}})


@contextlib.asynccontextmanager
async def coingecko(*answers):
    server = CoinGecko(*answers)
    async with serving("/api/v3/simple/price", server.answer) as url:
        yield server, url


@contextlib.asynccontextmanager
async def serving(path, answer):
    app = web.Application()
    app.router.add_get(path, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ticker(url: str, *options: str):
    return await arb_meanwhile("ticker", "coingecko", "BTC/USD", "--rest-url", url, *options)


async def test_prices_of_every_venue_with_a_rest_book():
    async with simulation(Options(seed=5, more_venues=True)) as (server, _):
        for venue in WITH_BOOKS:
            url = server.description["venues"][venue]["http"]
            told = await arb_meanwhile(
                "ticker", venue, SYMBOLS[venue], "--rest-url", url, "--once", "--json"
            )
            assert (told.returncode, told.stderr) == (0, ""), venue
            (line,) = told.stdout.splitlines()
            shown = json.loads(line)
            assert (shown["source"], shown["instrument"]) == (venue, SYMBOLS[venue])
            assert float(shown["bid"]) < float(shown["price"]) < float(shown["ask"])
            assert shown["change"] is None


async def test_a_price_a_line_with_its_change_since_the_one_before():
    async with simulation(Options(seed=5)) as (server, _):
        url = server.description["venues"]["binance"]["http"]
        told = await arb_meanwhile(
            "ticker", "binance", "BTC/USDT", "--rest-url", url, "--count", "3", "--interval", "0.3"
        )
    assert (told.returncode, told.stderr) == (0, "")
    found = [LINE.fullmatch(line) for line in told.stdout.splitlines()]
    assert len(found) == 3
    assert all(found), told.stdout
    assert [match[3] is None for match in found] == [True, False, False]


async def test_a_reference_price_with_its_change_as_json():
    async with coingecko() as (server, url):
        told = await ticker(url, "--count", "2", "--interval", "0.2", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    first, second = map(json.loads, told.stdout.splitlines())
    assert (first["price"], second["price"]) == ("67001.25", "67002.25")
    assert (first["change"], second["change"]) == (None, "1.00")
    assert second["change_percent"] == "0.0015"
    assert first["bid"] is first["ask"] is None
    assert first["source_time"] == "2024-03-25T08:45:00.000000000Z"
    assert server.queries[0] == {
        "ids": "bitcoin",
        "vs_currencies": "usd",
        "include_last_updated_at": "true",
        "precision": "full",
    }


async def test_retry_after_is_obeyed_and_the_limit_shown():
    limited = web.Response(status=429, body=LIMITED, headers={"Retry-After": "2"})
    async with coingecko(limited) as (server, url):
        told = await ticker(url, "--count", "1", "--interval", "0.2")
    assert told.returncode == 0
    assert "coingecko BTC/USD: answered 429: " in told.stderr
    assert "exceeded the Rate Limit" in told.stderr
    assert "asked again in " in told.stderr
    first, second = server.asked_s
    assert second - first >= 1.9


async def test_retry_after_may_be_a_date():
    in_an_hour = formatdate(time.time() + 3_600, usegmt=True)
    limited = web.Response(status=429, body=LIMITED, headers={"Retry-After": in_an_hour})
    async with coingecko(limited) as (_, url):
        source = PolledSource(CoinGeckoPrice("BTC/USD", url), SystemClock(), every_s=0.2)
        told: list = []
        running = asyncio.create_task(source.run(told.extend))
        await eventually(lambda: told)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    pause_s = float(re.search(r"asked again in ([\d.]+) s", told[0].reason)[1])
    assert 3_000 < pause_s <= 3_600


async def test_a_price_comes_after_failures_of_every_kind_each_shown_in_a_line():
    bad = web.Response(status=503, text="overloaded"), web.Response(text="<html>")
    async with coingecko(*bad, 5.0) as (server, url):
        told = await ticker(url, "--count", "1", "--interval", "0.2", "--timeout", "1")
    assert told.returncode == 0
    lines = told.stderr.splitlines()
    assert [re.sub(r"; asked again in [\d.]+ s", "", line[14:]) for line in lines] == [
        "coingecko BTC/USD: answered 503: overloaded",
        "coingecko BTC/USD: answered what cannot be read: simple/price: "
        "JSON is malformed: invalid character (byte 0)",
        "coingecko BTC/USD: no answer within 1 s",
    ]
    assert len(server.asked_s) == 4


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (web.Response(status=500), 1, "coingecko BTC/USD: answered 500\n"),
        (web.Response(text="{}"), 2, "coingecko has no coin 'bitcoin'"),
        (web.Response(text='{"bitcoin":{}}'), 2, "coingecko gives no prices in USD"),
        (web.Response(status=404, text="gone"), 2, "it answered 404: gone"),
    ],
)
async def test_once_ends_with_what_was_wrong(answer, code, text):
    async with coingecko(answer) as (_, url):
        told = await ticker(url, "--once")
    assert told.returncode == code
    assert told.stdout == ""
    assert told.stderr.startswith("arb: ")
    assert text in told.stderr
    assert told.stderr.count("\n") == 1


async def test_a_book_with_an_empty_side_is_no_price():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"lastUpdateId": 1, "bids": [["9", "1"]], "asks": []})

    async with serving("/api/v3/depth", answer) as url:
        told = await arb_meanwhile("ticker", "binance", "BTC/USDT", "--rest-url", url, "--once")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "arb: binance BTC/USDT: no price: a side is empty\n"


async def test_nobody_there_is_one_line():
    async with coingecko() as (_, url):
        pass
    told = await ticker(url, "--once")
    assert told.returncode == 1
    assert told.stderr.startswith("arb: coingecko BTC/USD: no answer: ")
