"""The simulated Kraken Futures, wired: exchange, public WebSocket, public REST. Pure.

Market data only: nothing that needs a key is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from shared.exchange.exchange import Exchange
from shared.exchange.funding import HOUR_MS, Funding, FundingTerms
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.krakenfutures.simulated.listing import LISTINGS, MORE_LISTINGS, VENUE, future
from shared.venues.krakenfutures.simulated.market_data import PublicRest
from shared.venues.krakenfutures.simulated.recorded import RecordedKrakenFutures, recorded_listing
from shared.venues.krakenfutures.simulated.streams import MarketStreams

PRICE_UNIT = Decimal("1e-4")


class KrakenFutures:
    """Perpetuals behind their protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = False  # each product numbers its own frames
        self._context = context
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_asset="",
            start={
                asset: config.START_BALANCES.get(asset, config.START_BALANCE_OTHER)
                for asset in dict.fromkeys(listing.settle for listing in listings)
            },
            seed=context.seed,
        )
        self.hub = Hub(VENUE, context)
        self.credentials: dict[str, str] = {}
        self.funding = Funding(
            self.exchange.ledger,
            listings,
            mark=self._mark,
            index=self._index,
            terms=FundingTerms(HOUR_MS),  # never compressed: frames could not tell another interval
        )
        self.public = PublicRest(self.exchange, self.funding, context)
        self._streams = MarketStreams(self.public, self.hub, is_generated=not recorded)
        self.recorded = RecordedKrakenFutures(self.exchange, self._streams) if recorded else None

    def routes(self) -> list[Route]:
        """Return the public REST and the one socket."""
        return [
            self._streams.route(),
            RestRoute("/derivatives/api/v3/{rest:.*}", self.public),
            RestRoute("/api/history/v3/market/{symbol}/executions", self.public),
        ]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        if self.recorded is None and tick % (1_000 // TICK_MS) == 0:
            self.funding.on_time(now_ms)
        self._streams.on_tick(tick, now_ms)

    def _mark(self, listing: Listing) -> Decimal:
        fair = self._context.fair(VENUE, listing.base)
        return Decimal(repr(fair)).quantize(PRICE_UNIT)

    def _index(self, listing: Listing) -> Decimal:
        index = self._context.index
        if index is None:
            return self._mark(listing)
        return Decimal(repr(index(listing.base))).quantize(PRICE_UNIT)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> KrakenFutures:
    """Return the venue; without listings it lists its usual ones."""
    return KrakenFutures(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> KrakenFutures:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        template = future(instrument, price_scale=8, qty_scale=8)
        listing, grid = recorded_listing(template, payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = KrakenFutures(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
