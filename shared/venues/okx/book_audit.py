"""OKX's REST book, to compare books with. Pure."""

from __future__ import annotations

import msgspec

from shared.errors import ParseError
from shared.venues.audit_port import RestBook
from shared.venues.decoding import decoded
from shared.venues.okx.checked import plain
from shared.venues.okx.parse import Levels, parse_levels
from shared.venues.okx.symbols import to_symbol


class _Book(msgspec.Struct, frozen=True):
    bids: Levels
    asks: Levels


class _Answer(msgspec.Struct, frozen=True):
    """``{"code":"0","msg":"","data":[{"asks":[["41006.8","0.60038921","0","1"]],"bids":[],
    "ts":"1629966436396","seqId":3235851742}]}``."""

    code: str
    data: list[_Book] = []
    text: str = msgspec.field(name="msg", default="")


_ANSWER = msgspec.json.Decoder(_Answer)


class OkxAudit:
    """``GET /api/v5/market/books``; ours count their messages, whatever ``seqId`` does."""

    levels, weight = 100, 1
    qty_tolerance = 0.0
    is_numbered = False

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return f"/api/v5/market/books?instId={to_symbol(instrument)}&sz={self.levels}"

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        answer = decoded(_ANSWER, body, "market/books")
        if answer.code != "0" or not answer.data:
            raise ParseError(f"market/books: code {answer.code}: {answer.text}")
        book = answer.data[0]
        return RestBook(plain(parse_levels(book.bids)), plain(parse_levels(book.asks)), None)


AUDIT = OkxAudit()
