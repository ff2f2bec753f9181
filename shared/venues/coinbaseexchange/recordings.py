"""What recorded Coinbase Exchange lines are about. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.venues.coinbaseexchange import parse
from shared.venues.coinbaseexchange.session import CoinbaseSession
from shared.venues.coinbaseexchange.symbols import to_instrument, to_symbol
from shared.venues.port import FrameRole
from shared.venues.read_once import ReadOnce
from shared.venues.stream_recordings import StreamRecordings

VENUE = "coinbaseexchange"
HOSTS = re.compile(
    r"(ws-feed|ws-direct|api)(-public\.sandbox)?\.(pro|exchange)\.coinbase\.com|"
    r"(ws-feed|api)-public\.sandbox\.(pro|exchange)\.coinbase\.com"
)
_ROLES = {
    "snapshot": FrameRole.SNAPSHOT,
    "l2update": FrameRole.DELTA,
    "match": FrameRole.TRADE,
    "last_match": FrameRole.OTHER,
    "heartbeat": FrameRole.OTHER,
}
_TORN_TYPE = re.compile(rb'"type"\s*:\s*"(\w{1,30})"')
_TORN_PRODUCT = re.compile(rb'"product_id"\s*:\s*"([A-Z0-9-]{1,45})"')


class _Frame(msgspec.Struct, frozen=True):
    type: Any = ""
    product_id: Any = ""
    time: Any = None


class _Levels(msgspec.Struct, frozen=True):
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    changes: list[tuple[str, str, str]] = []


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    type: str
    symbol: str
    time_ns: int | None = None


Rows = list[tuple[str, str]]
_FRAME = msgspec.json.Decoder(_Frame)
_LEVELS = msgspec.json.Decoder(_Levels, strict=False)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of these."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    return _marks(frame.type, frame.product_id, _time_of(frame.time))


def _marks(kind: object, symbol: object, time_ns: int | None) -> Marks | None:
    if kind not in _ROLES or not isinstance(symbol, str) or to_instrument(symbol) is None:
        return None
    return Marks(str(kind), symbol, time_ns)


def _time_of(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return max(parse.unix_ns(datetime.fromisoformat(text.replace("Z", "+00:00"))), 0)
    except ValueError:
        return None


def _torn(raw: bytes) -> Marks | None:
    kind, symbol = (
        match.group(1).decode("ascii", "replace") if match else ""
        for match in (_TORN_TYPE.search(raw), _TORN_PRODUCT.search(raw))
    )
    return _marks(kind, symbol, None)


class CoinbaseRecordings(StreamRecordings):
    """Recordings of the WebSocket feed."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(60)
    notional_min = Decimal(1)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by the host."""
        return VENUE if HOSTS.fullmatch(urlsplit(url).hostname or "") else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by type and product."""
        return None if self._read(raw) is None else VENUE

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the product."""
        marks = self._read(raw)
        return None if marks is None else to_instrument(marks.symbol)

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the type."""
        marks = self._read(raw)
        return FrameRole.OTHER if marks is None else _ROLES[marks.type]

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time of a frame."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> CoinbaseSession:
        """Return a session that reads this instrument's frames."""
        symbols = {to_symbol(instrument): instrument} if instrument else {}
        return CoinbaseSession(venue, symbols, is_recorded=True)

    def levels_of_frame(self, raw: bytes) -> Rows:
        """Read the levels of a frame of a book."""
        bids, asks = levels_of(raw)
        return [*bids, *asks]


def levels_of(raw: bytes) -> tuple[Rows, Rows]:
    """Return price and quantity of bids and asks as written; none of what carries no levels."""
    try:
        found = _LEVELS.decode(raw)
    except (ValueError, RecursionError):
        return [], []
    bids = [*found.bids, *((p, q) for side, p, q in found.changes if side == "buy")]
    asks = [*found.asks, *((p, q) for side, p, q in found.changes if side == "sell")]
    return bids, asks


RECORDINGS = CoinbaseRecordings
