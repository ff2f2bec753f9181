"""The live channel over WebSockets: a task for each client, and one for the topics. IO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from services.dashboard.access import Access, Refused, Session
from services.dashboard.answers import ADDRESS, SESSION
from services.dashboard.channel import (
    CLIENTS_MAX,
    FRAME_EVERY_NS,
    REQUEST_BYTES_MAX,
    Client,
    RequestError,
)
from services.dashboard.engine import DashboardEngine
from services.dashboard.trail import Trail
from shared.cancel import cancel_and_wait
from shared.clock import Clock

PING_S: Final = 20.0
CLOSE_S: Final = 5.0
MESSAGE_BYTES_MAX: Final = 4 * REQUEST_BYTES_MAX
"""What is longer is not even taken in to be told why it is refused."""
SESSION_ENDED, NOT_ACKNOWLEDGED, TOO_MANY, GOING_AWAY = 4001, 4008, 1013, 1001

Hello = Callable[[Session], dict[str, Any]]


@dataclass(eq=False)
class _Connection:
    socket: web.WebSocketResponse
    client: Client
    session: Session
    request: web.Request
    deaf_since_ns: int = 0
    closing: asyncio.Task[Any] | None = field(default=None)


class LiveChannel:
    """All connected clients.

    Args:
        engine: Whose topics are shown.
        access: Whose sessions may look.
        trail: Where refusals go.
        clock: Tells the time.
        hello: What a client is told first.
    """

    def __init__(
        self, engine: DashboardEngine, access: Access, trail: Trail, clock: Clock, hello: Hello
    ) -> None:
        self._engine, self._access, self._trail = engine, access, trail
        self._clock, self._hello = clock, hello
        self._connections: set[_Connection] = set()
        self._turn: asyncio.Future[None] | None = None
        self._is_closing = False

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connections)

    async def tick(self) -> None:
        """Keep the topics current that somebody looks at, until canceled."""
        loop = asyncio.get_running_loop()
        while True:
            now_ns = self._clock.now_ns()
            self._engine.refresh(self._wanted(), now_ns)
            turn, self._turn = self._turn, loop.create_future()
            if turn is not None:
                turn.set_result(None)
            self._drop_deaf(now_ns)
            await asyncio.sleep(FRAME_EVERY_NS / 1e9)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it goes."""
        session, address = request[SESSION], request[ADDRESS]
        socket = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_S, compress=False
        )
        await socket.prepare(request)
        if self._is_closing or len(self._connections) >= CLIENTS_MAX:
            self._trail.refused(Refused.TOO_MANY, session.name, address, "live")
            await socket.close(code=TOO_MANY, message=b"too many clients; close another tab")
            return socket
        connection = _Connection(socket, Client(self._engine.topics), session, request)
        self._connections.add(connection)
        sending = asyncio.create_task(self._send(connection))
        try:
            await socket.send_frame(msgspec.json.encode(self._hello(session)), WSMsgType.TEXT)
            await self._receive(connection, address)
        except ConnectionError:
            pass  # it went
        finally:
            self._connections.discard(connection)
            await cancel_and_wait((sending,))
        return socket

    async def close(self) -> None:
        """Tell every client that the server goes."""
        self._is_closing = True
        sockets = [each.socket for each in self._connections]
        closing = (s.close(code=GOING_AWAY, message=b"the dashboard is stopping") for s in sockets)
        await asyncio.gather(*closing, return_exceptions=True)

    async def _receive(self, connection: _Connection, address: str) -> None:
        socket, name = connection.socket, connection.session.name
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                try:
                    connection.client.on_text(message.data)
                except RequestError as error:
                    self._trail.refused(Refused(error.kind), name, address, "live")
                    reason = error.reason.encode("ascii", "backslashreplace")[:120]
                    await socket.close(code=error.code, message=reason)
            elif message.type is WSMsgType.BINARY:
                self._trail.refused(Refused.MALFORMED, name, address, "live")
                await socket.close(code=1003, message=b"text only")
        if socket.close_code == 1009:
            self._trail.refused(Refused.OVERSIZE, name, address, "live")

    async def _send(self, connection: _Connection) -> None:
        """Send a client its frames, at most one every turn."""
        socket, client = connection.socket, connection.client
        while not socket.closed:
            if self._turn is not None:
                await asyncio.shield(self._turn)
            else:
                await asyncio.sleep(0)
            now_ns = self._clock.now_ns()
            if self._access.find(connection.session.id, self._clock.monotonic_ns()) is None:
                await socket.close(code=SESSION_ENDED, message=b"the session has ended")
                return
            if client.is_deaf(now_ns):
                await socket.close(code=NOT_ACKNOWLEDGED, message=b"no frame was acknowledged")
                return
            if (frame := client.next_frame(now_ns)) is not None:
                try:
                    await socket.send_frame(frame, WSMsgType.TEXT)
                except ConnectionError:
                    return

    def _drop_deaf(self, now_ns: int) -> None:
        """Cut who neither acknowledges nor reads: a closing handshake would wait for it."""
        for each in self._connections:
            if not each.client.is_deaf(now_ns):
                each.deaf_since_ns = 0
            elif not each.deaf_since_ns:
                each.deaf_since_ns = now_ns
            elif now_ns - each.deaf_since_ns > 2 * CLOSE_S * 1e9 and each.request.transport:
                self._access.refuse(Refused.DEAF)
                each.request.transport.abort()

    def _wanted(self) -> Mapping[str, frozenset[str]]:
        """Return what all clients together look at; who looks at all rows names none."""
        wanted: dict[str, frozenset[str]] = {}
        for each in self._connections:
            for name, rows in each.client.wanted().items():
                wanted[name] = wanted.get(name, frozenset()) | (rows or frozenset())
        return wanted
