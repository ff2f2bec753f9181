"""A streaming client of ccxt as a connection, with a client that does what one is known to do."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from services.ingestor import ccxt_books
from services.ingestor.ccxt_books import CcxtBooks
from services.ingestor.engine.requests import ConnectionClosed, FrameReceived, OpenConnection
from shared.clock import SystemClock
from shared.venues.ccxt_source import BookFrame
from shared.venues.client_books import ClientBooks

NAME = "BTC/USDT"


class Client:
    """Tells its books one after the other, then cancels who watches, as ccxt's futures may."""

    def __init__(self, *books: dict) -> None:
        self.urls: dict = {"api": {}}
        self.markets = {NAME: {}}
        self._books = list(books)

    async def load_markets(self) -> None:
        pass

    async def watch_order_book(self, _: str) -> dict:
        if not self._books:
            await asyncio.sleep(0.05)  # until the last book has been noticed
            raise asyncio.CancelledError
        return self._books.pop(0)

    async def close(self) -> None:
        pass


def book(**told) -> dict:
    return {"bids": [[9.0, 1.0]], "asks": [[10.0, 2.0]], **told}


async def run(monkeypatch, *books: dict) -> tuple[list[BookFrame], str]:
    """Return what a client says until its end, and why that was."""
    monkeypatch.setattr(ccxt_books, "load_streaming", lambda _: lambda _: Client(*books))
    told: list = []
    wanted = OpenConnection(1, "", "mine")
    client = ClientBooks("any", (NAME,))
    await asyncio.wait_for(CcxtBooks(wanted, client, SystemClock(), told.append).run(), 20)
    frames = [msgspec.json.decode(m.raw, type=BookFrame) for m in told if type(m) is FrameReceived]
    (ended,) = (m for m in told if type(m) is ConnectionClosed)
    return frames, ended.reason


async def test_a_watch_that_the_client_cancels_ends_it_at_once(monkeypatch) -> None:
    """Not after a minute of silence, in which its last book would stand."""
    frames, reason = await run(monkeypatch, book())
    assert [frame.bids for frame in frames] == [[(9.0, 1.0)]]
    assert reason == "a book was watched no more: canceled by the client"


@pytest.mark.parametrize(
    ("told", "time_ms"),
    [(7, 7), (7.0, 7), (7.5, 7), (None, None), (-1, None), (1e18, None), ("7", None)],
)
async def test_a_time_that_cannot_be_costs_no_book(monkeypatch, told, time_ms) -> None:
    ((frame,), _) = await run(monkeypatch, book(timestamp=told))
    assert frame.time_ms == time_ms
