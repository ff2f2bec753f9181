"""KuCoin spot's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.audit_port import RestBook
from shared.venues.kucoin.parse import parse_rest_book
from shared.venues.kucoin.session import SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT, snapshot_path
from shared.venues.kucoin.symbols import to_symbol


class KucoinAudit:
    """``GET /api/v1/market/orderbook/level2_100`` with its sequence, the last that it contains."""

    levels, weight = SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT
    is_numbered = True
    qty_tolerance = 0.0

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return snapshot_path(to_symbol(instrument))

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        book = parse_rest_book(body)
        return RestBook(book.bids, book.asks, book.last_id)


AUDIT = KucoinAudit()
