"""The simulated Coinbase Exchange, wired: exchange, public WebSocket, public REST. Pure.

Market data only: orders are not served.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from shared.domain.instrument import split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.coinbaseexchange.simulated.listing import LISTINGS, MORE_LISTINGS, VENUE, pair
from shared.venues.coinbaseexchange.simulated.recorded import RecordedCoinbase, recorded_listing
from shared.venues.coinbaseexchange.simulated.rest import PublicRest
from shared.venues.coinbaseexchange.simulated.streams import Credentials, MarketStreams


class CoinbaseExchange:
    """Spot behind its protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = False  # updates have no number
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
        credentials = Credentials(f"{VENUE}-simulated-key", secret, "simulated-passphrase")
        self.credentials = {
            "apiKey": credentials.key,
            "secret": credentials.secret,
            "password": credentials.passphrase,
        }
        self.public = PublicRest(self.exchange, context)
        self._streams = MarketStreams(self.public, self.hub, credentials, is_generated=not recorded)
        self.recorded = RecordedCoinbase(self.exchange, self._streams) if recorded else None

    def routes(self) -> list[Route]:
        """Return the public REST and the one socket."""
        paths = ("/time", "/currencies", "/products", "/products/{rest:.*}")
        return [self._streams.route(), *(RestRoute(path, self.public, "GET") for path in paths)]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> CoinbaseExchange:
    """Return the venue; without listings it lists its usual ones."""
    return CoinbaseExchange(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> CoinbaseExchange:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        listing, grid = recorded_listing(pair(name.base, name.quote, 8, 8, "1"), payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = CoinbaseExchange(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
