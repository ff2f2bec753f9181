"""What a simulated venue's folder offers to the server, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from services.venuesim.faults import FaultTable
from services.venuesim.hub import Hub
from services.venuesim.recorded import RecordedMarket
from shared.clock import Clock
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing


@dataclass(slots=True)
class Context:
    """What all venues share. ``fair`` tells a venue's fair price of a base asset."""

    seed: int
    faults: FaultTable
    clock: Clock
    fair: Callable[[str, str], float]

    def venue_ms(self, venue: str) -> int:
        """Return the venue's own UNIX time in ms, wrong if a fault made it so."""
        return self.clock.now_ns() // 1_000_000 + self.faults.skew_ms.get(venue, 0)


class SimulatedVenue(Protocol):
    """One venue behind its protocols; ``<adapter>/venue.py`` has ``open_venue`` to make it."""

    venue: str
    exchange: Exchange
    hub: Hub
    credentials: dict[str, str]
    recorded: RecordedMarket | None

    def add_routes(self, app: web.Application) -> None:
        """Register the venue's paths."""

    def on_tick(self, tick: int, now_ms: int) -> None:
        """The market moved: publish what is due."""


OpenVenue = Callable[[Context, tuple[Listing, ...]], SimulatedVenue]
OpenRecorded = Callable[[Context, Mapping[str, Sequence[bytes]]], SimulatedVenue]
