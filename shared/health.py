"""Health of a process over HTTP: /healthz and /readyz. Metrics are the exporter's alone."""

from __future__ import annotations

from shared.errors import ConfigError
from shared.observe import Observer
from shared.text_server import Answer, Request, TextServer, not_found


class HealthServer:
    """Serves one observer's state."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._server = TextServer(self._answer)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (0 asks for a free one).

        Raises:
            ConfigError: The address cannot be used.
        """
        try:
            self._observer.http_port = await self._server.start(host, port)
        except OSError as error:
            raise ConfigError(
                f"health server: cannot listen on {host}:{port}: {error.strerror}; "
                "set observe.http_port (ARB_HTTP_PORT) to a free port, or 0"
            ) from error
        return self._observer.http_port

    def _answer(self, request: Request) -> Answer:
        if request.path == "/healthz":
            good = self._observer.is_alive()
            return _verdict(good, "" if good else "the main loop does not advance")
        if request.path == "/readyz":
            return _verdict(self._observer.ready, self._observer.reason)
        return not_found("/healthz and /readyz; metrics are at the exporter")

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()


def _verdict(good: bool, reason: str) -> Answer:
    if good:
        return Answer("200 OK", "text/plain", b"ok\n")
    return Answer("503 Service Unavailable", "text/plain", f"{reason}\n".encode())
