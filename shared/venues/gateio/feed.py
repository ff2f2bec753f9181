"""Gate spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.gateio.session import SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT, GateSession
from shared.venues.gateio.symbols import to_symbol
from shared.venues.port import FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, largest, number, places
from shared.venues.sockets import SpotSockets

FEE_DEFAULT = "0.002"


class GateFeed(SpotSockets):
    """Books and trades over WebSocket v4."""

    venue = "gateio"
    ws_url = "wss://api.gateio.ws"
    rest_url = "https://api.gateio.ws"
    ccxt_id = "gate"
    rest_budget = RestBudget(weight_per_minute=1_200)
    """200 in 10 s for each public endpoint."""
    proof = BookProof(
        rule="numbers: `U` is the last `u` + 1, the first one reaches into the REST book",
        zero=ZERO_REMOVES,
        depth=f"{SNAPSHOT_LEVELS} a side of the REST book; beyond it, what has changed since",
        resync=f"a REST book, weight {SNAPSHOT_WEIGHT} of 1,200 a minute",
        unproved=NO_CHECKSUM,
        numbers_of_book=True,
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES,)
    path, books_name = "/ws/v4/", "spot"
    instruments_per_connection_max = 50

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> GateSession:
        """Return the session of one socket."""
        return GateSession(venue, group, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (currency_pairs).

        ``precision`` and ``amount_precision`` are decimals. The least quantity is the larger of a
        lot and ``min_base_amount``, where the list has it.
        """
        info = market["info"]
        lot = places(info.get("amount_precision"))
        numbers = {
            "tick_size": places(info.get("precision")),
            "lot_size": lot,
            "qty_min": largest([lot, number(info.get("min_base_amount"))]),
            "notional_min": number(info.get("min_quote_amount", 0)),
            "taker_fee_bps": fee_bps(market.get("taker"), FEE_DEFAULT),
            "maker_fee_bps": fee_bps(market.get("maker"), FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        status = info.get("trade_status", "unknown")
        return rules_from(
            venue,
            market["symbol"],
            numbers,
            active=status == "tradable",
            reason=f"status {status}",
        )


FEED = GateFeed()
