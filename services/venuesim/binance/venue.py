"""The simulated Binance spot, wired: exchange, streams, REST and WebSocket API."""

from __future__ import annotations

from aiohttp import web

from services.venuesim import config
from services.venuesim.binance.listing import LISTINGS, VENUE
from services.venuesim.binance.rest import SpotRest
from services.venuesim.binance.signing import Credentials
from services.venuesim.binance.streams import MarketStreams
from services.venuesim.binance.web import RestServer
from services.venuesim.binance.wsapi import SpotWebSocketApi
from services.venuesim.exchange import Exchange, FeePolicy
from services.venuesim.hub import Hub
from services.venuesim.listing import Listing
from services.venuesim.venue import Context

MESSAGES_PER_S = 5


class BinanceSpot:
    """Binance spot behind its protocols."""

    def __init__(self, context: Context, listings: tuple[Listing, ...]) -> None:
        self.venue = VENUE
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_policy=FeePolicy("BNB"),
            start=config.start_balances(listings),
            seed=context.seed,
        )
        self.hub = Hub(VENUE, context.faults, lambda: context.venue_ms(VENUE))
        credentials = Credentials(f"{VENUE}-simulated-key", f"{VENUE}-simulated-secret")
        self.credentials = {"apiKey": credentials.key, "secret": credentials.secret}
        self.rest = SpotRest(self.exchange, context.faults, credentials)
        self._streams = MarketStreams(
            self.exchange, self.hub, futures=False, messages_per_s=MESSAGES_PER_S
        )
        self._rest_server = RestServer(self.rest, context)
        self._api = SpotWebSocketApi(self.rest, self.hub, context)

    def add_routes(self, app: web.Application) -> None:
        """Register ``/api/v3``, ``/ws``, ``/stream`` and ``/ws-api/v3``."""
        app.router.add_route("*", "/api/v3/{rest:.*}", self._rest_server.serve)
        app.router.add_get("/ws-api/v3", self._api.serve)
        for path in ("/ws", "/ws/{rest:.*}", "/stream", "/stream/{rest:.*}"):
            app.router.add_get(path, self._streams.serve)

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> BinanceSpot:
    """Return the venue; without listings it lists its usual ones."""
    return BinanceSpot(context, listings or LISTINGS)
