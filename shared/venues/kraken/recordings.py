"""What recorded Kraken WebSocket v2 lines are about, found from the decoded frame. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.errors import ParseError
from shared.venues.kraken.parse import parse_book, unix_ns
from shared.venues.kraken.session import KrakenSession
from shared.venues.kraken.symbols import to_instrument
from shared.venues.port import FrameRole
from shared.venues.read_once import ReadOnce
from shared.venues.stream_recordings import StreamRecordings

DEPTH_UNKNOWN = 1
"""The depth is then what the acknowledgement says, or what the checksums prove."""
CHANNELS = frozenset({"book", "trade", "ticker", "heartbeat", "status", "ohlc", "instrument"})
TAKER_FEE_BPS, NOTIONAL_MIN = Decimal(25), Decimal("0.5")
"""What accounts without volume pay, and the least value of an order in quote units."""
_ROLES = {"trade": FrameRole.TRADE, "ticker": FrameRole.QUOTE}
_TORN_CHANNEL = re.compile(rb'"channel"\s*:\s*"(\w+)"')
_TORN_TYPE = re.compile(rb'"type"\s*:\s*"(\w+)"')
_TORN_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"]{1,40})"')
_TORN_BYTES = 160


class _Row(msgspec.Struct, frozen=True):
    symbol: Any = ""
    timestamp: Any = None


class _Frame(msgspec.Struct, frozen=True):
    channel: Any = ""
    type: Any = ""
    method: Any = ""
    symbol: Any = ""
    result: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    channel: str = ""
    type: str = ""
    symbol: str = ""
    time_ns: int | None = None
    is_answer: bool = False


_FRAME = msgspec.json.Decoder(_Frame)
_ROW = msgspec.json.Decoder(_Row)
_ROWS = msgspec.json.Decoder(list[_Row])


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of Kraken's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    channel, row = _text(frame.channel), _first_row(bytes(frame.data))
    is_answer = frame.method == "subscribe" and bytes(frame.result)[:1] == b"{"
    if is_answer:
        row = _first_row(bytes(frame.result))
    elif channel not in CHANNELS:
        return None
    return Marks(
        channel=channel,
        type=_text(frame.type),
        symbol=_text(row.symbol) or _text(frame.symbol),
        time_ns=_time_ns(row.timestamp),
        is_answer=is_answer,
    )


def _first_row(data: bytes) -> _Row:
    try:
        if data[:1] == b"{":
            return _ROW.decode(data)
        rows = _ROWS.decode(data) if data else []
    except (ValueError, RecursionError):
        return _Row()
    return rows[0] if rows else _Row()


def _time_ns(text: object) -> int | None:
    try:
        return unix_ns(msgspec.convert(text, datetime)) if isinstance(text, str) else None
    except msgspec.ValidationError:
        return None


def _torn(raw: bytes) -> Marks | None:
    head = raw[:_TORN_BYTES]
    channel, kind, symbol = (
        match.group(1).decode("utf-8", "replace").replace("\\/", "/") if match else ""
        for match in (_TORN_CHANNEL.search(head), _TORN_TYPE.search(head), _TORN_SYMBOL.search(raw))
    )
    return Marks(channel, kind, symbol) if channel in CHANNELS else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def levels_of(raw: bytes) -> list[tuple[str, str]]:
    """Return price and quantity of every level in a frame; none of what carries no levels."""
    try:
        frame = parse_book(raw)
    except ParseError:
        return []
    return [
        (_number(level.price), _number(level.qty))
        for data in frame.data
        for level in (*data.bids, *data.asks)
    ]


def _number(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace").strip('"')


class KrakenRecordings(StreamRecordings):
    """Recordings of WebSocket v2; version 1 has other frames and is not read."""

    venues = ("kraken",)
    taker_fee_bps = TAKER_FEE_BPS
    notional_min = NOTIONAL_MIN

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by host and path: the same host speaks version 1 without ``/v2``."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host == "api.kraken.com":
            return "kraken"
        is_v2 = parts.path.rstrip("/") == "/v2"
        return "kraken" if host.endswith("ws.kraken.com") and is_v2 else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the channel."""
        return "kraken" if self._read(raw) is not None else None

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the first symbol."""
        marks = self._read(raw)
        if marks is None or not marks.symbol:
            return None
        instrument = to_instrument(marks.symbol)
        if instrument is not None:
            self._symbols[instrument] = marks.symbol
        return instrument

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by channel and type."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        if marks.channel == "book":
            return FrameRole.SNAPSHOT if marks.type == "snapshot" else FrameRole.DELTA
        return _ROLES.get(marks.channel, FrameRole.OTHER)

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time of what came first in the frame."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> KrakenSession:
        """Return a session that reads this instrument's frames."""
        symbol = self._symbols.get(instrument, instrument)
        return KrakenSession(venue, {symbol: instrument}, DEPTH_UNKNOWN, is_recorded=True)

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of a depth event or a book."""
        return levels_of(raw)


RECORDINGS = KrakenRecordings
