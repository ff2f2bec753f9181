"""What recorded Kraken Futures lines are about. Pure.

Dated futures are read like perpetuals; quantities of inverse products are in dollars.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.venues.krakenfutures.session import KrakenFuturesSession
from shared.venues.krakenfutures.symbols import spelled, to_instrument
from shared.venues.port import FrameRole
from shared.venues.read_once import ReadOnce
from shared.venues.stream_recordings import StreamRecordings
from shared.venues.times import unix_ns

VENUE = "krakenfutures"
HOSTS = re.compile(r"(demo-)?futures\.kraken\.com|www\.cryptofacilities\.com")
_ROLES = {
    "book_snapshot": FrameRole.SNAPSHOT,
    "book": FrameRole.DELTA,
    "trade": FrameRole.TRADE,
    "ticker": FrameRole.FUNDING,
}
_OTHER_FEEDS = ("trade_snapshot", "ticker_lite")
_TORN_FEED = re.compile(rb'"feed"\s*:\s*"(\w{1,30})"')
_TORN_PRODUCT = re.compile(rb'"product_id"\s*:\s*"(\w{1,40})"')


class _Frame(msgspec.Struct, frozen=True):
    feed: Any = ""
    product_id: Any = ""
    timestamp: Any = None
    time: Any = None


class _Level(msgspec.Struct, frozen=True):
    price: msgspec.Raw
    qty: msgspec.Raw


class _Levels(msgspec.Struct, frozen=True):
    bids: list[_Level] = []
    asks: list[_Level] = []
    side: str = ""
    price: msgspec.Raw = msgspec.Raw(b"")
    qty: msgspec.Raw = msgspec.Raw(b"")


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    feed: str
    symbol: str
    time_ns: int | None = None


Rows = list[tuple[str, str]]
_FRAME = msgspec.json.Decoder(_Frame)
_LEVELS = msgspec.json.Decoder(_Levels)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of these."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    time = frame.time if frame.timestamp is None else frame.timestamp
    return _marks(frame.feed, frame.product_id, unix_ns(time) if _is_time(time) else None)


def _marks(feed: object, symbol: object, time_ns: int | None) -> Marks | None:
    if feed not in _ROLES and feed not in _OTHER_FEEDS:
        return None
    if not isinstance(symbol, str) or to_instrument(symbol) is None:
        return None
    return Marks(str(feed), symbol, time_ns)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62


def _torn(raw: bytes) -> Marks | None:
    feed, symbol = (
        match.group(1).decode("ascii", "replace") if match else ""
        for match in (_TORN_FEED.search(raw), _TORN_PRODUCT.search(raw))
    )
    return _marks(feed, symbol, None)


class KrakenFuturesRecordings(StreamRecordings):
    """Recordings of the derivatives' WebSocket v1."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(5)
    notional_min = Decimal(0)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by the host."""
        return VENUE if HOSTS.fullmatch(urlsplit(url).hostname or "") else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by feed and product."""
        return None if self._read(raw) is None else VENUE

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the product."""
        marks = self._read(raw)
        return None if marks is None else to_instrument(marks.symbol)

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the feed."""
        marks = self._read(raw)
        return FrameRole.OTHER if marks is None else _ROLES.get(marks.feed, FrameRole.OTHER)

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time of a frame."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> KrakenFuturesSession:
        """Return a session that reads this instrument's frames."""
        symbols = {spelled(instrument): instrument} if instrument else {}
        return KrakenFuturesSession(venue, symbols, is_recorded=True)

    def levels_of_frame(self, raw: bytes) -> Rows:
        """Read the levels of a frame of a book."""
        bids, asks = levels_of(raw)
        return [*bids, *asks]


def levels_of(raw: bytes) -> tuple[Rows, Rows]:
    """Return price and quantity of bids and asks as written; none of what carries no levels."""
    marks = read_marks(raw)
    if marks is None or not marks.feed.startswith("book"):
        return [], []
    try:
        found = _LEVELS.decode(raw)
    except (ValueError, RecursionError):
        return [], []
    if marks.feed == "book":
        row = [(_text(found.price), _text(found.qty))]
        return (row, []) if found.side == "buy" else ([], row)
    bids, asks = (
        [(_text(level.price), _text(level.qty)) for level in side]
        for side in (found.bids, found.asks)
    )
    return bids, asks


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode().strip('"')


RECORDINGS = KrakenFuturesRecordings
