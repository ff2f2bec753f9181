"""The ingestor's sockets against a real server: what is delivered of a connection, and when."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import serve

from services.ingestor.engine.requests import (
    CloseConnection,
    ConnectionClosed,
    ConnectionOpened,
    FrameReceived,
    OpenConnection,
    SendFrames,
)
from services.ingestor.transport import VenueTransport
from shared.clock import SystemClock
from tests.support import eventually


@contextlib.asynccontextmanager
async def connected(handler):
    """A connection to a server with this handler, and what is delivered of it."""
    delivered: list = []
    transport = VenueTransport(SystemClock(), asyncio.create_task)
    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        transport.carry_out(OpenConnection(7, f"ws://127.0.0.1:{port}", "v"), delivered.append)
        try:
            await eventually(lambda: delivered)
            yield transport, delivered
        finally:
            await transport.close()


async def test_frames_arrive_as_bytes_in_order_and_after_the_opening():
    async def talk(socket):
        await socket.send("one")
        await socket.send(b"two")
        await socket.wait_closed()

    async with connected(talk) as (_, delivered):
        await eventually(lambda: len(delivered) == 3)
        assert delivered[0] == ConnectionOpened(7)
        first, second = delivered[1:]
        assert (type(first), first.raw, second.raw) == (FrameReceived, b"one", b"two")
        assert 0 < first.ts_recv_ns <= second.ts_recv_ns


async def test_last_words_are_sent_before_the_connection_closes():
    heard: list[str] = []

    async def listen(socket):
        heard.extend([frame async for frame in socket])

    async with connected(listen) as (transport, delivered):
        transport.carry_out(SendFrames(7, ["a", "b"]), delivered.append)
        transport.carry_out(CloseConnection(7), delivered.append)
        await eventually(lambda: type(delivered[-1]) is ConnectionClosed)
        await eventually(lambda: heard == ["a", "b"])
        # Gone by now: nobody minds.
        transport.carry_out(SendFrames(7, ["c"]), delivered.append)
        transport.carry_out(CloseConnection(7), delivered.append)


async def test_code_of_the_venues_close_is_delivered():
    async def restart(socket):
        await socket.close(1012, "restart")

    async with connected(restart) as (_, delivered):
        await eventually(lambda: len(delivered) == 2)
        assert delivered[1].code == 1012
        assert "restart" in delivered[1].reason


async def test_venue_that_is_not_there_closes_without_a_code():
    delivered: list = []
    transport = VenueTransport(SystemClock(), asyncio.create_task)
    transport.carry_out(OpenConnection(1, "ws://127.0.0.1:1", "v"), delivered.append)
    await eventually(lambda: delivered)
    await transport.close()
    (closed,) = delivered
    assert (closed.connection, closed.code) == (1, 0)
    assert "refused" in closed.reason or "Connect" in closed.reason
