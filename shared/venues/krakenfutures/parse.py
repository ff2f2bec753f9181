"""Kraken Futures frames: bytes to typed values. Pure; bad bytes give ``ParseError`` only."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from shared.venues.decoding import decoded
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Seq = Annotated[int, Meta(ge=0, le=2**62)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
Rate = Annotated[float, Meta(ge=-10, le=10)]
TakerSide = Literal["buy", "sell"]


class Level(msgspec.Struct, frozen=True, gc=False):
    """One level of a snapshot."""

    price: Price
    qty: Qty


class BookSnapshotFrame(msgspec.Struct, frozen=True, gc=False):
    """A whole book.

    ``{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,
    "tickSize":null,"bids":[{"price":34892.5,"qty":6385.0}],"asks":[{"price":34911.5,"qty":20598.0}]}``
    """

    product_id: str
    seq: Seq
    bids: list[Level]
    asks: list[Level]
    timestamp: VenueTime | None = None


class BookFrame(msgspec.Struct, frozen=True, gc=False):
    """One changed level.

    ``{"feed":"book","product_id":"PI_ETHUSD","side":"sell","seq":26660860,"price":2004.85,
    "qty":4787.0,"timestamp":1626994927744}``
    """

    product_id: str
    side: TakerSide
    seq: Seq
    price: Price
    qty: Qty
    timestamp: VenueTime | None = None


class TradeFrame(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``side`` is the taker's, ``seq`` numbers the product's trades.

    ``{"feed":"trade","product_id":"PI_LTCUSD","uid":"e2429e31-8b9d-4195-900e-fd42be2dec89",
    "side":"buy","type":"fill","seq":5956,"time":1626994929946,"qty":320.0,"price":119.44}``
    """

    product_id: str
    trade_id: Annotated[str, Meta(min_length=1, max_length=64)] = field(name="uid")
    side: TakerSide
    seq: Seq
    time: VenueTime
    qty: Annotated[float, Meta(gt=0, le=1e18)]
    price: Price
    type: str = "fill"


class TradeSnapshotFrame(msgspec.Struct, frozen=True, gc=False):
    """The last trades from before the subscription, the newest first: only their numbers count."""

    class Numbered(msgspec.Struct, frozen=True, gc=False):
        """A trade, as far as it is read."""

        seq: Seq

    product_id: str
    trades: list[Numbered]


class TickerFrame(msgspec.Struct, frozen=True, gc=False):
    """Mark, index and funding of a product; a dated future has no rates.

    ``funding_rate`` is absolute (of a linear product quote units for one base unit and hour, of an
    inverse one coins for one dollar), so it is not read; ``relative_funding_rate`` is the fraction
    of the notional that an hour costs.

    ``{"feed":"ticker","time":1680811086487,"product_id":"PI_XBTUSD","funding_rate":7.792297e-12,
    "relative_funding_rate":2.18013888889e-7,"next_funding_rate_time":1680811200000,"bid":28060,
    "ask":28070,"index":28062.14,"suspended":false,"markPrice":28064.92082724592}``
    """

    product_id: str
    time: VenueTime
    mark_price: Price | None = field(name="markPrice", default=None)
    index_price: Qty | None = field(name="index", default=None)
    relative_rate: Rate | None = field(name="relative_funding_rate", default=None)
    next_time: VenueTime | None = field(name="next_funding_rate_time", default=None)


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"event":"subscribed","feed":"book","product_ids":["PF_XBTUSD"]}``; refused with
    ``{"event":"subscribed_failed",...}``, ``{"event":"error","message":"Invalid product id"}`` or
    ``{"event":"alert","message":"..."}``.
    """

    event: str = ""
    feed: str = ""
    product_ids: list[str] = []
    message: str = ""


_SNAPSHOT = msgspec.json.Decoder(BookSnapshotFrame)
_BOOK = msgspec.json.Decoder(BookFrame)
_TRADE = msgspec.json.Decoder(TradeFrame)
_TRADES = msgspec.json.Decoder(TradeSnapshotFrame)
_TICKER = msgspec.json.Decoder(TickerFrame)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_snapshot(raw: bytes) -> BookSnapshotFrame:
    """Parse a frame of ``book_snapshot``."""
    return decoded(_SNAPSHOT, raw, "book_snapshot")


def parse_book(raw: bytes) -> BookFrame:
    """Parse a frame of ``book``."""
    return decoded(_BOOK, raw, "book")


def parse_trade(raw: bytes) -> TradeFrame:
    """Parse a frame of ``trade``."""
    return decoded(_TRADE, raw, "trade")


def parse_trade_snapshot(raw: bytes) -> TradeSnapshotFrame:
    """Parse a frame of ``trade_snapshot``."""
    return decoded(_TRADES, raw, "trade_snapshot")


def parse_ticker(raw: bytes) -> TickerFrame:
    """Parse a frame of ``ticker``."""
    return decoded(_TICKER, raw, "ticker")


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")
