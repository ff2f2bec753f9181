"""Sockets in front of the simulated venues: what clients send goes in, what waits for them out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from aiohttp import WSMsgType, web

from services.venuesim import config
from shared.simulated.faults import FaultTable
from shared.simulated.hub import Client, Hub
from shared.simulated.port import FixedRoute, Route, SimulatedVenue, SocketRoute
from shared.simulated.rest import Answer, Pending, Request, Rest, respond

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MayTell = Callable[[], bool]
"""Whether what happened is kept, so that clients may know; kept just now where it was not."""


def answering_when(may_tell: MayTell) -> Middleware:
    """Return what lets an answer out only then; without it the connection is cut."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not may_tell() and request.transport is not None:
            request.transport.abort()
        return response

    return guard


def add_venue(
    app: web.Application, venue: SimulatedVenue, faults: FaultTable, may_tell: MayTell
) -> None:
    """Serve a venue's paths below its name, and as they are where no venue before has the same."""
    taken = {resource.canonical for resource in app.router.resources()}
    for route in venue.routes():
        for prefix in (f"/{venue.venue}", ""):
            if prefix + route.path not in taken:
                method, handler = _handler(route, venue, faults, prefix, may_tell)
                app.router.add_route(method, prefix + route.path, handler)


def _handler(
    route: Route, venue: SimulatedVenue, faults: FaultTable, prefix: str, may_tell: MayTell
) -> tuple[str, Handler]:
    if isinstance(route, SocketRoute):
        return "GET", _serving(venue.hub, route, prefix, may_tell)
    if isinstance(route, FixedRoute):
        return "GET", _answering(Answer(msgspec.json.encode(route.body)))
    return route.method, _responding(route.rest, faults, venue.venue, prefix)


def _answering(answer: Answer) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _response(answer)

    return handle


def _responding(rest: Rest, faults: FaultTable, venue: str, prefix: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        sent = await _sent(request, prefix)
        answer = respond(sent, rest, faults, venue)
        if isinstance(answer, Pending):
            answer = await _settled(answer)
        if answer is not None:
            return _response(answer)
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)  # let the server notice before it tries to write
        return web.Response()

    return handle


async def _sent(request: web.Request, prefix: str) -> Request:
    path, _, query = request.raw_path.partition("?")
    return Request(
        request.method,
        path.removeprefix(prefix),
        query,
        (await request.read()).decode("utf-8", "replace"),
        {name.lower(): value for name, value in request.headers.items()},
    )


async def _settled(pending: Pending) -> Answer:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def settle(answer: Answer) -> None:
        if not future.done():  # else the client gave up
            future.set_result(answer)

    pending.when_settled(settle)
    return await future


def _response(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers=dict(answer.headers),
        content_type="application/json",
    )


def _serving(hub: Hub, route: SocketRoute, prefix: str, may_tell: MayTell) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        """Accept a WebSocket and serve it until it closes."""
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=config.REQUEST_BYTES_MAX, heartbeat=hub.ping_every_s
        )
        await socket.prepare(request)
        woken, transport = asyncio.Event(), request.transport
        assert transport is not None
        path, query = request.path.removeprefix(prefix), dict(request.query)
        client = Client(path, query, wake=woken.set, abort=transport.abort)
        hub.connect(client)
        writing = asyncio.create_task(_write(client, socket, woken, may_tell))
        try:
            route.on_open(client)
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    data = message.data
                    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
                    route.on_text(client, text)
        finally:
            hub.forget(client)
            route.on_close(client)
            client.cut()
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, OSError):
                await writing
        return socket

    return handle


async def _write(
    client: Client, socket: web.WebSocketResponse, woken: asyncio.Event, may_tell: MayTell
) -> None:
    """Write what waits for a client until its connection ends."""
    while True:
        while may_tell() and (frame := client.next_frame()) is not None:
            await socket.send_frame(frame, WSMsgType.TEXT)
        if client.is_closing:
            code, reason = client.goodbye
            await socket.close(code=code, message=reason.encode())
            return
        woken.clear()
        await woken.wait()
