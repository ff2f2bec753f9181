"""KuCoin spot as the ingestor needs it: sockets, rules, fees. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from shared.messages.rules import InstrumentRules, rules_from
from shared.venues.kucoin.session import (
    BULLET_PATH,
    BULLET_WEIGHT,
    SNAPSHOT_LEVELS,
    SNAPSHOT_WEIGHT,
    KucoinSession,
)
from shared.venues.kucoin.symbols import to_symbol
from shared.venues.port import AskedAddress, FeedConnection, FeedKind, RestBudget
from shared.venues.proof import NO_CHECKSUM, BookProof
from shared.venues.rules import fee_bps, largest, number
from shared.venues.sockets import SpotSockets

FEE_DEFAULT = "0.001"


class KucoinFeed(SpotSockets):
    """Books and trades; every connection first asks where to connect."""

    venue = "kucoin"
    ws_url = "wss://ws-api-spot.kucoin.com"
    """Only where another one is configured: else the venue says where to connect."""
    rest_url = "https://api.kucoin.com"
    ccxt_id = "kucoin"
    rest_budget = RestBudget(weight_per_minute=4_000)
    """2000 in 30 s for public requests."""
    proof = BookProof(
        rule="numbers: `sequenceStart` is at most the last `sequenceEnd` + 1; the same of the REST "
        "book",
        zero="removes the level; a price of 0 only moves the number",
        depth=f"{SNAPSHOT_LEVELS} a side of the REST book; beyond it, what has changed since",
        resync=f"a REST book, weight {SNAPSHOT_WEIGHT} of 4,000 a minute",
        unproved=NO_CHECKSUM,
        numbers_of_book=True,
    )
    lifetime_s = 24 * 3600.0
    """As long as a token."""
    extras = (FeedKind.TRADES,)
    path, books_name = "/endpoint", "spot"
    instruments_per_connection_max = 50
    """Each is subscribed by a message of its own, and 100 of those are taken in 10 s."""

    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> KucoinSession:
        """Return the session of one socket."""
        return KucoinSession(venue, group, kind=kind, connect_id=f"{kind.value}-{min(group)}")

    def _sockets(
        self, venue: str, instruments: Sequence[str], kind: FeedKind, name: str
    ) -> list[FeedConnection]:
        return [
            replace(each, address=_address_of(each))
            for each in super()._sockets(venue, instruments, kind, name)
        ]

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market."""
        return str(market["id"])

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""
        return to_symbol(instrument)

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return the rules of a ccxt market's ``info`` (symbols).

        The least value of an order is ``minFunds``; older lists have only ``quoteMinSize``. Fees
        are those of accounts without volume, by the class of the symbol.
        """
        info = market["info"]
        lot = number(info.get("baseIncrement"))
        notional_min = info.get("minFunds") or info.get("quoteMinSize") or 0
        numbers = {
            "tick_size": number(info.get("priceIncrement")),
            "lot_size": lot,
            "qty_min": largest([lot, number(info.get("baseMinSize"))]),
            "qty_max": number(info.get("baseMaxSize")),
            "notional_min": number(notional_min),
            "taker_fee_bps": fee_bps(market.get("taker"), FEE_DEFAULT),
            "maker_fee_bps": fee_bps(market.get("maker"), FEE_DEFAULT),
            "contract_size": Decimal(1),
        }
        return rules_from(
            venue,
            market["symbol"],
            numbers,
            active=info.get("enableTrading") is True,
            reason=f"enableTrading {info.get('enableTrading')}",
        )


def _address_of(connection: FeedConnection) -> AskedAddress:
    session = connection.session
    assert isinstance(session, KucoinSession), "made above"
    return AskedAddress(BULLET_PATH, BULLET_WEIGHT, session.read_address)


FEED = KucoinFeed()
