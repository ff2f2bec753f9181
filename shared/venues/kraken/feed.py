"""Kraken spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.domain.instrument import InstrumentRules
from shared.errors import ConfigError
from shared.venues.kraken.session import KrakenSession
from shared.venues.kraken.symbols import to_symbol
from shared.venues.port import FeedConnection, RestBudget

DEPTH = 100
"""Subscribed levels; the venue offers 10, 25, 100, 500, 1000."""
INSTRUMENTS_PER_CONNECTION_MAX = 50


class KrakenFeed:
    """Books and trades over WebSocket v2."""

    venue = "kraken"
    ws_url = "wss://ws.kraken.com"
    rest_url = "https://api.kraken.com"
    ccxt_id = "kraken"
    rest_budget = RestBudget(weight_per_minute=60)
    lifetime_s = 24 * 3600.0

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        try:
            symbols = [(to_symbol(instrument), instrument) for instrument in instruments]
        except ValueError as error:
            raise ConfigError(f"venue {venue}: {error}") from error
        sockets = []
        for start in range(0, len(symbols), INSTRUMENTS_PER_CONNECTION_MAX):
            group = dict(symbols[start : start + INSTRUMENTS_PER_CONNECTION_MAX])
            session = KrakenSession(venue, group, DEPTH)
            name = f"v2-{start // INSTRUMENTS_PER_CONNECTION_MAX}"
            sockets.append(FeedConnection(venue, "/v2", tuple(group.values()), session, name))
        return sockets

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (AssetPairs).

        ``tick_size`` is the price step where given (``pair_decimals`` are only how many digits are
        accepted). Fees are the base tier of the pair's own ladders, in percent: ccxt's constants
        are stale.

        Raises:
            ConfigError: The venue did not send the pair's limits.
        """
        info = market["info"]
        try:
            tick = info.get("tick_size") or Decimal(1).scaleb(-int(info["pair_decimals"]))
            lot = Decimal(1).scaleb(-int(info["lot_decimals"]))
        except KeyError as error:
            raise ConfigError(f"venue {venue}: {market['symbol']} has no {error}") from error
        return InstrumentRules(
            venue=venue,
            instrument=market["symbol"],
            tick_size=Decimal(tick),
            lot_size=lot,
            qty_min=Decimal(info.get("ordermin") or lot),
            notional_min=Decimal(info.get("costmin") or 0),
            taker_fee_bps=_base_tier_bps(info.get("fees"), market.get("taker")),
            maker_fee_bps=_base_tier_bps(info.get("fees_maker"), market.get("maker")),
            active=info.get("status", "online") == "online",
        )


def _base_tier_bps(ladder: list[list[Any]] | None, fraction: float | None) -> Decimal:
    """Return the fee at no volume: ladder entries are (volume, percent)."""
    if ladder:
        return Decimal(str(ladder[0][1])) * 100
    return Decimal(str(0.004 if fraction is None else fraction)) * 10_000


FEED = KrakenFeed()
