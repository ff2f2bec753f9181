"""The simulated Gate spot, wired: exchange, WebSocket v4, REST v4. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.instrument import split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import FixedRoute, RestRoute, Route
from shared.venues.gateio.simulated.listing import (
    LISTINGS,
    MORE_LISTINGS,
    VENUE,
    pair,
)
from shared.venues.gateio.simulated.market_data import PublicRest
from shared.venues.gateio.simulated.recorded import RecordedGate, recorded_listing
from shared.venues.gateio.simulated.rest import Credentials, GateRest
from shared.venues.gateio.simulated.streams import MarketStreams

NOT_SIMULATED = (
    "margin/currency_pairs",
    "futures/usdt/contracts",
    "futures/btc/contracts",
    "delivery/usdt/contracts",
    "delivery/btc/contracts",
    "options/underlyings",
    "options/contracts",
)
"""Other markets, of which an unmodified ccxt client asks for the list: there are none."""


class GateSpot:
    """Gate spot behind its protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = True
        self.funding = None
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_asset="",
            start=config.start_balances(listings),
            seed=context.seed,
        )
        self.hub = Hub(VENUE, context)
        credentials = Credentials(f"{VENUE}-simulated-key", f"{VENUE}-simulated-secret")
        self.credentials = {"apiKey": credentials.key, "secret": credentials.secret}
        self.public = PublicRest(self.exchange)
        self._streams = MarketStreams(self.public, self.hub, is_generated=not recorded)
        self.recorded = RecordedGate(self.exchange, self._streams) if recorded else None
        self._rest = GateRest(self.public, context, credentials, self.recorded)

    def routes(self) -> list[Route]:
        """Return ``/api/v4`` and ``/ws/v4/``."""
        return [
            *(FixedRoute(f"/api/v4/{path}", []) for path in NOT_SIMULATED),
            RestRoute("/api/v4/{rest:.*}", self._rest),
            self._streams.route(),
        ]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> GateSpot:
    """Return the venue; without listings it lists its usual ones."""
    return GateSpot(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> GateSpot:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        listing, grid = recorded_listing(pair(name.base, name.quote, 8, 8, "1"), payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = GateSpot(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
