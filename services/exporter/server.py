"""Answers scrapes: /metrics over HTTP, for as long as the process runs. IO."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from services.exporter.exposition import exposition
from shared.config_sections import ExporterConfig
from shared.metrics.samples import Samples
from shared.text_server import Answer, Request, TextServer, not_found

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0


class MetricsServer:
    """Serves the samples of the moment.

    ``url`` is where it does, ``problem`` why it does not; a port that is taken is tried again, so
    that metrics never keep a system from running.
    """

    def __init__(self, config: ExporterConfig, samples: Callable[[], Samples]) -> None:
        self._host, self._port, self._samples = config.host, config.port, samples
        self._server = TextServer(self._answer)
        self.url, self.problem = "", "not listening yet"

    async def serve(self) -> None:
        """Listen until canceled."""
        while True:
            try:
                port = await self._server.start(self._host, self._port)
                break
            except OSError as error:
                self.problem = (
                    f"cannot listen on {self._host}:{self._port}: {error.strerror}; "
                    "set exporter.port (ARB_EXPORTER_PORT) to a free port, or 0"
                )
                log.warning("metrics_not_served", extra={"reason": self.problem})
                await asyncio.sleep(RETRY_S)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url, self.problem = f"http://{host}:{port}/metrics", ""
        log.info("metrics_served", extra={"url": self.url})

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    def _answer(self, request: Request) -> Answer:
        if request.path != "/metrics":
            return not_found("/metrics")
        kind, body = exposition(self._samples(), request.accept)
        return Answer("200 OK", kind, body)
