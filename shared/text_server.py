"""A minimal HTTP server of texts: one GET request per connection, what probes and scrapers need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

REQUEST_S: Final = 5.0
HEAD_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64
"""At a time; further ones are closed unanswered."""


class Answer(NamedTuple):
    """What is answered: status line, content type, body."""

    status: str
    kind: str
    body: bytes


class Request(NamedTuple):
    """What is asked for; ``accept`` is the header of that name."""

    path: str
    accept: str = ""


def not_found(paths: str) -> Answer:
    """Return the answer to a path that does not exist, naming those that do."""
    return Answer("404 Not Found", "text/plain", f"there are {paths}\n".encode())


class TextServer:
    """Serves what ``answer`` returns for each request."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self._give = answer
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (0 asks for a free one).

        Raises:
            OSError: The address cannot be used.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > CONNECTIONS_MAX:
                return
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head)
                lines = (
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(lines.encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that went away or did not speak HTTP
        finally:
            self._open -= 1
            writer.close()

    def _answer(self, head: bytes) -> Answer:
        first, *headers = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        if method != "GET":
            return Answer("405 Method Not Allowed", "text/plain", b"GET only\n")
        path = rest.partition(" ")[0].partition("?")[0]
        accept = [
            value.strip()
            for name, _, value in (line.partition(":") for line in headers)
            if name.strip().lower() == "accept"
        ]
        return self._give(Request(path, ",".join(accept)))
