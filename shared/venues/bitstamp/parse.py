"""Bitstamp WebSocket v2 frames and REST books: bytes to typed values. Pure.

Bad bytes give ``ParseError`` only. Numbers arrive as strings and are decoded straight to floats in
C, where their bounds are checked.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.decoding import decoded
from shared.venues.times import MICROS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Micros = Annotated[int, Meta(gt=0, le=MICROS_MAX)]
Levels = list[tuple[Price, Qty]]


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """Changed levels of ``diff_order_book``; amount 0 deletes. Only its time orders it.

    ``{"timestamp":"1641343691","microtimestamp":"1641343691406478",
    "bids":[["3802.90","0.60000000"]],"asks":[["3804.34","0.00000000"]]}``
    """

    last_id: Micros = field(name="microtimestamp")
    bids: Levels
    asks: Levels
    second: int | None = field(name="timestamp", default=None)
    prev_id: int = -1

    def check_times(self) -> None:
        """Check that both times are of one second.

        Raises:
            ParseError: They are not.
        """
        if self.second is not None and self.second != self.last_id // 1_000_000:
            raise ParseError(
                f"diff_order_book: microtimestamp {self.last_id} is not within the second of "
                f"timestamp {self.second}"
            )

    @property
    def first_id(self) -> int:
        """It has no range: one time."""
        return self.last_id

    @property
    def ts_venue(self) -> int:
        """The same time."""
        return self.last_id


class RestBook(BookUpdate, frozen=True, gc=False):
    """The answer to ``/api/v2/order_book/btcusd/``, of the same shape, with every level."""


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade of ``live_trades``; ``type`` is the taker's side, 0 buys and 1 sells.

    ``{"buy_order_id":1207733769326592,"amount_str":"0.14406384","timestamp":"1583691851",
    "microtimestamp":"1583691851934000","id":106833903,"amount":0.14406384,
    "sell_order_id":1207733765476352,"price_str":"8302.92","type":0,"price":8302.92}``
    """

    trade_id: int = field(name="id")
    type: Annotated[int, Meta(ge=0, le=1)]
    price: Price
    qty: Price = field(name="amount")
    ts_venue: Micros = field(name="microtimestamp")


class Envelope(msgspec.Struct, frozen=True):
    """Any frame; ``data`` stays as it came.

    ``{"event":"bts:subscription_succeeded","channel":"diff_order_book_ethusd","data":{}}``,
    ``{"event":"bts:request_reconnect","channel":"","data":""}``,
    ``{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription
    string."}}``.
    """

    event: str = ""
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _Fault(msgspec.Struct, frozen=True):
    message: Any = ""


_BOOK = msgspec.json.Decoder(BookUpdate, strict=False)
_TRADE = msgspec.json.Decoder(TradePrint, strict=False)
_REST_BOOK = msgspec.json.Decoder(RestBook, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_FAULT = msgspec.json.Decoder(_Fault)


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")


def parse_book(data: msgspec.Raw) -> BookUpdate:
    """Parse the data of ``diff_order_book``."""
    return decoded(_BOOK, bytes(data), "diff_order_book")


def parse_trade(data: msgspec.Raw) -> TradePrint:
    """Parse the data of ``live_trades``."""
    return decoded(_TRADE, bytes(data), "live_trades")


def parse_rest_book(body: bytes) -> RestBook:
    """Parse a REST order book."""
    return decoded(_REST_BOOK, body, "order_book")


def fault_of(data: msgspec.Raw) -> str:
    """Return the message of a ``bts:error``; empty where it has none."""
    try:
        return str(_FAULT.decode(data).message)
    except (ValueError, RecursionError):
        return ""
