"""One market of a venue that cannot be read, or tells odd numbers: the others are there."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from services.ingestor.engine.requests import ListingJob
from services.ingestor.markets import read_rules
from services.venuesim.app import Options
from shared.messages.rules import InstrumentRules
from tests.integration.venuesim_clients import simulation

ODD: tuple[Any, ...] = ("0", "-1", "NaN", "Infinity", "1e400", "abc", None, "", [], {}, 1e-30)
LISTS = {
    "binance": "exchangeInfo",
    "binanceusdm": "exchangeInfo",
    "kraken": "AssetPairs",
    "bybit": "instruments-info",
    "kucoin": "symbols",
    "bitstamp": "markets",
}
INSTRUMENTS = {
    "binance": ("SOL/USDT", "BTC/USDT"),
    "binanceusdm": ("SOL/USDT:USDT", "BTC/USDT:USDT"),
    "kraken": ("SOL/USDT", "BTC/USDT"),
    "bybit": ("SOL/USDT:USDT", "BTC/USDT:USDT"),
    "kucoin": ("SOL/USDT", "BTC/USDT"),
    "bitstamp": ("SOL/USDT", "BTC/USDT"),
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every plain value."""
    if not isinstance(value, dict | list):
        return [path]
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [leaf for key, part in pairs for leaf in leaves(part, (*path, key))]


def changed(market: Any, path: tuple[Any, ...], value: Any) -> Any:
    market = copy.deepcopy(market)
    place = market
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return market


class Front:
    """Hands requests on to the simulated venues, and spoils one market in the answers."""

    def __init__(self, http: str, listed: str) -> None:
        self.http, self.listed = http, listed
        self.spoil: Any = lambda market: market

    async def serve(self, request: web.Request) -> web.Response:
        async with ClientSession() as session:
            url = URL(self.http + request.raw_path, encoded=True)
            async with session.get(url) as answer:
                body = await answer.json()
        if self.listed in request.path:
            found = (body[name] for name in ("symbols", "result", "data") if name in body)
            rows = body if isinstance(body, list) else next(found)
            rows = rows.get("list", rows) if isinstance(rows, dict) else rows
            for key, row in list(rows.items() if isinstance(rows, dict) else enumerate(rows)):
                if "SOL" in json.dumps(row):
                    rows[key] = self.spoil(row)
        return web.json_response(body)


@asynccontextmanager
async def front_of(described: Any, venue: str) -> AsyncIterator[tuple[Front, str]]:
    front = Front(described["http"], LISTS[venue])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield front, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def rules_at(venue: str, url: str) -> dict[str, InstrumentRules]:
    answer = await read_rules(ListingJob(venue, venue, url, list(INSTRUMENTS[venue])))
    assert not answer.error
    return {rules.instrument: rules for rules in answer.rules}


@pytest.mark.slow
@pytest.mark.parametrize("venue", list(LISTS))
async def test_one_odd_market_leaves_the_others(venue: str) -> None:
    spoiled, other = INSTRUMENTS[venue]
    async with (
        simulation(Options(seed=5, more_venues=True)) as (server, _),
        front_of(server.description, venue) as (front, url),
    ):
        seen: list[Any] = []
        front.spoil = lambda market: seen.append(market) or market
        assert set(await rules_at(venue, url)) == {spoiled, other}
        whole = seen[0]
        # Every field once, with an odd value that moves on from field to field.
        for number, path in enumerate(leaves(whole)):
            odd = ODD[number % len(ODD)]
            front.spoil = lambda market, path=path, odd=odd: changed(market, path, odd)
            rules = await rules_at(venue, url)
            assert rules[other].active, (path, odd)
            assert rules.get(spoiled) is None or rules[spoiled].reason or rules[spoiled].active
