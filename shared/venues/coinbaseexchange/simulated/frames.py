"""Frames of the simulated Coinbase Exchange. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook
from shared.exchange.orders import Print
from shared.exchange.rows import rows
from shared.messages.base import Side


def encoded(**body: Any) -> bytes:
    """Return a frame of these parts."""
    return msgspec.json.encode(body)


def stamp(at_ms: int) -> str:
    """Return a time as the venue writes it."""
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def snapshot(listing: Listing, book: MatchingBook, now_ms: int) -> bytes:
    """Return a whole book."""
    return encoded(
        type="snapshot",
        product_id=listing.symbol,
        asks=rows(listing, book.asks, len(book.asks.keys)),
        bids=rows(listing, book.bids, len(book.bids.keys)),
        time=stamp(now_ms),
    )


def update(listing: Listing, levels: list[tuple[Side, int, int]], now_ms: int) -> bytes:
    """Return changed levels: side, ticks, lots."""
    changes = [
        (side.value, listing.price_text(price), listing.qty_text(lots))
        for side, price, lots in levels
    ]
    return encoded(type="l2update", product_id=listing.symbol, changes=changes, time=stamp(now_ms))


def maker_side(trade: Print) -> str:
    """Return the side that rested, which the venue tells."""
    return (Side.SELL if trade.side is Side.BUY else Side.BUY).value


def match(trade: Print, trade_id: int, sequence: int, kind: str = "match") -> bytes:
    """Return a trade."""
    listing = trade.listing
    return encoded(
        type=kind,
        trade_id=trade_id,
        maker_order_id=f"00000000-0000-4000-8000-{2 * trade_id:012d}",
        taker_order_id=f"00000000-0000-4000-8000-{2 * trade_id + 1:012d}",
        side=maker_side(trade),
        size=listing.qty_text(trade.lots),
        price=listing.price_text(trade.ticks),
        product_id=listing.symbol,
        sequence=sequence,
        time=stamp(trade.ts_ms),
    )
