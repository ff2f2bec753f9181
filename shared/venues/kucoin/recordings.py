"""What recorded KuCoin spot lines are about, found from the decoded frame. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.venues.kucoin.session import BOOKS, QUOTES, TRADES, KucoinSession
from shared.venues.kucoin.symbols import to_instrument
from shared.venues.port import FrameRole, Hint
from shared.venues.read_once import ReadOnce
from shared.venues.times import NANOS_MAX, unix_ns

VENUE = "kucoin"
EARLY_DELTAS_MAX = 50_000
"""Deltas that wait for a recorded snapshot, however late it is."""
SNAPSHOT_SIZES = (20, 100)
"""Levels a side that a recorder without a key may have asked for; with one, all are told."""
BOOK_PATH = re.compile(r"/api/v\d/market/orderbook/level2(?:_\d+)?")
_ROLES = {BOOKS: FrameRole.DELTA, TRADES: FrameRole.TRADE, QUOTES: FrameRole.QUOTE}
_TORN_TOPIC = re.compile(rb'"topic"\s*:\s*"(/(?:market|spotMarket)/\w+):([^",]{1,40})')
_TORN_SUBJECT = re.compile(rb'"subject"\s*:\s*"(trade\.l2update|trade\.l3match|trade\.ticker)"')
_TORN_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"]{1,40})"')
_TOPIC_OF_SUBJECT = {"trade.l2update": BOOKS, "trade.l3match": TRADES, "trade.ticker": QUOTES}


class _Changes(msgspec.Struct, frozen=True):
    asks: list[tuple[Any, Any, Any]] | None = None
    bids: list[tuple[Any, Any, Any]] | None = None


class _Data(msgspec.Struct, frozen=True):
    symbol: Any = ""
    time: Any = None
    sequence: Any = None
    bids: list[tuple[Any, Any]] | None = None
    asks: list[tuple[Any, Any]] | None = None
    changes: _Changes | None = None


class _Frame(msgspec.Struct, frozen=True):
    topic: Any = ""
    subject: Any = ""
    type: Any = ""
    code: Any = None
    data: msgspec.Raw = msgspec.Raw(b"")


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    topic: str = ""
    symbol: str = ""
    time_ns: int | None = None
    is_book: bool = False


_FRAME = msgspec.json.Decoder(_Frame)
_DATA = msgspec.json.Decoder(_Data)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of KuCoin's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    topic, _, symbols = _text(frame.topic).partition(":")
    data = _data_of(frame.data)
    if not topic.startswith(("/market/", "/spotMarket/")):
        is_book = isinstance(frame.code, str) and data.bids is not None and data.asks is not None
        return Marks(is_book=True, time_ns=_time_ns(data.time)) if is_book else None
    return Marks(topic, _text(data.symbol) or symbols, _time_ns(data.time))


def _data_of(raw: msgspec.Raw) -> _Data:
    try:
        return _DATA.decode(raw)
    except (ValueError, RecursionError):
        return _Data()


def _time_ns(time: object) -> int | None:
    try:
        told = int(str(time)[:20])
    except ValueError:
        return None
    return unix_ns(told) if 0 < told <= NANOS_MAX else None


def _torn(raw: bytes) -> Marks | None:
    """Find the topic, or what stands before it: older frames begin with their data."""
    if (found := _TORN_TOPIC.search(raw)) is not None:
        topic, symbol = (part.decode("utf-8", "replace") for part in found.groups())
        return Marks(topic, symbol)
    subject, symbol_found = _TORN_SUBJECT.search(raw), _TORN_SYMBOL.search(raw)
    if symbol_found is None or not (subject or b'"sequenceStart"' in raw):
        return None
    topic = _TOPIC_OF_SUBJECT[subject.group(1).decode()] if subject else BOOKS
    return Marks(topic, symbol_found.group(1).decode("utf-8", "replace"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class KucoinRecordings:
    """Recordings of spot."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(10)
    notional_min = Decimal("0.1")

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by the host: futures have hosts of their own."""
        host = urlsplit(url).hostname or ""
        is_spot = VENUE in host.split(".") and "futures" not in host
        return VENUE if is_spot else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the topic."""
        marks = self._read(raw)
        return VENUE if marks is not None and marks.topic else None

    def learn(self, url: str, body: bytes) -> bool:
        """Nothing to learn: a symbol tells its base and quote."""
        return False

    def instrument_of_url(self, url: str) -> str | None:
        """Read the symbol of a book's request."""
        parts = urlsplit(url)
        symbols = parse_qs(parts.query).get("symbol")
        if not symbols or BOOK_PATH.search(parts.path) is None:
            return None
        return to_instrument(symbols[0])

    def facts_of_url(self, url: str) -> str | None:
        """Nothing: no facts are asked for beside books."""
        return None

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the symbol."""
        marks = self._read(raw)
        return to_instrument(marks.symbol) if marks is not None and marks.symbol else None

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the topic; greetings and answers to subscriptions carry nothing."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        return FrameRole.REST_BOOK if marks.is_book else _ROLES.get(marks.topic, FrameRole.OTHER)

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Nothing: REST books are recorded with their URL."""
        return None

    def body_of_frame(self, raw: bytes) -> bytes:
        """Nothing to take out: a REST book has its wrapper in both places."""
        return raw

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time, where the frame has one."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> KucoinSession:
        """Return a session that reads this instrument's frames."""
        return KucoinSession(
            venue,
            {instrument.replace("/", "-"): instrument},  # also where none is known
            early_max=EARLY_DELTAS_MAX,
            snapshot_sizes=SNAPSHOT_SIZES,
            is_recorded=True,
        )

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of an update or a book."""
        bids, asks = levels_of(raw)
        return bids + asks


def levels_of(raw: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return price and size of the bids and asks in a payload; none of what carries no levels."""
    try:
        data = _DATA.decode(_FRAME.decode(raw).data)
    except (ValueError, RecursionError):
        return [], []
    told = data.changes or data
    bids, asks = (
        [(str(row[0]), str(row[1])) for row in side or () if str(row[0]).strip("0.")]
        for side in (told.bids, told.asks)
    )
    return bids, asks


RECORDINGS = KucoinRecordings
