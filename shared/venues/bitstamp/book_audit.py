"""Bitstamp's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.audit_port import EVERY_LEVEL, RestBook
from shared.venues.bitstamp.parse import parse_rest_book
from shared.venues.bitstamp.session import SNAPSHOT_WEIGHT, snapshot_path
from shared.venues.bitstamp.symbols import to_symbol


class BitstampAudit:
    """``GET /api/v2/order_book/``, whole; ``microtimestamp`` is that of its last change.

    A change that was lost shows here and nowhere else.
    """

    levels, weight = EVERY_LEVEL, SNAPSHOT_WEIGHT
    is_numbered = True
    qty_tolerance = 0.0

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return snapshot_path(to_symbol(instrument))

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        book = parse_rest_book(body)
        return RestBook(book.bids, book.asks, book.last_id)


AUDIT = BitstampAudit()
