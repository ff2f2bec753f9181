"""Coinbase Exchange spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.coinbaseexchange.session import CoinbaseSession
from shared.venues.coinbaseexchange.symbols import to_symbol
from shared.venues.port import FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, number
from shared.venues.sockets import SpotSockets

TAKER_FEE_DEFAULT, MAKER_FEE_DEFAULT = "0.006", "0.004"


class CoinbaseFeed(SpotSockets):
    """Books and trades over the WebSocket feed."""

    venue = "coinbaseexchange"
    ws_url = "wss://ws-feed.exchange.coinbase.com"
    rest_url = "https://api.exchange.coinbase.com"
    ccxt_id = "coinbaseexchange"
    rest_budget = RestBudget(weight_per_minute=600)
    proof = BookProof(
        rule="none: `l2update` has a time and no number; a time that goes back asks for the book "
        "again",
        zero=ZERO_REMOVES,
        depth="all",
        resync="a new subscription on the same connection, no REST",
        unproved="that no change was lost: its books are UNPROVED; " + NO_CHECKSUM,
        is_sequenced=False,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES,)
    path, books_name = "/", "spot"
    instruments_per_connection_max = 20

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> CoinbaseSession:
        """Return the session of one socket."""
        return CoinbaseSession(venue, group, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (products).

        No least quantity is published beside the step, but a least value. Fees are those of
        accounts without volume.
        """
        info = market["info"]
        lot = number(info.get("base_increment"))
        numbers = {
            "tick_size": number(info.get("quote_increment")),
            "lot_size": lot,
            "qty_min": lot,
            "notional_min": number(info.get("min_market_funds") or 0),
            "taker_fee_bps": fee_bps(market.get("taker"), TAKER_FEE_DEFAULT),
            "maker_fee_bps": fee_bps(market.get("maker"), MAKER_FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        reason = _obstacle(info)
        return rules_from(venue, market["symbol"], numbers, active=not reason, reason=reason)


def _obstacle(info: dict[str, Any]) -> str:
    """Return why the product takes no orders as usual, empty if it does."""
    status = info.get("status", "unknown")
    if status != "online":
        return f"status {status}"
    flags = ("trading_disabled", "cancel_only", "post_only", "limit_only", "auction_mode")
    return next((flag for flag in flags if info.get(flag) is True), "")


FEED = CoinbaseFeed()
