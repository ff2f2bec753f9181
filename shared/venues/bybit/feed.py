"""Bybit's perpetuals as the ingestor needs them: sockets, rules, fees. Pure.

One venue with a path for each category, and one account for both. A quantity of an inverse
contract is in quote units, one contract being one dollar: so are its books, orders and positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.bybit.session import DEPTH, BybitSession
from shared.venues.bybit.symbols import CATEGORIES, LINEAR, category_of, to_symbol
from shared.venues.port import FeedConnection, FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, largest, number
from shared.venues.sockets import groups_of, sockets_of, venue_symbols

INSTRUMENTS_PER_CONNECTION_MAX = 50
"""The arguments of all subscriptions of a connection may have 21,000 characters."""
TAKER_FEE_DEFAULT, MAKER_FEE_DEFAULT = "0.00055", "0.0002"
TRADES_NORMALLY = ("", "ContinuousTrading", "Finished")
"""Phases of a pre-market contract in which its book is like any other's."""


class BybitFeed:
    """Books, trades and funding over WebSocket v5."""

    venue = "bybit"
    ws_url = "wss://stream.bybit.com"
    rest_url = "https://api.bybit.com"
    ccxt_id = "bybit"
    rest_budget = RestBudget(weight_per_minute=7_200)
    """600 in 5 s."""
    proof = BookProof(
        rule="numbers: `u` is the last one + 1; a snapshot begins anew",
        zero=ZERO_REMOVES,
        depth=f"{DEPTH} a side, cut there",
        resync="a new subscription on the same connection, no REST",
        unproved=NO_CHECKSUM,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES, FeedKind.FUNDING)

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets of books.

        Raises:
            ConfigError: An instrument that is no perpetual.
        """
        return self._sockets(venue, instruments, FeedKind.DEPTH)

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the sockets of trades, or of funding.

        Raises:
            ConfigError: An instrument that is no perpetual.
        """
        return self._sockets(venue, instruments, kind)

    def _sockets(
        self, venue: str, instruments: Sequence[str], kind: FeedKind
    ) -> list[FeedConnection]:
        symbols = venue_symbols(venue, instruments, to_symbol)
        found: list[FeedConnection] = []
        for category in CATEGORIES:
            found += self._sockets_in(venue, symbols, kind, category)
        return found

    def _sockets_in(
        self, venue: str, symbols: Mapping[str, str], kind: FeedKind, category: str
    ) -> list[FeedConnection]:
        here = {symbol: name for symbol, name in symbols.items() if category_of(name) == category}

        def session_of(group: dict[str, str]) -> BybitSession:
            return BybitSession(venue, group, category, kind=kind)

        name = kind.value if category == LINEAR else f"{category} {kind.value}"
        if kind is FeedKind.DEPTH:
            name = category
        groups = groups_of(here, INSTRUMENTS_PER_CONNECTION_MAX) if here else []
        return sockets_of(
            venue, groups, session_of, path=f"/v5/public/{category}", name=name, kind=kind
        )

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (instruments-info).

        Fees are those of accounts without volume: the list has none, and ccxt's are stale.
        """
        info = market["info"]
        sizes, prices = info.get("lotSizeFilter") or {}, info.get("priceFilter") or {}
        lot = number(sizes.get("qtyStep"))
        numbers = {
            "tick_size": number(prices.get("tickSize")),
            "lot_size": lot,
            "qty_min": largest([lot, number(sizes.get("minOrderQty"))]),
            "qty_max": number(sizes.get("maxOrderQty")),
            "notional_min": number(sizes.get("minNotionalValue") or 0),
            "taker_fee_bps": fee_bps(info.get("takerFee"), TAKER_FEE_DEFAULT),
            "maker_fee_bps": fee_bps(info.get("makerFee"), MAKER_FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        reason = _obstacle(info)
        return rules_from(venue, market["symbol"], numbers, active=not reason, reason=reason)


def _obstacle(info: dict[str, Any]) -> str:
    """Return why the instrument takes no orders as usual, empty if it does."""
    status = info.get("status", "unknown")
    if status != "Trading":  # PreLaunch, Settling, Delivering, Closed
        return f"status {status}"
    phase = (info.get("preListingInfo") or {}).get("curAuctionPhase") or ""
    return "" if phase in TRADES_NORMALLY else f"pre-market phase {phase}"


FEED = BybitFeed()
