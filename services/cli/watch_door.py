"""How `arb watch` listens: few connections at a time, and none for long. IO.

Who holds many open would else use up its files, and no channel could be reached any more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiohttp import http_exceptions, web

from shared.cancel import cancel_and_wait
from shared.errors import ConfigError

CONNECTIONS_MAX: Final = 64
OPEN_S: Final = 10.0
"""A ping takes no second."""
_MALFORMED: Final = (
    http_exceptions.HttpProcessingError,
    web.RequestPayloadError,
    ConnectionError,
)

log = logging.getLogger(__name__)
log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _MALFORMED)))
# Whoever can reach the port can send nonsense: it is answered with 400 and fills no terminal.


class _Refused(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


async def _close_after(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"  # a head is made before this is asked


class Door:
    """Where an application is reached.

    Args:
        app: The application.
        open_s: For how long a connection may stay open.
    """

    def __init__(self, app: web.Application, *, open_s: float = OPEN_S) -> None:
        app.on_response_prepare.append(_close_after)  # so that no ping meets a look
        self._runner = web.AppRunner(app, access_log=None, logger=log, shutdown_timeout=1.0)
        self._open_s = open_s
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return where.

        Raises:
            ConfigError: The address cannot be used.
        """
        await self._runner.setup()
        handlers = self._runner.server
        assert handlers is not None, "it is set up"

        def protocol() -> asyncio.Protocol:
            return handlers() if len(handlers.connections) < CONNECTIONS_MAX else _Refused()

        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(protocol, host, port)
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise ConfigError(f"--listen {host}:{port}: cannot listen: {reason}") from error
        self._sweeping = asyncio.create_task(self._sweep(handlers))
        where: Any = self._server.sockets[0].getsockname()
        return where[0], where[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._sweeping is not None:
            await cancel_and_wait((self._sweeping,))
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _sweep(self, handlers: web.Server) -> None:
        """Close what was open at the look before already."""
        before: set[web.RequestHandler] = set()
        while True:
            await asyncio.sleep(self._open_s)
            for each in handlers.connections:
                if each in before and each.transport is not None:
                    each.transport.abort()
            before = set(handlers.connections)
