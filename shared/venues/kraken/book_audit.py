"""Kraken's REST book, to compare books with. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.messages.market import Level
from shared.venues.audit_port import RestBook
from shared.venues.decoding import decoded
from shared.venues.kraken.symbols import OLD_NAMES

_Price = Annotated[float, Meta(gt=0, le=1e15)]
_Qty = Annotated[float, Meta(ge=0, le=1e18)]
_Row = tuple[_Price, _Qty, Any]
_OLD_OF = {new: old for old, new in OLD_NAMES.items()}


class _Book(msgspec.Struct, frozen=True):
    bids: list[_Row]
    asks: list[_Row]


class _Answer(msgspec.Struct, frozen=True):
    """``{"error":[],"result":{"XXBTZUSD":{"asks":[["52523.00000","1.199",1616663113]],..}}}``."""

    error: list[str] = field(default_factory=list)
    result: dict[str, _Book] = field(default_factory=dict)


_ANSWER = msgspec.json.Decoder(_Answer, strict=False)


class KrakenAudit:
    """``GET /0/public/Depth``, which has no number, and quantities of three decimals."""

    levels, weight = 100, 1
    is_numbered = False
    qty_tolerance = 0.000_500_1

    def path(self, instrument: str) -> str:
        """Return the path of a book, by the pair's ``altname``: ``XBTUSD`` for BTC/USD."""
        pair = "".join(_OLD_OF.get(asset, asset) for asset in instrument.split("/"))
        return f"/0/public/Depth?pair={pair}&count={self.levels}"

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        answer = decoded(_ANSWER, body, "Depth")
        if answer.error or len(answer.result) != 1:
            raise ParseError(f"Depth: {', '.join(answer.error) or 'no book, or several'}")
        (book,) = answer.result.values()
        return RestBook(_levels(book.bids), _levels(book.asks), None)


def _levels(rows: list[_Row]) -> list[Level]:
    return [(price, qty) for price, qty, _ in rows]


AUDIT = KrakenAudit()
