"""Unmodified ccxt.pro clients pointed at an in-process simulation, and its control port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, TypeVar

import aiohttp
import ccxt.pro

from services.venuesim.app import Server, serve

T = TypeVar("T")

SYMBOLS = {"binance": "BTC/USDT", "binanceusdm": "BTC/USDT:USDT", "kraken": "BTC/USDT"}
VENUES = tuple(SYMBOLS)
WAIT_S = 15.0


async def within(awaitable: Awaitable[T]) -> T:
    """A refused subscription hangs a ccxt client for ever: never wait without an end."""
    return await asyncio.wait_for(awaitable, WAIT_S)


@asynccontextmanager
async def client(server: Server, venue: str, **changed: Any) -> AsyncIterator[Any]:
    """A ccxt.pro client of one simulated venue; ``changed`` overrides its credentials."""
    setup = import_module(f"shared.venues.{venue}.ccxt_urls")
    described = server.description
    settings = {**described["credentials"][venue], "options": dict(setup.OPTIONS), **changed}
    settings["enableRateLimit"] = False  # the client's own politeness would take most of the time
    exchange = getattr(ccxt.pro, venue)(settings)
    setup.set_urls(exchange, described["http"], described["ws"])
    try:
        yield exchange
    finally:
        await exchange.close()


class Control:
    """The control port."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def get(self, path: str) -> Any:
        async with self._session.get(f"{self._url}/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        async with self._session.post(f"{self._url}/{path}", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def fault(self, kind: str, venue: str, **parameters: Any) -> Any:
        return await self.post("fault", {"kind": kind, "venue": venue, **parameters})


@asynccontextmanager
async def simulation(options: Any) -> AsyncIterator[tuple[Server, Control]]:
    """A running simulation and its control port."""
    async with serve(options) as server, aiohttp.ClientSession() as session:
        yield server, Control(session, server.description["control"])
