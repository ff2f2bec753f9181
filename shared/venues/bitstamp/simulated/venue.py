"""The simulated Bitstamp spot, wired: exchange, public WebSocket, public REST. Pure.

Market data only: nothing that needs a key is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.instrument import split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.bitstamp.recordings import levels_of
from shared.venues.bitstamp.simulated.listing import LISTINGS, MORE_LISTINGS, VENUE, pair
from shared.venues.bitstamp.simulated.recorded import BitstampFormat
from shared.venues.bitstamp.simulated.rest import PublicRest
from shared.venues.bitstamp.simulated.streams import MarketStreams
from shared.venues.bitstamp.simulated.times import BookTimes
from shared.venues.rest_recorded import RecordedRestBooks, recorded_listing


class BitstampSpot:
    """Bitstamp spot behind its protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = False
        self.funding = None
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_asset="",
            start=config.start_balances(listings),
            seed=context.seed,
        )
        self.hub = Hub(VENUE, context)
        self.credentials: dict[str, str] = {}
        times = BookTimes(VENUE, context)
        self._streams = MarketStreams(self.exchange, self.hub, times, is_generated=not recorded)
        self.recorded = (
            RecordedRestBooks(self.exchange, self.hub, BitstampFormat()) if recorded else None
        )
        self.public = PublicRest(self.exchange, times, self.recorded)

    def routes(self) -> list[Route]:
        """Return ``/api/v2`` and the socket's path."""
        return [RestRoute("/api/v2/{rest:.*}", self.public, "GET"), self._streams.route()]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> BitstampSpot:
    """Return the venue; without listings it lists its usual ones."""
    return BitstampSpot(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> BitstampSpot:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        listing, grid = recorded_listing(
            pair(name.base, name.quote, 8, 8, "10"), payloads, levels_of
        )
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = BitstampSpot(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
