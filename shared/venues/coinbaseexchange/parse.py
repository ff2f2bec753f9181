"""Coinbase Exchange frames: bytes to typed values. Pure; bad bytes give ``ParseError`` only.

Numbers arrive as strings and are decoded straight to floats in C, where their bounds are checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.venues.decoding import decoded

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
BookSide = Literal["buy", "sell"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SnapshotFrame(msgspec.Struct, frozen=True, gc=False):
    """A whole book.

    ``{"type":"snapshot","product_id":"BAND-GBP","asks":[["14.8024","12.77"]],
    "bids":[["14.7550","3.1"]],"time":"2021-04-17T16:43:37.075687Z"}``; the time may be missing.
    """

    product_id: str
    bids: list[tuple[Price, Qty]]
    asks: list[tuple[Price, Qty]]
    time: datetime | None = None


class UpdateFrame(msgspec.Struct, frozen=True, gc=False):
    """Changed levels.

    ``{"type":"l2update","product_id":"SKL-BTC","changes":[["sell","0.00001306","660.5"]],
    "time":"2021-04-17T16:43:37.075687Z"}``
    """

    product_id: str
    changes: list[tuple[BookSide, Price, Qty]]
    time: datetime


class MatchFrame(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``side`` is the maker's, ``trade_id`` numbers the product's trades.

    ``{"type":"match","trade_id":280232,"maker_order_id":"2a0da34e","taker_order_id":"3c82abaa",
    "side":"sell","size":"985","price":"0.00001305","product_id":"SKL-BTC","sequence":177100030,
    "time":"2021-04-17T16:43:37.089723Z"}``; ``last_match`` is the one before the subscription.
    """

    type: str
    trade_id: Id
    product_id: str
    side: BookSide
    size: Annotated[float, Meta(gt=0, le=1e18)]
    price: Price
    time: datetime


class HeartbeatFrame(msgspec.Struct, frozen=True, gc=False):
    """Sent every second for each product.

    ``{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",
    "time":"2014-11-07T08:19:28.464459Z"}``
    """

    product_id: str
    last_trade_id: Id


class Channel(msgspec.Struct, frozen=True):
    """What is subscribed of one channel."""

    name: str
    product_ids: list[str] = []


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"type":"subscriptions","channels":[{"name":"level2_batch","product_ids":["BTC-USD"]}]}``;
    ``{"type":"error","message":"Failed to subscribe","reason":"XX-USD is not a valid product"}``.
    """

    type: str = ""
    message: str = ""
    reason: str = ""


class Subscriptions(msgspec.Struct, frozen=True):
    """All that is subscribed, after every change of it."""

    channels: list[Channel]


_SNAPSHOT = msgspec.json.Decoder(SnapshotFrame, strict=False)
_UPDATE = msgspec.json.Decoder(UpdateFrame, strict=False)
_MATCH = msgspec.json.Decoder(MatchFrame, strict=False)
_HEARTBEAT = msgspec.json.Decoder(HeartbeatFrame)
_SUBSCRIPTIONS = msgspec.json.Decoder(Subscriptions)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_snapshot(raw: bytes) -> SnapshotFrame:
    """Parse a ``snapshot``."""
    return decoded(_SNAPSHOT, raw, "snapshot")


def parse_update(raw: bytes) -> UpdateFrame:
    """Parse an ``l2update``."""
    return decoded(_UPDATE, raw, "l2update")


def parse_match(raw: bytes) -> MatchFrame:
    """Parse a ``match`` or ``last_match``."""
    return decoded(_MATCH, raw, "match")


def parse_heartbeat(raw: bytes) -> HeartbeatFrame:
    """Parse a ``heartbeat``."""
    return decoded(_HEARTBEAT, raw, "heartbeat")


def parse_subscriptions(raw: bytes) -> Subscriptions:
    """Parse ``subscriptions``."""
    return decoded(_SUBSCRIPTIONS, raw, "subscriptions")


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")


def unix_ns(time: datetime) -> int:
    """Return a venue time in UNIX nanoseconds."""
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
