"""The simulated Bybit, wired: exchange, WebSocket v5, REST v5. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding, FundingTerms
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.bybit.simulated.account import AccountData
from shared.venues.bybit.simulated.listing import (
    LISTINGS,
    MORE_LISTINGS,
    VENUE,
    inverse,
    perpetual,
)
from shared.venues.bybit.simulated.market_data import PublicRest
from shared.venues.bybit.simulated.recorded import RecordedBybit, recorded_listing
from shared.venues.bybit.simulated.rest import BybitRest, Credentials
from shared.venues.bybit.simulated.streams import MarketStreams

PRICE_UNIT = Decimal("1e-4")


class Bybit:
    """Perpetuals behind their protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = False  # each topic numbers its own frames
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
        credentials = Credentials(f"{VENUE}-simulated-key", f"{VENUE}-simulated-secret")
        self.credentials = {"apiKey": credentials.key, "secret": credentials.secret}
        self.funding = Funding(
            self.exchange.ledger,
            listings,
            mark=self._mark,
            index=self._index,
            terms=FundingTerms(
                context.funding_interval_ms, rate_interval_ms=context.funding_rate_interval_ms
            ),
        )
        if not recorded:
            self.exchange.before_orders.append(self.funding.settle_before)
        self.public = PublicRest(self.exchange, self.funding)
        account = AccountData(self.exchange, self.funding)
        self._streams = MarketStreams(self.public, self.hub, is_generated=not recorded)
        self.recorded = RecordedBybit(self.exchange, self._streams) if recorded else None
        self._rest = BybitRest(self.public, account, context, credentials)

    def routes(self) -> list[Route]:
        """Return ``/v5`` and the public sockets."""
        return [*self._streams.routes(), RestRoute("/v5/{rest:.*}", self._rest)]

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


def open_venue(context: Context, listings: tuple[Listing, ...]) -> Bybit:
    """Return the venue; without listings it lists its usual ones."""
    return Bybit(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> Bybit:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        template = perpetual(name.base, name.quote, price_scale=8, qty_scale=8, notional_min="5")
        if name.kind is InstrumentKind.INVERSE:
            template = inverse(name.base, price_scale=8)
        listing, grid = recorded_listing(template, payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = Bybit(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
