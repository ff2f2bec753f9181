"""Binance USDT-M futures as the ingestor needs it: routed sockets, streams, rules. Pure.

Since 2026-04 depth and trades are served on ``/public`` and mark prices on ``/market``. A stream on
the wrong one is acknowledged and then never arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.messages.rules import InstrumentRules
from shared.venues.binance.feed import groups_of, market_rules, streams_of, venue_symbols
from shared.venues.binance.session import Dialect, StreamSession
from shared.venues.binanceusdm import parse
from shared.venues.binanceusdm.sequence import SEQUENCE
from shared.venues.binanceusdm.symbols import to_symbol
from shared.venues.port import FeedConnection, RestBudget

PUBLIC_STREAMS = ("depth@0ms", "trade")
"""0 ms: each change as it happens, 20 to 100 a second on the busiest instrument."""
MARKET_STREAMS = ("markPrice@1s",)
SNAPSHOT_LEVELS = 1_000

DIALECT = Dialect(
    sequence=SEQUENCE,
    parse_depth=parse.parse_depth,
    parse_mark=parse.parse_mark,
    snapshot_path=lambda symbol: f"/fapi/v1/depth?symbol={symbol}&limit={SNAPSHOT_LEVELS}",
    snapshot_weight=20,
    snapshot_levels=SNAPSHOT_LEVELS,
)


class BinanceUsdmFeed:
    """Perpetual market data: books and trades on one socket, funding on another."""

    venue = "binanceusdm"
    ws_url = "wss://fstream.binance.com"
    rest_url = "https://fapi.binance.com"
    ccxt_id = "binanceusdm"
    rest_budget = RestBudget(weight_per_minute=2_400)
    lifetime_s = 24 * 3600.0

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the ``/public`` and the ``/market`` sockets.

        Raises:
            ConfigError: A spot instrument.
        """
        symbols = venue_symbols(venue, instruments, to_symbol)
        return [
            *self._sockets(venue, symbols, "public", PUBLIC_STREAMS),
            *self._sockets(venue, symbols, "market", MARKET_STREAMS),
        ]

    def _sockets(
        self, venue: str, symbols: dict[str, str], route: str, kinds: Sequence[str]
    ) -> list[FeedConnection]:
        sockets = []
        for number, group in enumerate(groups_of(symbols, kinds)):
            session = StreamSession(
                venue, DIALECT, streams_of(group, kinds), group, has_books=route == "public"
            )
            name = f"{route}-{number}"
            sockets.append(
                FeedConnection(venue, f"/{route}/stream", tuple(group.values()), session, name)
            )
        return sockets

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
