"""Binance USDT-M futures as the ingestor needs it: routed sockets, streams, rules. Pure.

Since 2026-04 depth is served on ``/public``, aggregate trades and mark prices on ``/market``. A
stream on the wrong one is acknowledged and then never arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.messages.rules import InstrumentRules
from shared.venues.binance.feed import market_rules, stream_sockets
from shared.venues.binance.session import Dialect
from shared.venues.binanceusdm import parse
from shared.venues.binanceusdm.sequence import SEQUENCE
from shared.venues.binanceusdm.symbols import to_symbol
from shared.venues.funding import FundingDialect
from shared.venues.port import FeedConnection, FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.sockets import venue_symbols

PUBLIC_STREAMS = ("depth@0ms",)
"""0 ms: each change as it happens, 20 to 100 a second on the busiest instrument."""
MARKET_STREAMS = {FeedKind.TRADES: ("aggTrade",), FeedKind.FUNDING: ("markPrice@1s",)}
SNAPSHOT_LEVELS = 1_000
HISTORY_ROWS = 30
"""Settlements asked for: ten days of the usual interval."""

DIALECT = Dialect(
    sequence=SEQUENCE,
    parse_depth=parse.parse_depth,
    funding=FundingDialect(
        parse_mark=parse.parse_mark,
        parse_terms=parse.parse_terms,
        parse_history=parse.parse_history,
        terms_path="/fapi/v1/fundingInfo",
        history_path=lambda symbol: f"/fapi/v1/fundingRate?symbol={symbol}&limit={HISTORY_ROWS}",
    ),
    snapshot_path=lambda symbol: f"/fapi/v1/depth?symbol={symbol}&limit={SNAPSHOT_LEVELS}",
    snapshot_weight=20,
    snapshot_levels=SNAPSHOT_LEVELS,
)


class BinanceUsdmFeed:
    """Perpetual market data: books, trades and funding on a socket each."""

    venue = "binanceusdm"
    ws_url = "wss://fstream.binance.com"
    rest_url = "https://fapi.binance.com"
    ccxt_id = "binanceusdm"
    rest_budget = RestBudget(weight_per_minute=2_400)
    proof = BookProof(
        rule="numbers: `pu` is the last `u`, the first one reaches into the REST book",
        zero=ZERO_REMOVES,
        depth=f"{SNAPSHOT_LEVELS} a side of the REST book; beyond it, what has changed since; "
        "no RPI orders",
        resync=f"a REST book, weight {DIALECT.snapshot_weight} of 2,400 a minute",
        unproved=NO_CHECKSUM,
        numbers_of_book=True,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES, FeedKind.FUNDING)

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the ``/public`` sockets.

        Raises:
            ConfigError: A spot instrument.
        """
        return self._sockets(venue, instruments, FeedKind.DEPTH, "public", PUBLIC_STREAMS)

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the ``/market`` sockets of trades, or of funding.

        Raises:
            ConfigError: A spot instrument.
        """
        return self._sockets(venue, instruments, kind, "market", MARKET_STREAMS[kind])

    def _sockets(
        self,
        venue: str,
        instruments: Sequence[str],
        kind: FeedKind,
        route: str,
        streams: Sequence[str],
    ) -> list[FeedConnection]:
        symbols = venue_symbols(venue, instruments, to_symbol)
        name = route if kind is FeedKind.DEPTH else kind.value
        return stream_sockets(
            venue, symbols, DIALECT, kind, streams, name=name, path=f"/{route}/stream"
        )

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market."""
        return market_rules(venue, market)


FEED = BinanceUsdmFeed()
