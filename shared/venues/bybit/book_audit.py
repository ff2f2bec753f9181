"""Bybit's REST book, to compare books with. Pure."""

from __future__ import annotations

import msgspec
from msgspec import field

from shared.errors import ParseError
from shared.venues.audit_port import RestBook
from shared.venues.bybit.parse import Levels
from shared.venues.bybit.symbols import category_of, to_symbol
from shared.venues.decoding import decoded


class _Book(msgspec.Struct, frozen=True):
    bids: Levels = field(name="b")
    asks: Levels = field(name="a")


class _Answer(msgspec.Struct, frozen=True):
    """``{"retCode":0,"result":{"s":"BTCUSDT","b":[["65485.47","47.081829"]],"a":[],"ts":..,
    "u":230704,"seq":1432604333}}``."""

    result: _Book | None = None
    code: int = field(name="retCode", default=-1)
    text: str = field(name="retMsg", default="")


_ANSWER = msgspec.json.Decoder(_Answer, strict=False)


class BybitAudit:
    """``GET /v5/market/orderbook``; its ``u`` numbers another topic's frames than ours."""

    levels, weight = 50, 1
    is_numbered = False
    qty_tolerance = 0.0

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        category, symbol = category_of(instrument), to_symbol(instrument)
        return f"/v5/market/orderbook?category={category}&symbol={symbol}&limit={self.levels}"

    def read(self, body: bytes) -> RestBook:
        """Read an answer."""
        answer = decoded(_ANSWER, body, "orderbook")
        if answer.code or answer.result is None:
            raise ParseError(f"orderbook: retCode {answer.code}: {answer.text}")
        return RestBook(answer.result.bids, answer.result.asks, None)


AUDIT = BybitAudit()
