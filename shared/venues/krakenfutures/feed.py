"""Kraken Futures' perpetuals as the ingestor needs them: sockets, rules, fees. Pure.

A quantity of a linear product (``PF_``) is in base units, of an inverse one (``PI_``) in dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.krakenfutures.session import KrakenFuturesSession
from shared.venues.krakenfutures.symbols import to_symbol
from shared.venues.port import FeedConnection, FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, number, places
from shared.venues.sockets import groups_of, sockets_of, venue_symbols

INSTRUMENTS_PER_CONNECTION_MAX = 50
TAKER_FEE_DEFAULT, MAKER_FEE_DEFAULT = "0.0005", "0.0002"


class KrakenFuturesFeed:
    """Books, trades, marks and funding over the derivatives' WebSocket v1."""

    venue = "krakenfutures"
    ws_url = "wss://futures.kraken.com"
    rest_url = "https://futures.kraken.com"
    ccxt_id = "krakenfutures"
    rest_budget = RestBudget(weight_per_minute=60)
    proof = BookProof(
        rule="numbers: `seq` of the product is the last one + 1; a snapshot begins anew",
        zero=ZERO_REMOVES,
        depth="all",
        resync="a new subscription on the same connection, no REST",
        unproved=NO_CHECKSUM,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES, FeedKind.FUNDING)

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets of books.

        Raises:
            ConfigError: An instrument that is no perpetual quoted in dollars.
        """
        return self._sockets(venue, instruments, FeedKind.DEPTH, "books")

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the sockets of trades, or of marks and funding.

        Raises:
            ConfigError: An instrument that is no perpetual quoted in dollars.
        """
        return self._sockets(venue, instruments, kind, kind.value)

    def _sockets(
        self, venue: str, instruments: Sequence[str], kind: FeedKind, name: str
    ) -> list[FeedConnection]:
        symbols = venue_symbols(venue, instruments, to_symbol)

        def session_of(group: dict[str, str]) -> KrakenFuturesSession:
            return KrakenFuturesSession(venue, group, kind=kind)

        groups = groups_of(symbols, INSTRUMENTS_PER_CONNECTION_MAX)
        return sockets_of(venue, groups, session_of, path="/ws/v1", name=name, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"]).upper()

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (instruments).

        No least order is published: the least is a step of quantity. Fees are those of accounts
        without volume.
        """
        info = market["info"]
        lot = places(info.get("contractValueTradePrecision"))
        size = number(info.get("contractSize"))
        numbers = {
            "tick_size": number(info.get("tickSize")),
            "lot_size": lot,
            "qty_min": lot,
            "notional_min": Decimal(0),
            "taker_fee_bps": fee_bps(market.get("taker"), TAKER_FEE_DEFAULT),
            "maker_fee_bps": fee_bps(market.get("maker"), MAKER_FEE_DEFAULT),
            "contract_size": size,
        }
        reason = _obstacle(info, size)
        return rules_from(venue, market["symbol"], numbers, active=not reason, reason=reason)


def _obstacle(info: dict[str, Any], size: Decimal | None) -> str:
    """Return why the instrument takes no orders as usual, empty if it does."""
    if size is not None and size.is_finite() and size != 1:
        return f"a contract is {size} units; quantities here are in units"
    if info.get("tradeable") is not True:
        return "not tradeable"
    return "post-only mode" if info.get("postOnly") is True else ""


FEED = KrakenFuturesFeed()
