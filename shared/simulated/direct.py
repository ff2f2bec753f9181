"""A simulated venue without sockets: its paths called directly, in the caller's own time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import msgspec

from shared.simulated.faults import FaultTable
from shared.simulated.hub import Client
from shared.simulated.port import FixedRoute, RestRoute, SimulatedVenue, SocketRoute
from shared.simulated.rest import Answer, Pending, Request, respond

NOT_FOUND = Answer(b"{}", 404)
_PART = re.compile(r"\{\w+(?::([^}]*))?\}")


class Connection:
    """A client's connection to a venue."""

    def __init__(self, venue: SimulatedVenue, route: SocketRoute, path: str, query: str) -> None:
        self._venue, self._route = venue, route
        self.is_open = True
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        self._client = Client(path, parameters, wake=lambda: None, abort=self._end)
        venue.hub.connect(self._client)
        route.on_open(self._client)

    def send(self, text: str) -> None:
        """Send the venue a frame."""
        if self.is_open:
            self._route.on_text(self._client, text)

    def frames(self) -> Iterator[bytes]:
        """Yield what the venue has sent; where it wants to close, the connection ends after it."""
        while (frame := self._client.next_frame()) is not None:
            yield frame
        if self._client.is_closing:
            self._end()

    def close(self) -> None:
        """End the connection from the client's side."""
        self._end()

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._venue.hub.forget(self._client)
            self._route.on_close(self._client)


class DirectVenue:
    """Reaches a simulated venue by its paths."""

    def __init__(self, venue: SimulatedVenue, faults: FaultTable) -> None:
        self._venue, self._faults = venue, faults
        self._routes = [(_pattern(route.path), route) for route in venue.routes()]

    def connect(self, path: str) -> Connection | None:
        """Open a WebSocket; ``None`` where the path is not served."""
        bare, _, query = path.partition("?")
        for pattern, route in self._routes:
            if isinstance(route, SocketRoute) and pattern.fullmatch(bare):
                return Connection(self._venue, route, bare, query)
        return None

    def request(self, request: Request) -> Answer | Pending | None:
        """Send a request; ``None`` where the connection breaks before the answer."""
        for pattern, route in self._routes:
            if isinstance(route, SocketRoute) or not pattern.fullmatch(request.path):
                continue
            if isinstance(route, FixedRoute):
                return Answer(msgspec.json.encode(route.body))
            if _takes(route, request.method):
                return respond(request, route.rest, self._faults, self._venue.venue)
        return NOT_FOUND


def _takes(route: RestRoute, method: str) -> bool:
    return route.method in ("*", method)


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches a path that may hold ``{name}`` and ``{name:pattern}``."""
    parts, at = [], 0
    for found in _PART.finditer(path):
        parts += [re.escape(path[at : found.start()]), f"({found[1] or '[^/]+'})"]
        at = found.end()
    return re.compile("".join([*parts, re.escape(path[at:])]))
