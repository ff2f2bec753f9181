"""Binance spot as the ingestor needs it: sockets, streams, rules. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.domain.instrument import InstrumentRules
from shared.errors import ConfigError
from shared.venues.binance import parse
from shared.venues.binance.sequence import SEQUENCE
from shared.venues.binance.session import STREAMS_PER_CONNECTION_MAX, Dialect, StreamSession
from shared.venues.binance.symbols import to_symbol
from shared.venues.port import FeedConnection, RestBudget

STREAMS = ("depth@100ms", "trade")
"""100 ms is the fastest depth there is on spot."""
SNAPSHOT_LEVELS = 1_000

DIALECT = Dialect(
    sequence=SEQUENCE,
    parse_depth=parse.parse_depth,
    parse_mark=None,
    snapshot_path=lambda symbol: f"/api/v3/depth?symbol={symbol}&limit={SNAPSHOT_LEVELS}",
    snapshot_weight=50,
)


class BinanceFeed:
    """Spot market data over combined streams."""

    venue = "binance"
    ws_url = "wss://stream.binance.com:9443"
    rest_url = "https://api.binance.com"
    ccxt_id = "binance"
    rest_budget = RestBudget(weight_per_minute=6_000)
    lifetime_s = 24 * 3600.0

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return as few sockets as hold all streams.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        per_connection = STREAMS_PER_CONNECTION_MAX // len(STREAMS)
        symbols = venue_symbols(venue, instruments, to_symbol)
        groups = [
            dict(list(symbols.items())[start : start + per_connection])
            for start in range(0, len(symbols), per_connection)
        ]
        return [
            FeedConnection(
                venue,
                "/stream",
                tuple(group.values()),
                self.session(venue, group),
                f"spot-{number}",
            )
            for number, group in enumerate(groups)
        ]

    def session(self, venue: str, symbols: dict[str, str]) -> StreamSession:
        """Return the session of one socket; ``symbols`` maps the venue's spelling to ours."""
        return StreamSession(venue, DIALECT, streams_of(symbols, STREAMS), symbols)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market."""
        return market_rules(venue, market)


def venue_symbols(venue: str, instruments: Sequence[str], to_symbol: Any) -> dict[str, str]:
    """Return the venue's spelling -> instrument, in order and without repeats.

    Raises:
        ConfigError: An instrument the venue cannot have.
    """
    try:
        return {to_symbol(instrument): instrument for instrument in instruments}
    except ValueError as error:
        raise ConfigError(f"venue {venue}: {error}") from error


def streams_of(symbols: dict[str, str], kinds: Sequence[str]) -> dict[str, list[str]]:
    """Return instrument -> stream names."""
    return {
        instrument: [f"{symbol.lower()}@{kind}" for kind in kinds]
        for symbol, instrument in symbols.items()
    }


def market_rules(venue: str, market: dict[str, Any]) -> InstrumentRules:
    """Return rules from a ccxt market's ``info.filters`` (exchangeInfo).

    ``pricePrecision`` is not the tick: ``PRICE_FILTER.tickSize`` is. The minimum notional is
    ``NOTIONAL.minNotional`` or the older ``MIN_NOTIONAL``, which futures spell ``notional``.

    Raises:
        ConfigError: The venue did not send the filters.
    """
    filters = {entry["filterType"]: entry for entry in market["info"].get("filters", ())}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if price is None or lot is None:
        raise ConfigError(f"venue {venue}: {market['symbol']} has no PRICE_FILTER or LOT_SIZE")
    least = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return InstrumentRules(
        venue=venue,
        instrument=market["symbol"],
        tick_size=Decimal(price["tickSize"]),
        lot_size=Decimal(lot["stepSize"]),
        qty_min=Decimal(lot["minQty"]),
        notional_min=Decimal(least.get("minNotional") or least.get("notional") or "0"),
        taker_fee_bps=fee_bps(market.get("taker")),
        maker_fee_bps=fee_bps(market.get("maker")),
        contract_size=Decimal(str(market.get("contractSize") or 1)),
        active=bool(market.get("active", True)),
    )


def fee_bps(fraction: float | None) -> Decimal:
    """Return a ccxt fee (a fraction of the notional) in basis points; an unknown one is 0.1 %."""
    return Decimal(str(0.001 if fraction is None else fraction)) * 10_000


FEED = BinanceFeed()
