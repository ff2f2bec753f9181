"""The simulated venues of a run, seen from outside: their addresses and their control port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import Unavailable

REQUEST_TIMEOUT_S = 60.0
READY_POLL_S = 0.05


class Instrument(msgspec.Struct, frozen=True):
    """One instrument that a simulated venue lists."""

    venue: str
    instrument: str


class Credentials(
    msgspec.Struct, frozen=True, rename={"api_key": "apiKey", "second_key": "secondKey"}
):
    """What a client of a simulated venue signs with.

    ``second_key`` is for a second process, where a venue counts nonces for each key; same secret.
    A venue with market data only has none of them.
    """

    api_key: str = ""
    secret: str = ""
    second_key: str = ""


class Addresses(msgspec.Struct, frozen=True):
    """The line that the simulated venues print when they are ready."""

    http: str
    ws: str
    control: str
    credentials: dict[str, Credentials]
    instruments: list[Instrument]


async def read_addresses(path: Path) -> Addresses:
    """Wait for the ready line in the file that receives the program's stdout and return it."""
    while True:
        line = _first_line(path)
        if line is not None:
            return msgspec.json.decode(line, type=Addresses)
        await asyncio.sleep(READY_POLL_S)


def _first_line(path: Path) -> bytes | None:
    try:
        first, newline, _ = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    return first if newline else None


class ControlClient:
    """A client of the control port."""

    def __init__(self, url: str) -> None:
        import aiohttp  # here, because few commands need what takes a third of a start

        self._url = url
        self._failure = aiohttp.ClientError
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        )

    async def get(self, path: str) -> Any:
        """GET ``path`` under the control address.

        Raises:
            Unavailable: Nobody answers, or not with success.
        """
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST a JSON body; errors as of :meth:`get`."""
        return await self._ask("POST", path, body)

    async def delete(self, path: str) -> Any:
        """DELETE ``path``; errors as of :meth:`get`."""
        return await self._ask("DELETE", path, None)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            async with self._session.request(method, f"{self._url}/{path}", json=body) as answer:
                text = await answer.text()
                if answer.status >= 400:
                    raise Unavailable(f"simulated venues: {path}: {answer.status} {text[:200]}")
                return msgspec.json.decode(text)
        except (self._failure, TimeoutError, msgspec.DecodeError) as error:
            raise Unavailable(f"simulated venues: {path}: {error or 'no answer'}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
