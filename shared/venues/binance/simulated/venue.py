"""The simulated Binance spot, wired: exchange, streams, REST and WebSocket API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.binance.simulated.key_rights import KEY_RIGHTS
from shared.venues.binance.simulated.listing import (
    LISTINGS,
    MORE_LISTINGS,
    VENUE,
    spot,
)
from shared.venues.binance.simulated.other_markets import empty_markets
from shared.venues.binance.simulated.recorded import RecordedBinance, recorded_listings
from shared.venues.binance.simulated.rest import SpotRest
from shared.venues.binance.simulated.signing import Credentials
from shared.venues.binance.simulated.streams import MarketStreams
from shared.venues.binance.simulated.web import RestServer
from shared.venues.binance.simulated.wsapi import SpotWebSocketApi

MESSAGES_PER_S = 5
PING_EVERY_S = 20.0


class BinanceSpot:
    """Binance spot behind its protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = True
        self.funding = None
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_asset="BNB",
            start=config.start_balances(listings),
            seed=context.seed,
            numbers_trades_apart=True,
        )
        self.hub = Hub(VENUE, context)
        self.hub.ping_every_s = PING_EVERY_S
        credentials = Credentials(f"{VENUE}-simulated-key", f"{VENUE}-simulated-secret")
        self.credentials = {"apiKey": credentials.key, "secret": credentials.secret}
        self.rest = SpotRest(self.exchange, context.faults, credentials)
        self._streams = MarketStreams(
            self.exchange,
            self.hub,
            futures=False,
            messages_per_s=MESSAGES_PER_S,
            generated=not recorded,
        )
        self.recorded = RecordedBinance(self.exchange, self.hub) if recorded else None
        self._rest_server = RestServer(self.rest, context, self.recorded)
        self._api = SpotWebSocketApi(self.rest, self.hub, context)

    def routes(self) -> list[Route]:
        """Return ``/api/v3``, ``/ws``, ``/stream``, ``/ws-api/v3``, and empty markets."""
        return [
            *empty_markets(),
            RestRoute("/api/v3/{rest:.*}", self._rest_server),
            RestRoute(KEY_RIGHTS, self._rest_server),
            self._api.route("/ws-api/v3"),
            *self._streams.routes("/ws", "/stream"),
        ]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> BinanceSpot:
    """Return the venue; without listings it lists its usual ones."""
    return BinanceSpot(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> BinanceSpot:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole, shown = recorded_listings(samples, spot)
    venue = BinanceSpot(context, whole, recorded=True)
    venue.rest.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
