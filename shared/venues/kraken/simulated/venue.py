"""The simulated Kraken spot, wired: exchange, WebSocket v2, REST."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from shared.domain.instrument import split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import Route
from shared.venues.kraken.simulated.listing import (
    LISTINGS,
    MORE_LISTINGS,
    VENUE,
    pair,
)
from shared.venues.kraken.simulated.market_data import PublicRest
from shared.venues.kraken.simulated.recorded import RecordedKraken, recorded_listing
from shared.venues.kraken.simulated.rest import CANCELED, PrivateRest
from shared.venues.kraken.simulated.signing import Credentials, RequestChecks
from shared.venues.kraken.simulated.streams import PublicStreams
from shared.venues.kraken.simulated.streams_private import PrivateStreams
from shared.venues.kraken.simulated.web import RestServer


class KrakenSpot:
    """Kraken spot behind its protocols."""

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
        secret = base64.b64encode(f"{VENUE}-simulated-secret".encode()).decode()
        name = f"{VENUE}-simulated-key"
        credentials = Credentials(name, secret, second_key=f"{name}-2", third_key=f"{name}-3")
        self.credentials = {
            "apiKey": credentials.key,
            "secret": credentials.secret,
            "secondKey": credentials.second_key,
            "thirdKey": credentials.third_key,
        }
        self.rest = PrivateRest(self.exchange, context.faults, RequestChecks(credentials))
        self._rest_server = RestServer(PublicRest(self.exchange), self.rest, context)
        self._public = PublicStreams(self.exchange, self.hub, context, generated=not recorded)
        self.recorded = RecordedKraken(self.exchange, self._public) if recorded else None
        self._private = PrivateStreams(self._public, self.rest)

    def routes(self) -> list[Route]:
        """Return ``/0``, ``/v2`` and ``/auth/v2``."""
        return [*self._rest_server.routes(), self._public.route(), self._private.route()]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._public.on_tick(tick, now_ms)
        if tick % (1_000 // TICK_MS) == 0:
            self.rest.countdowns.fire(now_ms, CANCELED)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> KrakenSpot:
    """Return the venue; without listings it lists its usual ones."""
    return KrakenSpot(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> KrakenSpot:
    """Return the venue for a recording: it lists what was recorded."""
    listings: list[Listing] = []
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        template = pair(name.base, name.quote, price_scale=8, qty_min="0.00000001", cost_min="0.5")
        listings.append(recorded_listing(template, payloads))
    return KrakenSpot(context, tuple(listings), recorded=True)


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
