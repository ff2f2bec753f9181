"""Bitstamp spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.bitstamp.session import SNAPSHOT_WEIGHT, BitstampSession
from shared.venues.bitstamp.symbols import to_symbol
from shared.venues.port import FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, largest, number, places
from shared.venues.sockets import SpotSockets

FEE_DEFAULT = "0.004"


class BitstampFeed(SpotSockets):
    """Books and trades over WebSocket v2."""

    venue = "bitstamp"
    ws_url = "wss://ws.bitstamp.net"
    rest_url = "https://www.bitstamp.net"
    ccxt_id = "bitstamp"
    rest_budget = RestBudget(weight_per_minute=1_000)
    """10,000 requests in ten minutes."""
    proof = BookProof(
        rule="none: times only rise; a REST book is joined where the stream was heard before it",
        zero=ZERO_REMOVES,
        depth="all",
        resync=f"a REST book, weight {SNAPSHOT_WEIGHT} of 1,000 a minute",
        unproved="that no change was lost: its books are UNPROVED; " + NO_CHECKSUM,
        is_sequenced=False,
    )
    lifetime_s = 90 * 24 * 3600.0
    """After 90 days the venue asks for a new connection."""
    extras = (FeedKind.TRADES,)
    path, books_name = "/", "spot"
    instruments_per_connection_max = 50

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> BitstampSession:
        """Return the session of one socket."""
        return BitstampSession(venue, group, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (markets).

        ``counter_decimals`` and ``base_decimals`` are decimals. Fees are those of accounts without
        volume: the list has none.
        """
        info = market["info"]
        lot = places(info.get("base_decimals"))
        numbers = {
            "tick_size": places(info.get("counter_decimals")),
            "lot_size": lot,
            "qty_min": largest([lot, number(info.get("minimum_order_amount"))]),
            "qty_max": number(info.get("maximum_order_amount")),
            "notional_min": number(info.get("minimum_order_value") or 0),
            "taker_fee_bps": fee_bps(None, FEE_DEFAULT),
            "maker_fee_bps": fee_bps(None, FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        status = info.get("trading", "unknown")
        return rules_from(
            venue,
            market["symbol"],
            numbers,
            active=status == "Enabled",
            reason=f"trading {status}",
        )


FEED = BitstampFeed()
