"""A streaming client of ccxt as a connection: whole books as frames. IO only.

What is known of such clients: a refused subscription may hang for ever, and an error while a frame
is read may end a socket without a word. So a book must come within ``FIRST_S``, and all of them
together may be silent for ``SILENT_S``; then the client is given up for a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from services.ingestor.engine.requests import (
    ConnectionClosed,
    ConnectionOpened,
    FrameReceived,
    OpenConnection,
)
from shared.cancel import cancel_and_wait
from shared.clock import Clock
from shared.engine import Result
from shared.venues.ccxt_classes import load_streaming
from shared.venues.ccxt_redirect import CcxtRedirect
from shared.venues.ccxt_source import LEVELS, TIME_MS_MAX, BookFrame
from shared.venues.client_books import ClientBooks
from shared.venues.odd_markets import unreadable

LIST_S, FIRST_S, SILENT_S = 60.0, 30.0, 60.0
PAUSE_S, PAUSE_S_MAX = 1.0, 30.0
CLOSE_S = 2.0
PROBLEM_LENGTH_MAX = 300
CLOSED = "the connection was closed"


class CcxtBooks:
    """One client, from its list of markets to its end."""

    def __init__(
        self,
        wanted: OpenConnection,
        client: ClientBooks,
        clock: Clock,
        deliver: Callable[[Result], None],
    ) -> None:
        self._id, self._wanted, self._client = wanted.connection, wanted, client
        self._now_ns, self._deliver = clock.now_ns, deliver
        self._errors: tuple[type[Exception], ...] = (
            *unreadable(),
            aiohttp.ClientError,
            OSError,
        )
        self._heard = asyncio.Event()
        self._closing = asyncio.Event()

    def send(self, frames: Sequence[str]) -> None:
        """Nothing: the session sends no frames."""

    def close(self) -> None:
        """End it."""
        self._closing.set()

    async def run(self) -> None:
        """Live until the client fails or is closed, and say why it ended."""
        exchange = load_streaming(self._client.ccxt_id)({"newUpdates": False})
        CcxtRedirect.set_urls(exchange, self._client.rest_url, self._client.ws_url)
        working = asyncio.ensure_future(self._work(exchange))
        closing = asyncio.ensure_future(self._closing.wait())
        reason = CLOSED
        try:
            await asyncio.wait({working, closing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                reason = working.result()
        finally:
            await cancel_and_wait([working, closing])
            await self._end(exchange)
        self._deliver(ConnectionClosed(self._id, reason))

    async def _work(self, exchange: Any) -> str:
        """Watch all books; return why that ended."""
        try:
            async with asyncio.timeout(LIST_S):
                await exchange.load_markets()
        except TimeoutError:
            return f"no list of markets within {LIST_S:.0f} s"
        except self._errors as error:
            return f"no list of markets: {_text(error)}"
        self._deliver(ConnectionOpened(self._id))
        served = []
        for name in self._client.instruments:
            if name in exchange.markets:
                served.append(name)
            else:
                why = "the venue does not list it"
                self._say(BookFrame(instrument=name, problem=why, refused=True))
        if not served:
            await self._closing.wait()
        watching = [asyncio.ensure_future(self._watch(exchange, name)) for name in served]
        for task in watching:
            task.add_done_callback(lambda _: self._heard.set())
        try:
            while True:
                self._heard.clear()
                async with asyncio.timeout(SILENT_S):
                    await self._heard.wait()
                if ended := next((task for task in watching if task.done()), None):
                    return f"a book was watched no more: {_end_of(ended)}"
        except TimeoutError:
            return f"no change of any book for {SILENT_S:.0f} s"
        finally:
            await cancel_and_wait(watching)

    async def _watch(self, exchange: Any, name: str) -> None:
        """Deliver a book after each change; after an error, try again."""
        pause_s = PAUSE_S
        while True:
            try:
                await self._books(exchange, name)
            except TimeoutError:
                problem = f"no book within {FIRST_S:.0f} s"
            except self._errors as error:
                problem = _text(error)
            self._say(BookFrame(instrument=name, problem=problem))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _books(self, exchange: Any, name: str) -> None:
        async with asyncio.timeout(FIRST_S):
            book = await exchange.watch_order_book(name)
        while True:
            self._heard.set()
            # The client goes on to change it: what leaves here is a copy.
            self._say(_frame(name, book))
            book = await exchange.watch_order_book(name)

    def _say(self, frame: BookFrame) -> None:
        self._deliver(FrameReceived(self._id, msgspec.json.encode(frame), self._now_ns()))

    async def _end(self, exchange: Any) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await exchange.close()
        except TimeoutError:
            return
        except self._errors:
            return  # nothing more can be done for it


def _frame(name: str, book: Any) -> BookFrame:
    bids, asks = (
        [(float(row[0]), float(row[1])) for row in book[side][:LEVELS]] for side in ("bids", "asks")
    )
    return BookFrame(instrument=name, bids=bids, asks=asks, time_ms=_time_ms(book))


def _time_ms(book: Any) -> int | None:
    """Return the venue's time; one that cannot be is none, and no reason to have no book."""
    told = book.get("timestamp")
    if not isinstance(told, (int, float)) or not 0 <= told <= TIME_MS_MAX:
        return None
    return int(told)


def _end_of(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return "canceled by the client" if error is None else _text(error)


def _text(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:PROBLEM_LENGTH_MAX]
