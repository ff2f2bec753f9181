"""What recorded Gate spot lines are about, found from the decoded frame. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.venues.gateio.session import BOOKS, TRADES, GateSession
from shared.venues.gateio.symbols import to_instrument
from shared.venues.port import FrameRole, Hint
from shared.venues.read_once import ReadOnce
from shared.venues.times import unix_ns

VENUE = "gateio"
EARLY_DELTAS_MAX = 50_000
"""Deltas that wait for a recorded snapshot, however late it is."""
SNAPSHOT_SIZES = (1, 5, 10, 20, 50, 100, 500, 1_000)
"""Levels a side that a recorder may have asked for: a side with just as many was cut there."""
HOSTS = ("api.gateio.ws", "ws.gate.io", "api.gate.io")
_ROLES = {
    BOOKS: FrameRole.DELTA,
    TRADES: FrameRole.TRADE,
    "spot.book_ticker": FrameRole.QUOTE,
}
_TORN_CHANNEL = re.compile(rb'"channel"\s*:\s*"(spot\.\w+)"')
_TORN_EVENT = re.compile(rb'"event"\s*:\s*"(\w+)"')
_TORN_SYMBOL = re.compile(rb'"(?:s|currency_pair)"\s*:\s*"([^"]{1,40})"')


class _Result(msgspec.Struct, frozen=True):
    s: Any = ""
    currency_pair: Any = ""
    t: Any = None
    create_time_ms: Any = None


class _Frame(msgspec.Struct, frozen=True):
    channel: Any = ""
    event: Any = ""
    time: Any = None
    result: msgspec.Raw = msgspec.Raw(b"")
    id: Any = None
    bids: msgspec.Raw = msgspec.Raw(b"")


class _Levels(msgspec.Struct, frozen=True):
    b: list[tuple[str | float, str | float]] | None = None
    a: list[tuple[str | float, str | float]] | None = None
    bids: list[tuple[str | float, str | float]] | None = None
    asks: list[tuple[str | float, str | float]] | None = None


class _LevelsFrame(_Levels, frozen=True):
    result: _Levels | None = None


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    channel: str = ""
    event: str = ""
    symbol: str = ""
    time_ns: int | None = None
    is_book: bool = False


_FRAME = msgspec.json.Decoder(_Frame)
_RESULT = msgspec.json.Decoder(_Result)
_RESULTS = msgspec.json.Decoder(list[_Result])
_LEVELS = msgspec.json.Decoder(_LevelsFrame)


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is none of Gate's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)
    channel = _text(frame.channel)
    if not channel.startswith("spot."):
        is_book = bool(bytes(frame.bids)) and isinstance(frame.id, int)
        return Marks(is_book=True) if is_book else None
    row = _first_row(bytes(frame.result)) if frame.event == "update" else _Result()
    return Marks(
        channel=channel,
        event=_text(frame.event),
        symbol=_text(row.s) or _text(row.currency_pair),
        time_ns=_time_ns(row.t, row.create_time_ms, frame.time),
    )


def _first_row(result: bytes) -> _Result:
    try:
        if result[:1] == b"{":
            return _RESULT.decode(result)
        rows = _RESULTS.decode(result) if result else []
    except (ValueError, RecursionError):
        return _Result()
    return rows[0] if rows else _Result()


def _time_ns(*times: object) -> int | None:
    """Return the first usable time in UNIX ns; all are in ms but the last, which is in seconds."""
    for time in times[:-1]:
        try:
            if time is not None:
                return unix_ns(int(Decimal(str(time))))
        except ArithmeticError:
            continue
    seconds = times[-1]
    return seconds * 10**9 if isinstance(seconds, int) else None


def _torn(raw: bytes) -> Marks | None:
    channel, event, symbol = (
        match.group(1).decode("utf-8", "replace") if match else ""
        for match in (_TORN_CHANNEL.search(raw), _TORN_EVENT.search(raw), _TORN_SYMBOL.search(raw))
    )
    return Marks(channel, event, symbol) if channel else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class GateRecordings:
    """Recordings of spot over WebSocket v4."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(20)
    notional_min = Decimal(1)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Tell by host and path: the same host has futures under other paths."""
        parts = urlsplit(url)
        is_spot = parts.path.startswith(("/ws/v4", "/api/v4/spot"))
        return VENUE if (parts.hostname or "") in HOSTS and is_spot else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the channel."""
        marks = self._read(raw)
        return VENUE if marks is not None and marks.channel else None

    def learn(self, url: str, body: bytes) -> bool:
        """Nothing to learn: a symbol tells its base and quote."""
        return False

    def instrument_of_url(self, url: str) -> str | None:
        """Read the pair of ``/spot/order_book?currency_pair=``."""
        parts = urlsplit(url)
        symbols = parse_qs(parts.query).get("currency_pair")
        if not parts.path.endswith("/spot/order_book") or not symbols:
            return None
        return to_instrument(symbols[0])

    def facts_of_url(self, url: str) -> str | None:
        """Nothing: no facts are asked for beside books."""
        return None

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the first symbol."""
        marks = self._read(raw)
        return to_instrument(marks.symbol) if marks is not None and marks.symbol else None

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the channel; answers to subscriptions carry nothing."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        if marks.is_book:
            return FrameRole.REST_BOOK
        is_update = marks.event in ("update", "")
        return _ROLES.get(marks.channel, FrameRole.OTHER) if is_update else FrameRole.OTHER

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Nothing: REST books are recorded with their URL."""
        return None

    def body_of_frame(self, raw: bytes) -> bytes:
        """Nothing to take out: a REST book has no wrapper."""
        return raw

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time of what came first in the frame."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> GateSession:
        """Return a session that reads this instrument's frames."""
        return GateSession(
            venue,
            {instrument.replace("/", "_"): instrument},  # also where none is known
            early_max=EARLY_DELTAS_MAX,
            snapshot_sizes=SNAPSHOT_SIZES,
        )

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of an update or a book."""
        return levels_of(raw)


def levels_of(raw: bytes) -> list[tuple[str, str]]:
    """Return price and quantity of every level in a payload; none of what carries no levels."""
    try:
        found: _Levels = _LEVELS.decode(raw)
    except (ValueError, RecursionError):
        return []
    inner = found.result if isinstance(found, _LevelsFrame) and found.result else found
    sides = (inner.b, inner.a, inner.bids, inner.asks)
    return [(str(price), str(qty)) for side in sides for price, qty in side or ()]


RECORDINGS = GateRecordings
