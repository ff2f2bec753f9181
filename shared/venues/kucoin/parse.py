"""KuCoin WebSocket frames and REST answers: bytes to typed values. Pure.

Bad bytes give ``ParseError`` only. Numbers arrive as strings and are decoded straight to floats in
C, where their bounds are checked.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.decoding import decoded
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
PriceOrNone = Annotated[float, Meta(ge=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
Millis = Annotated[int, Meta(ge=1, le=600_000)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
Levels = list[tuple[Price, Qty]]
Change = tuple[PriceOrNone, Qty, Id]
"""Price, size and the sequence of the price's last change; price 0 changes nothing."""

OK = "200000"
"""The code of every good REST answer."""


class Changes(msgspec.Struct, frozen=True, gc=False):
    """What changed on each side."""

    asks: list[Change]
    bids: list[Change]


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """Changed levels; ``time`` is absent in older recordings.

    ``{"changes":{"asks":[["18906","0.00331","14103845"],["18907.3","0.58751503","14103844"]],
    "bids":[["18891.9","0.15688","14103847"]]},"sequenceEnd":14103847,"sequenceStart":14103844,
    "symbol":"BTC-USDT","time":1663747970273}``
    """

    symbol: str
    first_id: Id = field(name="sequenceStart")
    last_id: Id = field(name="sequenceEnd")
    changes: Changes
    ts_venue: VenueTime | None = field(name="time", default=None)
    prev_id: int = -1

    def __post_init__(self) -> None:
        if self.last_id < self.first_id:
            raise ValueError(f"sequenceEnd {self.last_id} is before sequenceStart {self.first_id}")

    @property
    def bids(self) -> Levels:
        """Changed bids."""
        return [(price, qty) for price, qty, _ in self.changes.bids if price]

    @property
    def asks(self) -> Levels:
        """Changed asks."""
        return [(price, qty) for price, qty, _ in self.changes.asks if price]

    def check_changes(self) -> None:
        """Check that the changes are those of this range: the last one ends it.

        Raises:
            ParseError: They are not.
        """
        ids = [change[2] for side in (self.changes.asks, self.changes.bids) for change in side]
        if ids and not (self.first_id <= min(ids) and max(ids) == self.last_id):
            raise ParseError(
                f"level2: changes {min(ids)} to {max(ids)} are not those of "
                f"sequenceStart {self.first_id} to sequenceEnd {self.last_id}"
            )

    def after(self, last_id: int) -> BookUpdate:
        """Return it without the changes up to ``last_id``."""
        asks, bids = (
            [change for change in side if change[2] > last_id]
            for side in (self.changes.asks, self.changes.bids)
        )
        return msgspec.structs.replace(self, changes=Changes(asks, bids))


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``side`` is the taker's, ``time`` in ns.

    ``{"makerOrderId":"671b5007389355000701b1d3","price":"67523","sequence":"11067996711960577",
    "side":"buy","size":"0.003","symbol":"BTC-USDT","takerOrderId":"671b50161777ff00074c168d",
    "time":"1729843222921000000","tradeId":"11067996711960577","type":"match"}``
    """

    symbol: str
    side: str
    price: Price
    qty: Price = field(name="size")
    trade_id: str = field(name="tradeId")
    ts_venue: VenueTime = field(name="time")


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask after the change of this sequence, in what ``/market/ticker`` sends.

    ``{"sequence":"1612844051653","bestAsk":"0.00028717","size":"0.01745248",
    "bestBidSize":"3.70422021","price":"0.00028676","time":1619378326323,
    "bestAskSize":"14.04274325","bestBid":"0.00028678"}``
    """

    sequence: Id
    bid: Qty = field(name="bestBid")
    bid_qty: Qty = field(name="bestBidSize")
    ask: Qty = field(name="bestAsk")
    ask_qty: Qty = field(name="bestAskSize")


