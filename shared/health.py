"""Health and metrics of a process over HTTP: /healthz, /readyz, /metrics; a minimal server.

One request per connection, GET only: what probes and Prometheus need, without a framework.
"""

from __future__ import annotations

import asyncio

from shared.errors import ConfigError
from shared.observe import Observer

_REQUEST_S = 5.0


class HealthServer:
    """Serves one observer's state."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (0 asks for a free one).

        Raises:
            ConfigError: The address cannot be used.
        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=8_192)
        except OSError as error:
            raise ConfigError(
                f"health server: cannot listen on {host}:{port}: {error.strerror}; "
                "set observe.http_port (ARB_HTTP_PORT) to a free port, or 0"
            ) from error
        self._observer.http_port = int(self._server.sockets[0].getsockname()[1])
        return self._observer.http_port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head)
                lines = (
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(lines.encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a probe that went away or did not speak HTTP
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, str, bytes]:
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method != b"GET":
            return "405 Method Not Allowed", "text/plain", b"GET only\n"
        if path == b"/healthz":
            good = self._observer.is_alive()
            return _verdict(good, "" if good else "the main loop does not advance")
        if path == b"/readyz":
            return _verdict(self._observer.ready, self._observer.reason)
        if path == b"/metrics":
            # Imported at the first scrape: not every process is scraped, and it is not small.
            from shared.metrics import exposition

            return "200 OK", "text/plain; version=0.0.4; charset=utf-8", exposition(self._observer)
        return "404 Not Found", "text/plain", b"there are /healthz, /readyz and /metrics\n"

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()


def _verdict(good: bool, reason: str) -> tuple[str, str, bytes]:
    if good:
        return "200 OK", "text/plain", b"ok\n"
    return "503 Service Unavailable", "text/plain", f"{reason}\n".encode()
