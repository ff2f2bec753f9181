"""Gate spot's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.audit_port import RestBook
from shared.venues.gateio.parse import parse_rest_book
from shared.venues.gateio.session import SNAPSHOT_LEVELS, SNAPSHOT_WEIGHT, snapshot_path
from shared.venues.gateio.symbols import to_symbol


class GateAudit:
    """``GET /api/v4/spot/order_book`` with its id, the ``u`` of the last change it contains."""

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


AUDIT = GateAudit()