class RestBook(msgspec.Struct, frozen=True, gc=False):
    """The answer to ``/market/orderbook/level2_100``.

    ``{"time":1619378326628,"sequence":"1613277183892","bids":[["242.649","5"]],
    "asks":[["242.951","4.51280965"]]}``
    """

    last_id: Id = field(name="sequence")
    bids: Levels
    asks: Levels
    ts_venue: VenueTime | None = field(name="time", default=None)


class InstanceServer(msgspec.Struct, frozen=True):
    """Where to connect, and how often to ping (ms)."""

    endpoint: str
    ping_interval_ms: Millis = field(name="pingInterval")
    ping_timeout_ms: Millis = field(name="pingTimeout", default=10_000)


class Bullet(msgspec.Struct, frozen=True):
    """The answer to ``POST /api/v1/bullet-public``.

    ``{"token":"2neAiuYvAU61ZDXANAGAsiL4==","instanceServers":[{"endpoint":
    "wss://ws-api-spot.kucoin.com/","encrypt":true,"protocol":"websocket","pingInterval":18000,
    "pingTimeout":10000}]}``
    """

    token: str
    servers: Annotated[list[InstanceServer], Meta(min_length=1)] = field(name="instanceServers")


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"id":"hQvf8jkno","type":"welcome"}``, ``{"id":"1","type":"ack"}``,
    ``{"id":"1","type":"pong"}``, refused ``{"code":404,"data":"topic /market/level2:X-Y is not
    found","id":"1","type":"error"}``; ``{"type":"message","topic":"/market/level2:BTC-USDT",
    "subject":"trade.l2update","data":{...}}`` brings market data.
    """

    type: str = ""
    topic: str = ""
    subject: str = ""
    id: Any = None
    code: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct, frozen=True):
    code: str = ""
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_BOOK = msgspec.json.Decoder(BookUpdate, strict=False)
_TRADE = msgspec.json.Decoder(TradePrint, strict=False)
_QUOTE = msgspec.json.Decoder(Quote, strict=False)
_REST_BOOK = msgspec.json.Decoder(RestBook, strict=False)
_BULLET = msgspec.json.Decoder(Bullet)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_ANSWER = msgspec.json.Decoder(_Answer)
_TEXT = msgspec.json.Decoder(str)


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind; ``data`` stays as it came."""
    return decoded(_ENVELOPE, raw, "frame")


def parse_book(data: bytes | msgspec.Raw) -> BookUpdate:
    """Parse the data of ``/market/level2``."""
    return decoded(_BOOK, bytes(data), "level2")


def parse_trade(data: bytes | msgspec.Raw) -> TradePrint:
    """Parse the data of ``/market/match``."""
    return decoded(_TRADE, bytes(data), "match")


def parse_quote(data: bytes | msgspec.Raw) -> Quote:
    """Parse the data of ``/market/ticker``."""
    return decoded(_QUOTE, bytes(data), "ticker")


def parse_rest_book(body: bytes) -> RestBook:
    """Parse a REST order book."""
    return decoded(_REST_BOOK, _data_of(body, "order book"), "order book")


def parse_bullet(body: bytes) -> Bullet:
    """Parse the address and token of a connection."""
    return decoded(_BULLET, _data_of(body, "bullet-public"), "bullet-public")


def text_of(data: msgspec.Raw) -> str:
    """Return the text of an error frame's data; empty where it is none."""
    try:
        return _TEXT.decode(data)
    except (ValueError, RecursionError):
        return ""


def _data_of(body: bytes, what: str) -> bytes:
    """Return the data of a REST answer.

    Raises:
        ParseError: It is refused, or none; the venue refuses with HTTP 200 as well.
    """
    answer = decoded(_ANSWER, body, what)
    if answer.code != OK:
        raise ParseError(f"{what}: refused with code {answer.code} {answer.msg[:100]}".rstrip())
    return bytes(answer.data)
