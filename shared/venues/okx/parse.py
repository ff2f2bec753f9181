"""OKX v5 frames: bytes to typed values. Pure; bad bytes give ``ParseError`` only.

Prices and sizes are text, which the checksum is over: levels keep it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.decoding import decoded
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
Number = Annotated[str, Meta(min_length=1, max_length=40)]
Sequence = Annotated[int, Meta(ge=-1, le=2**62)]
Levels = list[Annotated[list[Number], Meta(min_length=2, max_length=8)]]
"""As sent: price, size, a retired field, orders."""
TextLevel = tuple[float, float, str]
"""Price, size, and both as the checksum wants them: ``price:size``."""

FINAL_CODES = frozenset({"51001", "60018"})
"""The instrument or the channel does not exist; any other refusal may pass."""


class BookRow(msgspec.Struct, frozen=True, gc=False):
    """A book, whole or changed levels; a level is price, size, a retired field, orders.

    ``{"asks":[["30238.8","3","0","1"]],"bids":[],"ts":"1652459236119","checksum":664471393}``,
    since 2023 with ``"seqId":123457,"prevSeqId":123456``.
    """

    bids: Levels
    asks: Levels
    ts_text: Annotated[str, Meta(max_length=20)] = field(name="ts")
    checksum: Annotated[int, Meta(ge=-(2**31), lt=2**31)] | None = None
    seq: Sequence | None = field(name="seqId", default=None)
    prev_seq: Sequence | None = field(name="prevSeqId", default=None)

    @property
    def ts_venue(self) -> int:
        """When the venue made it, ms."""
        return int(self.ts_text)


class Arg(msgspec.Struct, frozen=True, gc=False):
    """What was subscribed."""

    channel: str = ""
    symbol: str = field(name="instId", default="")


class BookFrame(msgspec.Struct, frozen=True, gc=False):
    """A frame of ``books``."""

    arg: Arg
    action: str
    data: list[BookRow]


class _BookAnswer(msgspec.Struct, frozen=True):
    """``{"code":"0","msg":"","data":[{"asks":[["41006.8","0.60038921","0","1"]],"bids":[],
    "ts":"1629966436396","seqId":3235851742}]}``."""

    code: str
    data: list[BookRow] = []
    text: str = field(name="msg", default="")


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade: what one taker's order took at one price; ``side`` is the taker's.

    ``{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy",
    "ts":"1630048897897","count":"3"}``
    """

    trade_id: Annotated[str, Meta(min_length=1, max_length=64)] = field(name="tradeId")
    symbol: str = field(name="instId")
    side: str
    price: Price = field(name="px")
    qty: Price = field(name="sz")
    ts_venue: VenueTime = field(name="ts")


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3"}``;
    refused with ``{"id":"1","event":"error","code":"60018","msg":"...","connId":"a4d3"}``.
    """

    arg: Arg = Arg()
    event: str = ""
    code: str = ""
    text: str = field(name="msg", default="")
    request: Any = field(name="id", default=None)


class _TradeFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[TradePrint]


_BOOK = msgspec.json.Decoder(BookFrame)
_REST_BOOK = msgspec.json.Decoder(_BookAnswer)
_TRADE = msgspec.json.Decoder(_TradeFrame, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_book(raw: bytes) -> BookFrame:
    """Parse a frame of ``books``."""
    frame = decoded(_BOOK, raw, "books")
    _check_times(frame.data)
    return frame


def parse_rest_book(body: bytes) -> BookRow:
    """Parse the answer of ``market/books``; a refusal comes with HTTP 200, too."""
    answer = decoded(_REST_BOOK, body, "market/books")
    if answer.code != "0" or not answer.data:
        raise ParseError(f"market/books: code {answer.code}: {answer.text}")
    _check_times(answer.data)
    return answer.data[0]


def _check_times(rows: list[BookRow]) -> None:
    if not all(row.ts_text.isascii() and row.ts_text.isdigit() for row in rows):
        raise ParseError("books: ts is no time in ms")


def parse_levels(levels: Levels) -> list[TextLevel]:
    """Return levels as numbers beside their text.

    Raises:
        ParseError: One is not a price and a size.
    """
    found: list[TextLevel] = []
    for level in levels:
        price_text, qty_text = level[0], level[1]
        try:
            price, qty = float(price_text), float(qty_text)
        except ValueError as error:
            raise ParseError(f"books: level {level[:2]} is no price and size") from error
        if not (0 < price <= 1e15 and 0 <= qty <= 1e18):
            raise ParseError(f"books: level {level[:2]} is no price and size")
        found.append((price, qty, f"{price_text}:{qty_text}"))
    return found


def parse_trades(raw: bytes) -> list[TradePrint]:
    """Parse a frame of ``trades``."""
    return decoded(_TRADE, raw, "trades").data


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")
