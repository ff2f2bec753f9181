"""Binance frames: bytes to typed values. Pure; bad bytes give ``ParseError`` and nothing else.

Numbers arrive as strings and are decoded straight to floats in C; bounds are checked there too, so
that NaN, infinities, negative or absurd numbers never reach a book. Only what is needed is decoded.
Every decoder expects the combined-stream wrapper ``{"stream":..,"data":..}``; ``unwrapped`` gives a
raw frame the same shape.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
"""In the unit that the connection asked for, see ``times.py``."""
Levels = list[tuple[Price, Qty]]

T = TypeVar("T")

MARKET = "MARKET"
"""What futures call a trade between two orders of the book."""

_ABSENT = msgspec.Raw(b"")
"""Raw cannot be optional; an absent field is empty."""


class DepthUpdate(msgspec.Struct, frozen=True, gc=False):
    """A diff-depth event.

    ``{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,
    "b":[["61730.17000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}``
    """

    symbol: str = field(name="s")
    first_id: Id = field(name="U")
    last_id: Id = field(name="u")
    bids: Levels = field(name="b")
    asks: Levels = field(name="a")
    ts_venue: VenueTime = field(name="E")
    prev_id: int = -1


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``m``: the buyer was the maker, so the taker sold.

    ``{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000",
    "q":"0.02000000","T":1723161255342,"m":true,"M":true}``; futures say ``"X":"MARKET"``, or what
    else it was (``INSURANCE_FUND``, ``ADL``, ``NA``), and write such prints also with zeros.
    """

    symbol: str = field(name="s")
    trade_id: Id = field(name="t")
    price: Qty = field(name="p")
    qty: Qty = field(name="q")
    ts_venue: VenueTime = field(name="T")
    is_buyer_maker: bool = field(name="m")
    kind: str = field(name="X", default=MARKET)


class AggregateTrade(msgspec.Struct, frozen=True, gc=False):
    """What one order traded at one price; ``f`` and ``l`` are its first and last trade id.

    ``{"e":"aggTrade","E":1723161255343,"s":"BTCUSDT","a":2312345678,"p":"61800.30","q":"0.020",
    "f":5266605240,"l":5266605247,"T":1723161255342,"m":true}``; futures leave out what the
    insurance fund and ADL traded.
    """

    symbol: str = field(name="s")
    trade_id: Id = field(name="a")
    price: Qty = field(name="p")
    qty: Qty = field(name="q")
    first_id: Id = field(name="f")
    last_id: Id = field(name="l")
    ts_venue: VenueTime = field(name="T")
    is_buyer_maker: bool = field(name="m")


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask (spot carries no time and no event name); an empty side has zeros.

    ``{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",
    "a":"61837.64000000","A":"1.54698000"}``
    """

    symbol: str = field(name="s")
    update_id: Id = field(name="u")
    bid: Qty = field(name="b")
    bid_qty: Qty = field(name="B")
    ask: Qty = field(name="a")
    ask_qty: Qty = field(name="A")


class RestBook(msgspec.Struct, frozen=True, gc=False):
    """A REST order book.

    ``{"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[]}``
    """

    last_id: Id = field(name="lastUpdateId")
    bids: Levels
    asks: Levels
    ts_venue: VenueTime | None = field(name="E", default=None)


class VenueFault(msgspec.Struct, frozen=True):
    """The body of an error answer."""

    code: int = 0
    msg: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to see what it is.

    Acknowledgement ``{"result":null,"id":1}``, error ``{"code":2,"msg":"..","id":1}`` or
    ``{"error":{"code":2,"msg":".."},"id":1}``, announcement ``{"e":"serverShutdown","E":..}``.
    """

    stream: str | None = None
    data: msgspec.Raw = _ABSENT
    event: str | None = field(name="e", default=None)
    best_bid_qty: msgspec.Raw = field(name="B", default=_ABSENT)
    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    error: VenueFault | None = None


class _Wrapped(msgspec.Struct, frozen=True, gc=False):
    """Base of the combined-stream wrapper; the stream's name is skipped."""


class _DepthFrame(_Wrapped, frozen=True, gc=False):
    data: DepthUpdate


class _TradeFrame(_Wrapped, frozen=True, gc=False):
    data: TradePrint


class _AggregateFrame(_Wrapped, frozen=True, gc=False):
    data: AggregateTrade


class _TickerFrame(_Wrapped, frozen=True, gc=False):
    data: Ticker


_DEPTH = msgspec.json.Decoder(_DepthFrame, strict=False)
_TRADE = msgspec.json.Decoder(_TradeFrame, strict=False)
_AGGREGATE = msgspec.json.Decoder(_AggregateFrame, strict=False)
_TICKER = msgspec.json.Decoder(_TickerFrame, strict=False)
_REST_BOOK = msgspec.json.Decoder(RestBook, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes, what: str) -> T:
    """Decode; every error about the bytes becomes a ``ParseError``.

    Raises:
        ParseError: Not JSON, not UTF-8, nested absurdly deep, or not the documented shape.
    """
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise ParseError(f"{what}: {error}") from error


def parse_depth(raw: bytes) -> DepthUpdate:
    """Parse a wrapped diff-depth event."""
    try:  # not by ``decode``: a call less on the hottest path
        return _DEPTH.decode(raw).data
    except (ValueError, RecursionError) as error:
        raise ParseError(f"depthUpdate: {error}") from error


def parse_trade(raw: bytes) -> TradePrint:
    """Parse a wrapped trade; a spent trade id comes with price and quantity 0 (futures)."""
    return decode(_TRADE, raw, "trade").data


def parse_aggregate(raw: bytes) -> AggregateTrade:
    """Parse a wrapped aggregate trade."""
    return decode(_AGGREGATE, raw, "aggTrade").data


def parse_ticker(raw: bytes) -> Ticker:
    """Parse a wrapped book ticker."""
    return decode(_TICKER, raw, "bookTicker").data


def parse_rest_book(body: bytes) -> RestBook:
    """Parse the answer to a depth request."""
    return decode(_REST_BOOK, body, "order book")


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what shows a frame's kind."""
    return decode(_ENVELOPE, raw, "frame")


def unwrapped(raw: bytes) -> bytes:
    """Give a raw frame the shape of the combined stream."""
    return b'{"data":' + raw + b"}"
