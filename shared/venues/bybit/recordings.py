"""What recorded Bybit v5 lines are about, found from the decoded frame. Pure.

Linear and inverse contracts are one venue's; quantities of inverse ones are in quote units.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.domain.instrument import split_instrument
from shared.venues.bybit.session import BEST_ONLY, TOPICS, BybitSession, funding_dialect
from shared.venues.bybit.symbols import CATEGORIES, LINEAR, category_of, spelled, to_instrument
from shared.venues.port import FeedKind, FrameRole
from shared.venues.read_once import ReadOnce
from shared.venues.stream_recordings import StreamRecordings
from shared.venues.times import unix_ns

VENUE = "bybit"
REST_PATH = "/v5/market/"
HOSTS = re.compile(r"(stream|api)(-testnet|-demo)?\.(bybit|bytick)(-\w+)?\.\w+|api\.bybit\.\w+")
_ROLES = {
    TOPICS[FeedKind.TRADES]: FrameRole.TRADE,
    TOPICS[FeedKind.FUNDING]: FrameRole.FUNDING,
}
_TOPIC = re.compile(r"(?:orderbook\.\d{1,5}|publicTrade|tickers)\.[A-Za-z0-9-]{1,40}")
_TORN_TOPIC = re.compile(rb'"topic"\s*:\s*"([\w.-]{1,80})"')
_TORN_TYPE = re.compile(rb'"type"\s*:\s*"(\w+)"')


class _Frame(msgspec.Struct, frozen=True):
    topic: Any = ""
    type: Any = ""
    ts: Any = None
    cts: Any = None


class _Sides(msgspec.Struct, frozen=True):
    b: list[tuple[str | float, str | float]] = []
    a: list[tuple[str | float, str | float]] = []


class _LevelsFrame(msgspec.Struct, frozen=True):
    data: _Sides


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    kind: str
    symbol: str
    type: str = ""
    depth: str = ""
    time_ns: int | None = None


_FRAME = msgspec.json.Decoder(_Frame)
_LEVELS = msgspec.json.Decoder(_LevelsFrame)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of Bybit's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    time = frame.cts if _is_time(frame.cts) else frame.ts
    return _marks(frame.topic, frame.type, unix_ns(time) if _is_time(time) else None)


def _marks(topic: object, kind: object, time_ns: int | None) -> Marks | None:
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        return None
    name, *more, symbol = topic.split(".")
    told = kind if isinstance(kind, str) else ""
    return Marks(name, symbol, told, more[0] if more else "", time_ns)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62


def _torn(raw: bytes) -> Marks | None:
    topic, kind = (
        match.group(1).decode("ascii", "replace") if match else ""
        for match in (_TORN_TOPIC.search(raw), _TORN_TYPE.search(raw))
    )
    return _marks(topic, kind, None)


class BybitRecordings(StreamRecordings):
    """Recordings of perpetuals over WebSocket v5."""

    venues = (VENUE,)
    taker_fee_bps = Decimal("5.5")
    notional_min = Decimal(5)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by host and path: spot and options have other paths."""
        parts = urlsplit(url)
        if not HOSTS.fullmatch(parts.hostname or ""):
            return None
        if parts.path.startswith(REST_PATH):
            category = parse_qs(parts.query).get("category", [""])[0]
        else:
            category = parts.path.removeprefix("/v5/public/").rstrip("/")
        return VENUE if category in CATEGORIES else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the topic."""
        return None if self.instrument_of_frame(raw) is None else VENUE

    def facts_of_url(self, url: str) -> str | None:
        """Find what was asked about funding."""
        topics = (funding_dialect(each).topic_of(url, to_instrument) for each in CATEGORIES)
        return next(filter(None, topics), None)

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the topic's symbol."""
        marks = self._read(raw)
        return None if marks is None else to_instrument(marks.symbol)

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by topic and type."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        if marks.kind != "orderbook":
            return _ROLES[marks.kind]
        if marks.depth == str(BEST_ONLY):
            return FrameRole.QUOTE
        return FrameRole.SNAPSHOT if marks.type == "snapshot" else FrameRole.DELTA

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return when the engine matched, else when the frame was made."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> BybitSession:
        """Return a session that reads this instrument's frames; without one, those of no book."""
        if not instrument:
            return BybitSession(venue, {}, LINEAR, is_recorded=True)
        symbol = spelled(split_instrument(instrument))
        return BybitSession(venue, {symbol: instrument}, category_of(instrument), is_recorded=True)

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of a frame of a book."""
        bids, asks = levels_of(raw)
        return [*bids, *asks]


def levels_of(raw: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return price and quantity of bids and asks as written; none of what carries no levels."""
    try:
        found = _LEVELS.decode(raw).data
    except (ValueError, RecursionError):
        return [], []
    bids, asks = ([(str(p), str(q)) for p, q in side] for side in (found.b, found.a))
    return bids, asks


RECORDINGS = BybitRecordings
