"""OKX's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.audit_port import RestBook
from shared.venues.okx.checked import plain
from shared.venues.okx.parse import parse_levels, parse_rest_book
from shared.venues.okx.session import rest_book_path
from shared.venues.okx.symbols import to_symbol


class OkxAudit:
    """``GET /api/v5/market/books``; ours count their messages, whatever ``seqId`` does."""

    levels, weight = 100, 1
    qty_tolerance = 0.0
    is_numbered = False

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return rest_book_path(to_symbol(instrument), self.levels)

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        row = parse_rest_book(body)
        return RestBook(plain(parse_levels(row.bids)), plain(parse_levels(row.asks)), None)


AUDIT = OkxAudit()
