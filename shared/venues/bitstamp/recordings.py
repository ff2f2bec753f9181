"""What recorded Bitstamp lines are about, found from the decoded frame. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.venues.bitstamp.session import BOOKS, TRADES, BitstampSession
from shared.venues.bitstamp.symbols import to_instrument, to_symbol
from shared.venues.port import FrameRole, Hint
from shared.venues.read_once import ReadOnce
from shared.venues.times import MICROS_MAX

VENUE = "bitstamp"
EARLY_DELTAS_MAX = 50_000
"""Deltas that wait for a recorded snapshot, however late it is."""
BOOK_PATH = re.compile(r"/api/v2/order_book/(\w+)/?")
LISTS = ("/trading-pairs-info", "/markets")
_ROLES = {BOOKS: FrameRole.DELTA, TRADES: FrameRole.TRADE}
_TORN_CHANNEL = re.compile(rb'"channel"\s*:\s*"(diff_order_book_|live_trades_)(\w{1,40})')


class _Data(msgspec.Struct, frozen=True):
    microtimestamp: Any = None
    bids: list[tuple[Any, ...]] | None = None
    asks: list[tuple[Any, ...]] | None = None


class _Frame(_Data, frozen=True):
    event: Any = ""
    channel: Any = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _Pair(msgspec.Struct, frozen=True):
    name: str
    url_symbol: str = ""
    market_symbol: str = ""


class Marks(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    prefix: str = ""
    symbol: str = ""
    time_ns: int | None = None
    is_book: bool = False


_FRAME = msgspec.json.Decoder(_Frame)
_DATA = msgspec.json.Decoder(_Data)
_PAIRS = msgspec.json.Decoder(list[_Pair])


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame, or what is left of one that is cut off; ``None`` if it is another venue's."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _TORN_CHANNEL.search(raw)
        return (
            None if found is None else Marks(found[1].decode(), found[2].decode("utf-8", "replace"))
        )
    if not frame.event:
        is_book = None not in (frame.microtimestamp, frame.bids, frame.asks)
        return Marks(is_book=True, time_ns=_time_ns(frame.microtimestamp)) if is_book else None
    channel = frame.channel if isinstance(frame.channel, str) else ""
    prefix = next((each for each in _ROLES if channel.startswith(each)), "")
    if not prefix or frame.event not in ("data", "trade"):
        return Marks() if str(frame.event).startswith("bts:") else None
    data = _data_of(frame.data)
    return Marks(prefix, channel.removeprefix(prefix), _time_ns(data.microtimestamp))


def _data_of(raw: msgspec.Raw) -> _Data:
    try:
        return _DATA.decode(raw)
    except (ValueError, RecursionError):
        return _Data()


def _time_ns(micros: object) -> int | None:
    try:
        told = int(str(micros)[:20])
    except ValueError:
        return None
    return told * 1_000 if 0 < told <= MICROS_MAX else None


class BitstampRecordings:
    """Recordings of spot."""

    venues = (VENUE,)
    taker_fee_bps = Decimal(40)
    notional_min = Decimal(10)

    def __init__(self) -> None:
        self._read = ReadOnce(read_marks)
        self._learned: dict[str, str] = {}

    def venue_of_url(self, url: str) -> str | None:
        """Tell by the host."""
        return VENUE if VENUE in (urlsplit(url).hostname or "").split(".") else None

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the channel."""
        marks = self._read(raw)
        return VENUE if marks is not None and marks.prefix else None

    def learn(self, url: str, body: bytes) -> bool:
        """Read a list of pairs: ``"name": "BTC/USD"`` of ``btcusd``."""
        if not urlsplit(url).path.rstrip("/").endswith(LISTS):
            return False
        try:
            pairs = _PAIRS.decode(body)
        except (ValueError, RecursionError):
            return False
        told = {pair.url_symbol or pair.market_symbol: pair.name for pair in pairs}
        is_news = any(self._learned.get(symbol) != name for symbol, name in told.items())
        self._learned |= told
        return is_news

    def instrument_of_url(self, url: str) -> str | None:
        """Read the symbol of a book's request."""
        found = BOOK_PATH.fullmatch(urlsplit(url).path)
        return None if found is None else self._instrument(found[1])

    def facts_of_url(self, url: str) -> str | None:
        """Nothing: no facts are asked for beside books."""
        return None

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the symbol behind the channel's name."""
        marks = self._read(raw)
        return self._instrument(marks.symbol) if marks is not None and marks.symbol else None

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the channel; answers to subscriptions carry nothing."""
        marks = self._read(raw)
        if marks is None:
            return FrameRole.OTHER
        return FrameRole.REST_BOOK if marks.is_book else _ROLES.get(marks.prefix, FrameRole.OTHER)

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Nothing: REST books are recorded with their URL."""
        return None

    def body_of_frame(self, raw: bytes) -> bytes:
        """Nothing to take out: a REST book has no wrapper."""
        return raw

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's time, where the frame has one."""
        marks = self._read(raw)
        return None if marks is None else marks.time_ns

    def session(self, venue: str, instrument: str) -> BitstampSession:
        """Return a session that reads this instrument's frames."""
        try:
            symbol = to_symbol(instrument)
        except ValueError:
            symbol = ""  # of frames that name none
        return BitstampSession(
            venue, {symbol: instrument}, early_max=EARLY_DELTAS_MAX, is_recorded=True
        )

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of an update or a book."""
        bids, asks = levels_of(raw)
        return bids + asks

    def _instrument(self, symbol: str) -> str | None:
        return self._learned.get(symbol) or to_instrument(symbol)


def levels_of(raw: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return price and amount of the bids and asks in a payload; none of what carries no levels."""
    try:
        frame = _FRAME.decode(raw)
    except (ValueError, RecursionError):
        return [], []
    told: _Data = frame if frame.bids is not None else _data_of(frame.data)
    bids, asks = (
        [(str(row[0]), str(row[1])) for row in side or () if len(row) > 1]
        for side in (told.bids, told.asks)
    )
    return bids, asks


RECORDINGS = BitstampRecordings
