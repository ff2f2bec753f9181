"""What recorded OKX v5 lines are about, found from the decoded frame. Pure.

Books of perpetuals and dated futures are read and proved as well, and not traded: their sizes are
contracts, and what a contract is worth is in no frame.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.domain.instrument import is_spot
from shared.venues.okx.session import BOOKS, TRADES, OkxSession
from shared.venues.okx.symbols import spelled, to_instrument
from shared.venues.port import FrameRole
from shared.venues.read_once import ReadOnce
from shared.venues.stream_recordings import StreamRecordings
from shared.venues.times import unix_ns

VENUE = "okx"
HOSTS = re.compile(r"(www|aws|eea|us|my|app|ws(pap|eea|us|aws)?|wsus[a-z]*)\.okx\.com")
SOCKET_PATHS = frozenset({"/ws/v5/public", "/ws/v5/business"})
REST_PATH = "/api/v5/"
BEST = "bbo-tbt"
_ROLES = {TRADES: FrameRole.TRADE, "tickers": FrameRole.QUOTE, BEST: FrameRole.QUOTE}
_CHANNELS = frozenset({BOOKS, *_ROLES, "books5", "funding-rate", "mark-price", "index-tickers"})
_TORN_CHANNEL = re.compile(rb'"channel"\s*:\s*"([\w-]{1,40})"')
_TORN_SYMBOL = re.compile(rb'"instId"\s*:\s*"([\w-]{1,60})"')
_TORN_ACTION = re.compile(rb'"action"\s*:\s*"(\w{1,20})"')


class _Arg(msgspec.Struct, frozen=True):
    channel: Any = ""
    symbol: Any = msgspec.field(name="instId", default="")


class _Row(msgspec.Struct, frozen=True):
    ts: Any = None


class _Frame(msgspec.Struct, frozen=True):
    arg: _Arg
    action: Any = ""
    event: Any = ""
    data: list[_Row] = []


class _Sides(msgspec.Struct, frozen=True):
    bids: list[list[str | float]] = []
    asks: list[list[str | float]] = []


class _LevelsFrame(msgspec.Struct, frozen=True):
    data: list[_Sides]


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    channel: str
    symbol: str
    action: str = ""
    time_ns: int | None = None


_FRAME = msgspec.json.Decoder(_Frame)
_LEVELS = msgspec.json.Decoder(_LevelsFrame)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of OKX's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    if frame.event:
        return None
    return _marks(frame.arg.channel, frame.arg.symbol, frame.action, _time_ns(frame.data))


def _marks(channel: object, symbol: object, action: object, time_ns: int | None) -> Marks | None:
    if not isinstance(channel, str) or channel not in _CHANNELS or not isinstance(symbol, str):
        return None
    return Marks(channel, symbol, action if isinstance(action, str) else "", time_ns)


def _time_ns(rows: list[_Row]) -> int | None:
    text = rows[0].ts if rows else None
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    return unix_ns(int(text))


def _torn(raw: bytes) -> Marks | None:
    channel, symbol, action = (
        match.group(1).decode("ascii", "replace") if match else ""
        for match in (each.search(raw) for each in (_TORN_CHANNEL, _TORN_SYMBOL, _TORN_ACTION))
    )
    return _marks(channel, symbol, action, None)


class OkxRecordings(StreamRecordings):
    """Recordings of WebSocket v5."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(15)
    notional_min = Decimal(0)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by host and path."""
        parts = urlsplit(url)
        if not HOSTS.fullmatch(parts.hostname or ""):
            return None
        is_ours = parts.path.startswith(REST_PATH) or parts.path.rstrip("/") in SOCKET_PATHS
        return VENUE if is_ours else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by channel and symbol."""
        return None if self.instrument_of_frame(raw) is None else VENUE

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the symbol of what was subscribed."""
        marks = self._read(raw)
        return None if marks is None else to_instrument(marks.symbol)

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by channel and action."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        if marks.channel == BOOKS:
            return FrameRole.SNAPSHOT if marks.action == "snapshot" else FrameRole.DELTA
        return _ROLES.get(marks.channel, FrameRole.OTHER)

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return when the venue made the first row."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> OkxSession:
        """Return a session that reads this instrument's frames; without one, those of no book."""
        symbols = {spelled(instrument): instrument} if instrument else {}
        return OkxSession(venue, symbols, is_recorded=True)

    def obstacle(self, instrument: str) -> str:
        """Return why an instrument of a recording is not traded."""
        return "" if is_spot(instrument) else "sizes are contracts of an unknown value"

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of a frame of a book."""
        bids, asks = levels_of(raw)
        return [*bids, *asks]


def levels_of(raw: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return price and size of bids and asks as written; none of what carries no levels."""
    try:
        found = _LEVELS.decode(raw).data
    except (ValueError, RecursionError):
        return [], []
    bids = [row for sides in found for row in sides.bids]
    asks = [row for sides in found for row in sides.asks]
    return _pairs(bids), _pairs(asks)


def _pairs(rows: list[list[str | float]]) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in rows if len(row) > 1]


RECORDINGS = OkxRecordings
