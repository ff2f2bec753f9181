"""Levels of a simulated book as a venue writes them: price and quantity as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.exchange.listing import Listing
from shared.exchange.matching import BookSide
from shared.messages.base import Side


def rows(listing: Listing, side: BookSide, depth: int) -> list[tuple[str, str]]:
    """Return price and quantity of the best levels as text."""
    return [
        (listing.price_text(price), listing.qty_text(lots)) for price, lots in side.depth(depth)
    ]


def side_rows(
    listing: Listing, changed: Mapping[tuple[Side, int], int]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return changed bids and asks as text; ``changed`` maps side and price to lots."""
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    for (side, price), lots in changed.items():
        row = (listing.price_text(price), listing.qty_text(lots))
        (bids if side is Side.BUY else asks).append(row)
    return bids, asks
