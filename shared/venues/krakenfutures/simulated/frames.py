"""Frames of the simulated Kraken Futures: numbers are bare, as at the venue. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.exchange.listing import Listing
from shared.exchange.matching import BookSide, MatchingBook
from shared.exchange.orders import Print
from shared.messages.base import Side


def number(text: str) -> msgspec.Raw:
    """Return a number as it is written."""
    return msgspec.Raw(text.encode())


def levels(listing: Listing, side: BookSide) -> list[dict[str, Any]]:
    """Return every level of a side."""
    return [
        {"price": number(listing.price_text(price)), "qty": number(listing.qty_text(lots))}
        for price, lots in side.depth(len(side.keys))
    ]


def snapshot(listing: Listing, book: MatchingBook, seq: int, now_ms: int) -> bytes:
    """Return a whole book."""
    body = {
        "feed": "book_snapshot",
        "product_id": listing.symbol,
        "timestamp": now_ms,
        "seq": seq,
        "tickSize": None,
        "bids": levels(listing, book.bids),
        "asks": levels(listing, book.asks),
    }
    return msgspec.json.encode(body)


def change(listing: Listing, level: tuple[Side, int, int], seq: int, now_ms: int) -> bytes:
    """Return one changed level: side, ticks, lots."""
    side, price, lots = level
    body = {
        "feed": "book",
        "product_id": listing.symbol,
        "side": side.value,
        "seq": seq,
        "price": number(listing.price_text(price)),
        "qty": number(listing.qty_text(lots)),
        "timestamp": now_ms,
    }
    return msgspec.json.encode(body)


def trade(trade: Print, seq: int) -> dict[str, Any]:
    """Return a public trade; ``seq`` numbers those of its product."""
    return {
        "feed": "trade",
        "product_id": trade.listing.symbol,
        "uid": f"simulated-{trade.listing.symbol}-{trade.trade_id}",
        "side": trade.side.value,
        "type": "fill",
        "seq": seq,
        "time": trade.ts_ms,
        "qty": number(trade.listing.qty_text(trade.lots)),
        "price": number(trade.listing.price_text(trade.ticks)),
    }


def event(name: str, **parts: Any) -> bytes:
    """Return an answer to a request."""
    return msgspec.json.encode({"event": name, **parts})


def as_frame(body: Mapping[str, Any]) -> bytes:
    """Return a frame of these parts."""
    return msgspec.json.encode(body)
