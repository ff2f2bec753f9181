"""The simulated OKX spot, wired: exchange, public WebSocket v5, public REST v5. Pure.

Market data only: nothing that needs a key is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.instrument import is_spot, split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Hub
from shared.simulated.port import RestRoute, Route
from shared.venues.okx.simulated.listing import LISTINGS, MORE_LISTINGS, VENUE, pair
from shared.venues.okx.simulated.market_data import ROOT, PublicRest
from shared.venues.okx.simulated.recorded import RecordedOkx, recorded_listing
from shared.venues.okx.simulated.streams import MarketStreams

SERVED = ("public/{rest:.*}", "market/{rest:.*}")


class OkxSpot:
    """OKX spot behind its protocols."""

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
        self.credentials: dict[str, str] = {}
        self.public = PublicRest(self.exchange, context)
        self._streams = MarketStreams(self.public, self.hub, is_generated=not recorded)
        self.recorded = RecordedOkx(self.exchange, self._streams) if recorded else None

    def routes(self) -> list[Route]:
        """Return what is below ``/api/v5`` and the public socket."""
        rest = (RestRoute(ROOT + path, self.public) for path in SERVED)
        return [self._streams.route(), *rest]

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)


def open_venue(context: Context, listings: tuple[Listing, ...]) -> OkxSpot:
    """Return the venue; without listings it lists its usual ones."""
    return OkxSpot(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> OkxSpot:
    """Return the venue for a recording: it lists the pairs recorded, on the grid seen there."""
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        if not is_spot(instrument):
            continue
        name = split_instrument(instrument)
        spot = pair(name.base, name.quote, price_scale=8, qty_scale=8, qty_min="0.00000001")
        listing, grid = recorded_listing(spot, payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    venue = OkxSpot(context, tuple(whole), recorded=True)
    venue.public.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
