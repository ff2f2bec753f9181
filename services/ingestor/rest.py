"""Requests for REST order books and facts. IO only; decides nothing."""

from __future__ import annotations

import aiohttp

from services.ingestor.engine.requests import FetchSnapshot, SnapshotAnswered

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 * 1024 * 1024


class RestClient:
    """The HTTP connections; a proxy of the environment is used for ``https`` only."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def ask(self, wanted: FetchSnapshot) -> SnapshotAnswered:
        """Send the request; an answer with status 0 has the error that prevented one."""
        try:
            async with self._session(wanted.url).request(wanted.method, wanted.url) as response:
                body = await response.content.read(BODY_BYTES_MAX)
                while not response.content.at_eof() and len(body) < BODY_BYTES_MAX:
                    body += await response.content.read(BODY_BYTES_MAX - len(body))
                status, retry_after = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return SnapshotAnswered(wanted.request, 0, error=repr(error))
        return SnapshotAnswered(wanted.request, status, body, retry_after)

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, url: str) -> aiohttp.ClientSession:
        is_https = url.startswith("https:")
        if is_https not in self._sessions:
            self._sessions[is_https] = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=is_https
            )
        return self._sessions[is_https]
