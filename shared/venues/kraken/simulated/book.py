"""Kraken's book channel: a window of the best levels, truncation without deletes, CRC32. Pure."""

from __future__ import annotations

from zlib import crc32

from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook

DEPTHS = (10, 25, 100, 500, 1000)
CHECKSUM_LEVELS = 10

Rows = list[tuple[int, int]]


def checksum(listing: Listing, asks: Rows, bids: Rows) -> int:
    """Return the CRC32 of the ten best asks then bids, as the venue documents it (v2)."""
    text = "".join(
        _checksum_digits(listing.price_text(price)) + _checksum_digits(listing.qty_text(lots))
        for rows in (asks[:CHECKSUM_LEVELS], bids[:CHECKSUM_LEVELS])
        for price, lots in rows
    )
    return crc32(text.encode())


def _checksum_digits(text: str) -> str:
    return text.replace(".", "").lstrip("0")


class BookWindow:
    """What the subscribers of one depth of one book see."""

    def __init__(self, listing: Listing, book: MatchingBook, depth: int) -> None:
        self.listing, self.book, self.depth = listing, book, depth
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self.restart()

    def restart(self) -> None:
        """Take the present book as what everybody has."""
        self._bids = dict(self.book.bids.depth(self.depth))
        self._asks = dict(self.book.asks.depth(self.depth))

    def snapshot(self, crc_error: int = 0) -> bytes:
        """Return the snapshot frame of what subscribers have."""
        return self._frame(
            "snapshot", list(self._bids.items()), list(self._asks.items()), "", crc_error
        )

    def update(self, timestamp: str, crc_error: int = 0) -> bytes | None:
        """Return the frame that brings subscribers to the present, ``None`` if nothing changed."""
        bids, asks = dict(self.book.bids.depth(self.depth)), dict(self.book.asks.depth(self.depth))
        bid_rows = self._changes(self._bids, bids, self.book.bids.levels)
        ask_rows = self._changes(self._asks, asks, self.book.asks.levels)
        self._bids, self._asks = bids, asks
        if not bid_rows and not ask_rows:
            return None
        return self._frame("update", bid_rows, ask_rows, timestamp, crc_error)

    @staticmethod
    def _changes(before: dict[int, int], after: dict[int, int], levels: object) -> Rows:
        # Levels that fell out of the window but still exist are not deleted: clients truncate.
        assert isinstance(levels, dict)
        gone = [(price, 0) for price in before if price not in after and price not in levels]
        return gone + [(p, lots) for p, lots in after.items() if before.get(p) != lots]

    def _frame(self, kind: str, bids: Rows, asks: Rows, timestamp: str, crc_error: int) -> bytes:
        crc = checksum(self.listing, list(self._asks.items()), list(self._bids.items())) ^ crc_error
        stamp = f',"timestamp":"{timestamp}"' if timestamp else ""
        # Numbers are bare JSON with the venue's decimals kept: the checksum is over this text.
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self.listing.wire_symbol}",'
            f'"bids":[{self._rows(bids)}],"asks":[{self._rows(asks)}],"checksum":{crc}{stamp}}}]}}'
        ).encode()

    def _rows(self, rows: Rows) -> str:
        listing = self.listing
        return ",".join(
            f'{{"price":{listing.price_text(p)},"qty":{listing.qty_text(n)}}}' for p, n in rows
        )
