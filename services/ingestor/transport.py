"""Carries out what the engine asks for: sockets, GETs, the child that reads listings, the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from services.ingestor.engine.requests import (
    CloseConnection,
    FetchSnapshot,
    LogEntry,
    LogLevel,
    OpenConnection,
    ReadListings,
    SendFrames,
)
from services.ingestor.listing_child import read_in_child
from services.ingestor.rest import RestClient
from services.ingestor.sockets import Socket
from shared.cancel import cancel_and_wait
from shared.clock import Clock
from shared.engine import Action, Result

if TYPE_CHECKING:
    from services.ingestor.ccxt_books import CcxtBooks

log = logging.getLogger(__name__)

LEVELS = {
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
Deliver = Callable[[Result], None]


class VenueTransport:
    """The ingestor's IO. How much runs at once is bounded by the engine.

    Args:
        clock: Stamps frames.
        spawn: Starts a task that the host supervises.
    """

    def __init__(
        self, clock: Clock, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._clock, self._start = clock, spawn
        self._sockets: dict[int, Socket | CcxtBooks] = {}
        self._rest = RestClient()
        self._tasks: set[asyncio.Task[None]] = set()

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action; its results are delivered from the event loop."""
        if type(action) is LogEntry:
            log.log(LEVELS[action.level], action.event, extra=action.fields)
        elif type(action) is SendFrames:
            if (socket := self._sockets.get(action.connection)) is not None:
                socket.send(action.frames)
        elif type(action) is OpenConnection:
            self._spawn(self._connect(action, deliver))
        elif type(action) is CloseConnection:
            if (socket := self._sockets.get(action.connection)) is not None:
                socket.close()
        elif type(action) is FetchSnapshot:
            self._spawn(self._fetch(action, deliver))
        elif type(action) is ReadListings:
            self._spawn(self._read(action, deliver))

    async def close(self) -> None:
        """End all that runs."""
        await cancel_and_wait(self._tasks)
        await self._rest.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._start(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, wanted: OpenConnection, deliver: Deliver) -> None:
        if wanted.client is not None:
            # Here, because nobody else needs ccxt's streaming clients.
            from services.ingestor.ccxt_books import CcxtBooks

            socket: Socket | CcxtBooks = CcxtBooks(wanted, wanted.client, self._clock, deliver)
        else:
            socket = Socket(wanted, self._clock, deliver)
        self._sockets[wanted.connection] = socket
        try:
            await socket.run()
        finally:
            del self._sockets[wanted.connection]

    async def _fetch(self, wanted: FetchSnapshot, deliver: Deliver) -> None:
        deliver(await self._rest.ask(wanted))

    async def _read(self, wanted: ReadListings, deliver: Deliver) -> None:
        async for answer in read_in_child(wanted.jobs):
            deliver(answer)
