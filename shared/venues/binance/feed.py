"""Binance spot as the ingestor needs it: sockets, streams, rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.binance import parse
from shared.venues.binance.sequence import SEQUENCE
from shared.venues.binance.session import STREAMS_PER_CONNECTION_MAX, Dialect, StreamSession
from shared.venues.binance.symbols import to_symbol
from shared.venues.port import FeedConnection, FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import common_step, fee_bps, largest, number, places, smallest
from shared.venues.sockets import groups_of, sockets_of, venue_symbols

STREAMS, TRADE_STREAMS = ("depth@100ms",), ("trade",)
"""100 ms is the fastest depth there is on spot."""
SNAPSHOT_LEVELS = 1_000

DIALECT = Dialect(
    sequence=SEQUENCE,
    parse_depth=parse.parse_depth,
    funding=None,
    snapshot_path=lambda symbol: f"/api/v3/depth?symbol={symbol}&limit={SNAPSHOT_LEVELS}",
    snapshot_weight=50,
    snapshot_levels=SNAPSHOT_LEVELS,
)


class BinanceFeed:
    """Spot market data over combined streams."""

    venue = "binance"
    ws_url = "wss://stream.binance.com:9443"
    rest_url = "https://api.binance.com"
    ccxt_id = "binance"
    rest_budget = RestBudget(weight_per_minute=6_000)
    proof = BookProof(
        rule="numbers: `U` is the last `u` + 1, the first one reaches into the REST book",
        zero=ZERO_REMOVES,
        depth=f"{SNAPSHOT_LEVELS} a side of the REST book; beyond it, what has changed since",
        resync=f"a REST book, weight {DIALECT.snapshot_weight} of 6,000 a minute",
        unproved=NO_CHECKSUM,
        numbers_of_book=True,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES,)

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return as few sockets as hold all streams.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        return self._sockets(venue, instruments, FeedKind.DEPTH, STREAMS, "spot")

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the sockets of trades.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        return self._sockets(venue, instruments, kind, TRADE_STREAMS, kind.value)

    def _sockets(
        self,
        venue: str,
        instruments: Sequence[str],
        kind: FeedKind,
        streams: Sequence[str],
        name: str,
    ) -> list[FeedConnection]:
        symbols = venue_symbols(venue, instruments, to_symbol)
        return stream_sockets(venue, symbols, DIALECT, kind, streams, name=name)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market."""
        return market_rules(venue, market)


def stream_sockets(
    venue: str,
    symbols: Mapping[str, str],
    dialect: Dialect,
    kind: FeedKind,
    streams: Sequence[str],
    *,
    name: str,
    path: str = "/stream",
) -> list[FeedConnection]:
    """Return sockets of combined streams; every symbol has each of ``streams``."""

    def session_of(group: dict[str, str]) -> StreamSession:
        return StreamSession(venue, dialect, streams_of(group, streams), group, kind=kind)

    groups = groups_of(symbols, STREAMS_PER_CONNECTION_MAX // len(streams))
    return sockets_of(venue, groups, session_of, path=path, name=name, kind=kind)


def streams_of(symbols: dict[str, str], kinds: Sequence[str]) -> dict[str, list[str]]:
    """Return instrument -> stream names."""
    return {
        instrument: [f"{symbol.lower()}@{kind}" for kind in kinds]
        for symbol, instrument in symbols.items()
    }


PRICE_FILTERS, LOT_FILTERS = ("PRICE_FILTER",), ("LOT_SIZE",)
NOTIONAL_FILTERS = ("NOTIONAL", "MIN_NOTIONAL")
"""A symbol may have both; an order must satisfy every filter."""
FEE_DEFAULT = "0.001"


def market_rules(venue: str, market: dict[str, Any]) -> InstrumentRules:
    """Return rules from a ccxt market's ``info.filters`` (exchangeInfo).

    ``pricePrecision`` is not the tick: ``PRICE_FILTER.tickSize`` is. Zero there disables the rule
    (binance-spot-api-docs filters.md), and only the digits a price may have are left. The minimum
    notional is ``minNotional``, which futures spell ``notional``.
    """
    info = market["info"]
    filters = [entry for entry in info.get("filters") or () if isinstance(entry, dict)]

    def told(kinds: Sequence[str], *fields: str) -> list[Decimal | None]:
        found = [entry for entry in filters if entry.get("filterType") in kinds]
        return [number(entry.get(field)) for entry in found for field in fields]

    ticks = told(PRICE_FILTERS, "tickSize")
    if ticks and not any(ticks):
        ticks.append(places(info.get("quotePrecision", info.get("pricePrecision"))))
    notional_min = largest(told(NOTIONAL_FILTERS, "minNotional", "notional"))
    contract_size = market.get("contractSize")
    numbers = {
        "tick_size": common_step(ticks),
        "lot_size": common_step(told(LOT_FILTERS, "stepSize")),
        "qty_min": largest(told(LOT_FILTERS, "minQty")),
        "qty_max": smallest(told(LOT_FILTERS, "maxQty")),
        "notional_min": Decimal(0) if notional_min is None else notional_min,
        "taker_fee_bps": fee_bps(market.get("taker"), FEE_DEFAULT),
        "maker_fee_bps": fee_bps(market.get("maker"), FEE_DEFAULT),
        "contract_size": number(1 if contract_size is None else contract_size),
    }
    active, status = bool(market.get("active", True)), info.get("status", "unknown")
    return rules_from(venue, market["symbol"], numbers, active=active, reason=f"status {status}")


FEED = BinanceFeed()
