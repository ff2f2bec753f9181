"""What ``simulated`` of a venue folder offers to its host: the venue's other side. Pure.

A host opens the paths, tells what clients send and writes what waits for them, like
``services/venuesim``. Paths may hold ``{name}`` for one part and ``{name:.*}`` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.exchange.listing import Listing
from shared.simulated.context import Context
from shared.simulated.hub import Client, Hub
from shared.simulated.recorded import RecordedMarket
from shared.simulated.rest import Rest


def _nothing(client: Client) -> None:
    del client


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A WebSocket path, and who speaks there."""

    path: str
    on_text: Callable[[Client, str], None]
    on_open: Callable[[Client], None] = _nothing
    on_close: Callable[[Client], None] = _nothing


@dataclass(frozen=True, slots=True)
class RestRoute:
    """A REST path, and who answers there."""

    path: str
    rest: Rest
    method: str = "*"


@dataclass(frozen=True, slots=True)
class FixedRoute:
    """A REST path that always answers the same, whatever the faults: what a client asks for that
    is not simulated.
    """

    path: str
    body: Any


Route = SocketRoute | RestRoute | FixedRoute


class SimulatedVenue(Protocol):
    """One venue behind its protocols; ``simulated/venue.py`` has ``open_venue`` to make it."""

    venue: str
    has_update_ids: bool
    """Whether its books carry the exchange's own numbers (``MatchingBook.seq``)."""
    exchange: Exchange
    funding: Funding | None
    """Of its perpetuals."""
    hub: Hub
    credentials: dict[str, str]
    recorded: RecordedMarket | None

    def routes(self) -> Sequence[Route]:
        """Return the venue's paths."""

    def on_tick(self, tick: int, now_ms: int) -> None:
        """The market moved: publish what is due."""


OpenVenue = Callable[[Context, tuple[Listing, ...]], SimulatedVenue]
OpenRecorded = Callable[[Context, Mapping[str, Sequence[bytes]]], SimulatedVenue]


class Simulated(Protocol):
    """``shared/venues/<adapter>/simulated/venue.py``.

    ``open_venue`` lists what it is given, or ``LISTINGS``; ``open_recorded`` lists what a recording
    holds, told by samples of each instrument's frames. ``more_listings`` are markets between
    assets, which are listed beside the others only where that is asked for.
    """

    LISTINGS: tuple[Listing, ...]
    more_listings: Callable[[], tuple[Listing, ...]]
    open_venue: OpenVenue
    open_recorded: OpenRecorded
