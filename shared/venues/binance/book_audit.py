"""Binance spot's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.audit_port import RestBook
from shared.venues.binance.parse import parse_rest_book
from shared.venues.binance.symbols import to_symbol


class BinanceAudit:
    """``GET /api/v3/depth``: ``lastUpdateId`` is the ``u`` of the last change it contains."""

    levels, weight = 100, 5
    is_numbered = True
    qty_tolerance = 0.0

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return f"/api/v3/depth?symbol={to_symbol(instrument)}&limit={self.levels}"

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        book = parse_rest_book(body)
        return RestBook(book.bids, book.asks, book.last_id)


AUDIT = BinanceAudit()
