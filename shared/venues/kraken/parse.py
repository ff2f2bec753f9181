"""Kraken WebSocket v2 frames: bytes to typed values. Pure; bad bytes give ``ParseError`` only.

Prices and quantities are bare JSON numbers whose text the checksum needs, so they are taken raw.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.errors import ParseError
from shared.venues.decoding import decoded
from shared.venues.kraken.checksum import digits, padded

PRICE_MAX = 1e15
QTY_MAX = 1e18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Price = Annotated[float, Meta(gt=0, le=PRICE_MAX)]
Qty = Annotated[float, Meta(ge=0, le=QTY_MAX)]

TextLevel = tuple[float, float, bytes]
"""Price, quantity, and the digits of both for the checksum."""

Precision = tuple[int, int]
"""Decimals of prices and of quantities."""


class RawLevel(msgspec.Struct, frozen=True, gc=False):
    """One level, its numbers still text."""

    price: msgspec.Raw
    qty: msgspec.Raw


class BookData(msgspec.Struct, frozen=True, gc=False):
    """A book, whole or changed levels only.

    ``{"channel":"book","type":"update","data":[{"symbol":"BTC/USD",
    "bids":[{"price":45283.5,"qty":0.10000000}],"asks":[],"checksum":974947235,
    "timestamp":"2023-10-06T17:35:55.440295Z"}]}``; ``type`` is ``snapshot`` for a whole one.
    """

    symbol: str
    bids: list[RawLevel] = []
    asks: list[RawLevel] = []
    checksum: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    timestamp: datetime | None = None


class TradeData(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``side`` is the taker's.

    ``{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell",
    "price":4136.4,"qty":0.23374249,"ord_type":"limit","trade_id":4665906,
    "timestamp":"2023-09-25T07:48:36.925533Z"}]}``
    """

    symbol: str
    side: str
    price: Price
    qty: Qty
    trade_id: int
    timestamp: datetime


class SystemData(msgspec.Struct, frozen=True):
    """The trading engine's state: online, cancel_only, post_only, maintenance."""

    system: str


class SubscribeResult(msgspec.Struct, frozen=True):
    """What a subscription was granted for."""

    channel: str = ""
    symbol: str = ""
    depth: int = 0


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to see what it is.

    ``{"channel":"heartbeat"}``; ``{"method":"subscribe","req_id":1,"result":{"channel":"book",
    "symbol":"BTC/USD","depth":10,"snapshot":true},"success":true,"time_in":..,"time_out":..}``;
    ``{"error":"Currency pair not supported X/Y","method":"subscribe","req_id":1,"success":false,
    "symbol":"X/Y",..}``.
    """

    channel: str | None = None
    method: str | None = None
    success: bool | None = None
    error: str | None = None
    symbol: str | None = None
    result: SubscribeResult | None = None


class BookFrame(msgspec.Struct, frozen=True):
    """The book channel."""

    type: str
    data: list[BookData]


class TradeFrame(msgspec.Struct, frozen=True):
    """The trade channel."""

    type: str
    data: list[TradeData]


class StatusFrame(msgspec.Struct, frozen=True):
    """The status channel."""

    data: list[SystemData]


_BOOK = msgspec.json.Decoder(BookFrame)
_TRADE = msgspec.json.Decoder(TradeFrame)
_STATUS = msgspec.json.Decoder(StatusFrame)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_book(raw: bytes) -> BookFrame:
    """Parse a frame of the book channel."""
    return decoded(_BOOK, raw, "book")


def parse_trades(raw: bytes) -> TradeFrame:
    """Parse a frame of the trade channel."""
    return decoded(_TRADE, raw, "trade")


def parse_status(raw: bytes) -> StatusFrame:
    """Parse a frame of the status channel."""
    return decoded(_STATUS, raw, "status")


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what shows a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")


def parse_levels(levels: list[RawLevel], precision: Precision | None = None) -> list[TextLevel]:
    """Return prices and quantities with the digits they were sent in, in the order sent.

    ``precision``: decimals of price and quantity to restore, where a recorder wrote the numbers
    again (``4.0``, ``1e-05``).

    Raises:
        ParseError: Not numbers, or numbers no market has.
    """
    parsed = []
    for level in levels:
        price_text, qty_text = bytes(level.price), bytes(level.qty)
        try:
            price, qty = float(price_text), float(qty_text)
            text = digits(price_text) + digits(qty_text)
            if precision is not None or not text.isdigit():
                price_decimals, qty_decimals = precision or (None, None)
                text = digits(padded(price_text, price_decimals))
                text += digits(padded(qty_text, qty_decimals))
        except (ValueError, ArithmeticError) as error:
            raise ParseError(f"book: {error}") from error
        if not (0 < price <= PRICE_MAX and 0 <= qty <= QTY_MAX):
            raise ParseError(f"book: a level of price {price} and quantity {qty}")
        parsed.append((price, qty, text))
    return parsed


def unix_ns(time: datetime | None) -> int | None:
    """Return a venue time in UNIX nanoseconds."""
    if time is None:
        return None
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
