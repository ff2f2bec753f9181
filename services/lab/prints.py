"""Public trades of a world: others trade at every move; most of it is published."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from services.lab.publishing import publish
from shared.errors import BusUnavailable
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.messages.base import MarketMessage, Side
from shared.messages.market import Trade, TradesMissed

if TYPE_CHECKING:
    from services.lab.world import World

_MS = 1_000_000
TRADE_CHANCE = 0.9
"""That somebody trades in a book at one move."""
NOTIONAL = (10.0, 700.0)
LOST_CHANCE = 0.01
"""That what was traded since the last move is lost on its way."""


class PublicTrades:
    """The public trades of all venues, ours among them."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, Random(f"{world.seed}/prints")
        self._printed: list[Print] = []
        self._missed = False
        """Whether trades were lost that nobody has been told of."""
        for exchange in world.exchanges.values():
            exchange.print_listeners.append(self._printed.append)

    def on_move(self) -> None:
        """Tell what was traded since the last move, and let others trade once more."""
        self._tell()
        for exchange in self._world.exchanges.values():
            for listing in exchange.by_instrument.values():
                if self._random.random() < TRADE_CHANCE:
                    self._trade(exchange, listing)

    def _trade(self, exchange: Exchange, listing: Listing) -> None:
        side = self._random.choice((Side.BUY, Side.SELL))
        worth = self._random.uniform(*NOTIONAL) / self._world.prices[listing.base]
        lots = max(1, int(worth / float(listing.lot)))
        exchange.background_trade(listing, side, lots, self._world.kernel.now_ns() // _MS)

    def _tell(self) -> None:
        printed, self._printed[:] = list(self._printed), ()
        if self._world.chaos.is_on and self._random.random() < LOST_CHANCE:
            self._world.chaos.fault("public trades are lost")
            self._missed = True
            return
        now_ns = self._world.kernel.now_ns()
        told: list[MarketMessage] = self._missing(now_ns) if self._missed else []
        told += [_trade_of(each, now_ns) for each in printed]
        if not told:
            return
        try:
            publish(self._world, "ingestor", told)
            self._missed = False
        except BusUnavailable:
            self._missed = True

    def _missing(self, now_ns: int) -> list[MarketMessage]:
        return [
            TradesMissed(venue=venue, instrument=name, ongoing=False, ts_recv_ns=now_ns)
            for venue, exchange in self._world.exchanges.items()
            for name in exchange.by_instrument
        ]


def _trade_of(told: Print, now_ns: int) -> Trade:
    return Trade(
        venue=told.listing.venue,
        instrument=told.listing.instrument,
        trade_id=str(told.trade_id),
        side=told.side,
        price=float(told.listing.price(told.ticks)),
        qty=float(told.listing.qty(told.lots)),
        ts_recv_ns=now_ns,
        ts_venue_ns=told.ts_ms * _MS,
    )
