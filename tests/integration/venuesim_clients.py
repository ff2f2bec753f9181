"""Unmodified ccxt.pro clients pointed at an in-process simulation, and its control port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import ccxt.pro

from services.venuesim.app import Server, serve
from shared.venues.registry import (
    EVERY,
    TRADED,
    load_ccxt_setup,
    load_feed,
    load_simulated,
)

T = TypeVar("T")

SYMBOLS = {name: load_simulated(name).LISTINGS[0].instrument for name in EVERY}
VENUES = TRADED
"""Those that take orders; of the others only market data is simulated."""
WAIT_S = 15.0


async def within(awaitable: Awaitable[T]) -> T:
    """A refused subscription hangs a ccxt client for ever: never wait without an end."""
    return await asyncio.wait_for(awaitable, WAIT_S)


@asynccontextmanager
async def client(
    server: Server, venue: str, *, is_below_its_name: bool = False, **changed: Any
) -> AsyncIterator[Any]:
    """A ccxt.pro client of one simulated venue; ``changed`` overrides its credentials."""
    setup = load_ccxt_setup(venue)
    described = server.description
    is_below_its_name |= venue not in VENUES  # several of those have the path "/"
    place = described["venues"][venue] if is_below_its_name else described
    settings = {**described["credentials"][venue], "options": dict(setup.OPTIONS), **changed}
    settings["enableRateLimit"] = False  # the client's own politeness would take most of the time
    exchange = getattr(ccxt.pro, load_feed(venue).ccxt_id)(settings)
    setup.set_urls(exchange, place["http"], place["ws"])
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
