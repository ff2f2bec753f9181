"""Gate WebSocket v4 frames: bytes to typed values. Pure; bad bytes give ``ParseError`` only.

Numbers arrive as strings and are decoded straight to floats in C, where their bounds are checked.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from shared.venues.decoding import decoded
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
VenueMillis = Annotated[float, Meta(ge=0, le=4e12)]
Levels = list[tuple[Price, Qty]]


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """Changed levels.

    ``{"t":1619093532989,"e":"depthUpdate","E":1619093532,"s":"FAST_USDT","U":2154186,
    "u":2154192,"b":[["0.0447","0"]],"a":[["0.04521","2287.1"]]}``; a side may be null.
    """

    symbol: str = field(name="s")
    first_id: Id = field(name="U")
    last_id: Id = field(name="u")
    ts_venue: VenueTime = field(name="t")
    told_bids: Levels | None = field(name="b", default=None)
    told_asks: Levels | None = field(name="a", default=None)
    prev_id: int = -1

    @property
    def bids(self) -> Levels:
        """Changed bids."""
        return self.told_bids or []

    @property
    def asks(self) -> Levels:
        """Changed asks."""
        return self.told_asks or []


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``side`` is the taker's.

    ``{"id":3130257995,"create_time":1648725035,"create_time_ms":"1648725035923.0","side":"sell",
    "currency_pair":"LTC_USDT","amount":"0.0116","price":"130.11"}``
    """

    trade_id: Id = field(name="id")
    symbol: str = field(name="currency_pair")
    side: str
    price: Price
    qty: Price = field(name="amount")
    ts_venue: VenueMillis = field(name="create_time_ms")


class RestBook(msgspec.Struct, frozen=True, gc=False):
    """The answer to ``/spot/order_book?with_id=true``.

    ``{"id":2691446,"current":1619093533764,"update":1619093533012,
    "asks":[["0.00010396","5876.967"]],"bids":[["0.00010322","5360.209"]]}``
    """

    last_id: Id = field(name="id")
    bids: Levels
    asks: Levels
    ts_venue: VenueTime | None = field(name="update", default=None)


class VenueFault(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    code: int = 0
    message: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"time":1649062304,"id":1,"channel":"spot.trades","event":"subscribe",
    "result":{"status":"success"}}``; refused with ``"error":{"code":2,"message":"unknown currency
    pair: X_USDT"}``.
    """

    channel: str = ""
    event: str = ""
    id: Any = None
    error: VenueFault | None = None


class _BookFrame(msgspec.Struct, frozen=True, gc=False):
    result: BookUpdate


class _TradeFrame(msgspec.Struct, frozen=True, gc=False):
    result: TradePrint | list[TradePrint]


_BOOK = msgspec.json.Decoder(_BookFrame, strict=False)
_TRADE = msgspec.json.Decoder(_TradeFrame, strict=False)
_REST_BOOK = msgspec.json.Decoder(RestBook, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_book(raw: bytes) -> BookUpdate:
    """Parse an update of ``spot.order_book_update``."""
    return decoded(_BOOK, raw, "order_book_update").result


def parse_trades(raw: bytes) -> list[TradePrint]:
    """Parse an update of ``spot.trades``: one trade, or a list of them."""
    found = decoded(_TRADE, raw, "trades").result
    return found if isinstance(found, list) else [found]


def parse_rest_book(body: bytes) -> RestBook:
    """Parse a REST order book."""
    return decoded(_REST_BOOK, body, "order book")


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")
