"""OKX spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.okx.checked import DEPTH
from shared.venues.okx.session import OkxSession
from shared.venues.okx.symbols import to_symbol
from shared.venues.port import FeedKind, RestBudget
from shared.venues.proof import ZERO_REMOVES, BookProof
from shared.venues.rules import fee_bps, largest, number
from shared.venues.sockets import SpotSockets

TAKER_FEE_DEFAULT, MAKER_FEE_DEFAULT = "0.0015", "0.001"


class OkxFeed(SpotSockets):
    """Books and trades over WebSocket v5.

    A connection may subscribe and unsubscribe 480 times an hour; 50 instruments leave room to ask
    again.
    """

    venue = "okx"
    ws_url = "wss://ws.okx.com:8443"
    rest_url = "https://www.okx.com"
    ccxt_id = "okx"
    rest_budget = RestBudget(weight_per_minute=600)
    """20 in 2 s for the endpoints of instruments."""
    proof = BookProof(
        rule="numbers: `prevSeqId` is the last `seqId`; where a checksum is sent, the CRC-32 of "
        "the best 25 of each side as well",
        zero=ZERO_REMOVES,
        depth=f"{DEPTH} a side, cut there",
        resync="a new subscription on the same connection; the REST book if no snapshot comes",
        unproved="quantities and prices where the checksum is 0, as it is since 2026",
    )
    lifetime_s = 24 * 3600.0
    extras = (FeedKind.TRADES,)
    path, books_name = "/ws/v5/public", "spot"
    instruments_per_connection_max = 50

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> OkxSession:
        """Return the session of one socket."""
        return OkxSession(venue, group, kind=kind)

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (public/instruments).

        The venue has no least value of an order. Fees are those of accounts without volume: the
        list has none.
        """
        info = market["info"]
        lot = number(info.get("lotSz"))
        numbers = {
            "tick_size": number(info.get("tickSz")),
            "lot_size": lot,
            "qty_min": largest([lot, number(info.get("minSz"))]),
            "qty_max": number(info.get("maxLmtSz")),
            "notional_min": Decimal(0),
            "taker_fee_bps": fee_bps(None, TAKER_FEE_DEFAULT),
            "maker_fee_bps": fee_bps(None, MAKER_FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        status = info.get("state", "unknown")
        return rules_from(
            venue, market["symbol"], numbers, active=status == "live", reason=f"status {status}"
        )


FEED = OkxFeed()
