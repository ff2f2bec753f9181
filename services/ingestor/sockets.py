"""WebSockets to venues: dial, read, send, close. IO only; decides nothing.

Frames go straight from the socket to the engine, stamped when they are taken from it. The library
answers the venue's pings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed as SocketClosed
from websockets.exceptions import WebSocketException

from services.ingestor.engine.requests import (
    ConnectionClosed,
    ConnectionOpened,
    FrameReceived,
    OpenConnection,
)
from shared.clock import Clock
from shared.engine import Result
from shared.websocket import CLOSE_TIMEOUT_S, open_websocket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

FRAME_BYTES_MAX = 16 * 1024 * 1024
SENDS_QUEUED_MAX = 1_000
"""Frames waiting to be sent; beyond it the venue does not read, and the connection is closed."""
CLOSED = "the connection was closed"


class Socket:
    """One connection, from dialing to its end."""

    def __init__(
        self, wanted: OpenConnection, clock: Clock, deliver: Callable[[Result], None]
    ) -> None:
        self._id, self._url = wanted.connection, wanted.url
        self._now_ns, self._deliver = clock.now_ns, deliver
        self._sends: list[str] = []
        self._wake = asyncio.Event()
        self._end: str | None = None
        self._sending: asyncio.Task[None] | None = None

    def send(self, frames: Sequence[str]) -> None:
        """Queue frames; they leave in order."""
        if len(self._sends) + len(frames) > SENDS_QUEUED_MAX:
            self.close(f"more than {SENDS_QUEUED_MAX} frames wait to be sent")
            return
        self._sends += frames
        self._wake.set()

    def close(self, reason: str = CLOSED) -> None:
        """End the connection, once what is queued was sent or could not be within a while."""
        if self._end is None:
            self._end = reason
            self._wake.set()
            if self._sending is not None:
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._sending.cancel)

    async def run(self) -> None:
        """Live until the connection ends, and say why it did."""
        reason, code = CLOSED, 0
        try:
            await self._live()
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, SocketClosed) and error.rcvd is not None:
                code = int(error.rcvd.code)
        self._deliver(ConnectionClosed(self._id, self._end or reason, code))

    async def _live(self) -> None:
        async with open_websocket(self._url, FRAME_BYTES_MAX) as socket:
            self._deliver(ConnectionOpened(self._id))
            self._sending = asyncio.create_task(self._send(socket))
            try:
                await self._read(socket)
            finally:
                self._sending.cancel()
                await asyncio.gather(self._sending, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        recv, deliver, now_ns, connection = socket.recv, self._deliver, self._now_ns, self._id
        while True:
            # Does not yield while frames are queued: what one socket read brought is delivered in
            # one turn of the event loop, and leaves in one commit.
            raw = await recv(decode=False)
            deliver(FrameReceived(connection, raw, now_ns()))

    async def _send(self, socket: ClientConnection) -> None:
        try:
            while self._sends or self._end is None:
                sends, self._sends = self._sends, []
                for frame in sends:
                    await socket.send(frame)
                if not self._sends and self._end is None:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            # Also when sending failed: the reader must not wait on a connection nobody tends.
            await socket.close()
