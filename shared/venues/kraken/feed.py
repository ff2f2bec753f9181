"""Kraken spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.kraken.session import KrakenSession
from shared.venues.kraken.symbols import to_instrument, to_symbol
from shared.venues.port import FeedKind, RestBudget
from shared.venues.proof import BookProof
from shared.venues.rules import NO_NUMBER, common_step, fee_bps, number, places
from shared.venues.sockets import SpotSockets

DEPTH = 100
"""Subscribed levels; the venue offers 10, 25, 100, 500, 1000."""
FEE_DEFAULT = "0.004"


class KrakenFeed(SpotSockets):
    """Books and trades over WebSocket v2."""

    venue = "kraken"
    ws_url = "wss://ws.kraken.com"
    rest_url = "https://api.kraken.com"
    ccxt_id = "kraken"
    rest_budget = RestBudget(weight_per_minute=60)
    proof = BookProof(
        rule="CRC-32 of the best 10 of each side, with every message",
        zero="removes the level; levels that fall out of the subscribed depth are not told",
        depth=f"{DEPTH} a side, cut there",
        resync="a new subscription on the same connection, no REST",
        unproved="levels 11 and beyond",
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES,)
    path, books_name = "/v2", "v2"
    instruments_per_connection_max = 50

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> KrakenSession:
        """Return the session of one socket."""
        return KrakenSession(venue, group, DEPTH, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market: its ``wsname``, in v2."""
        return to_instrument(str(market["info"].get("wsname") or "")) or ""

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (AssetPairs).

        ``tick_size`` is the price step where given; ``pair_decimals`` are how many digits are
        accepted. Fees are the base tier of the pair's own ladders, in percent: ccxt's constants
        are stale.
        """
        info = market["info"]
        lot = places(info.get("lot_decimals"))
        tick = number(info.get("tick_size"))
        digits = places(info.get("pair_decimals"))
        numbers = {
            # Zero is documented as no rule nowhere: such a tick stays what it is, unusable.
            "tick_size": tick if tick == 0 else common_step([tick, digits]),
            "lot_size": lot,
            "qty_min": number(info.get("ordermin", lot)),
            "notional_min": number(info.get("costmin", 0)),
            "taker_fee_bps": _base_tier_bps(info.get("fees"), market.get("taker")),
            "maker_fee_bps": _base_tier_bps(info.get("fees_maker"), market.get("maker")),
            "contract_size": Decimal(1),
        }
        status = info.get("status", "online")
        return rules_from(
            venue,
            market["symbol"],
            numbers,
            active=status == "online",
            reason=f"status {status}",
        )


def _base_tier_bps(ladder: Any, fraction: float | None) -> Decimal | None:
    """Return the fee at no volume: ladder entries are (volume, percent)."""
    if not ladder:
        return fee_bps(fraction, FEE_DEFAULT)
    try:
        _, percent = min((Decimal(str(volume)), fee) for volume, fee in ladder)
    except (TypeError, ValueError, InvalidOperation):
        return NO_NUMBER
    told = number(percent)
    return told if told is None else told * 100


FEED = KrakenFeed()
