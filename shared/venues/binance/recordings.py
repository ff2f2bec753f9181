"""What recorded Binance lines are about, found from the decoded frame. Pure.

Spot and futures share most spellings. COIN-M is recognised by its symbols, the rest by what the
venue documents of a depth event: futures number it with ``pu``, spot does not.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import field

from shared.venues.binance.feed import DIALECT
from shared.venues.binance.marks import Marks, read_marks
from shared.venues.binance.session import Dialect, StreamSession
from shared.venues.binance.symbols import is_inverse, to_instrument
from shared.venues.port import FrameRole, Hint
from shared.venues.read_once import ReadOnce
from shared.venues.times import unix_ns

SPOT, LINEAR, INVERSE = "spot", "linear", "inverse"
EARLY_DELTAS_MAX = 50_000
"""Deltas that wait for a recorded snapshot, however late it is: some 200 MB at most."""
SNAPSHOT_SIZES = (5, 10, 20, 50, 100, 500, 1_000, 5_000)
"""Levels a side that a recorder may have asked for: a side with just as many was cut there."""

_DOMAINS = ("binance.com", "binance.vision", "binance.us")
_DOMAIN_US = "binance.us"
_ROLES = {
    "depth": FrameRole.DELTA,
    "depthUpdate": FrameRole.DELTA,
    "trade": FrameRole.TRADE,
    "bookTicker": FrameRole.QUOTE,
    "markPrice": FrameRole.FUNDING,
    "markPriceUpdate": FrameRole.FUNDING,
}
_WITHOUT_LEVELS = frozenset((FrameRole.TRADE, FrameRole.QUOTE, FrameRole.FUNDING))


NOTIONAL_MIN = Decimal(5)
"""Least value of an order that most instruments have, in quote units."""


class _Levels(msgspec.Struct, frozen=True):
    """The levels of a depth event (``b``, ``a``) or of a REST book (``bids``, ``asks``)."""

    b: list[tuple[str | float, str | float]] = []
    a: list[tuple[str | float, str | float]] = []
    bids: list[tuple[str | float, str | float]] = []
    asks: list[tuple[str | float, str | float]] = []


_LEVELS = msgspec.json.Decoder(_Levels)


class _Listing(msgspec.Struct, frozen=True):
    symbol: str
    base: str = field(name="baseAsset")
    quote: str = field(name="quoteAsset")
    settle: str | None = field(name="marginAsset", default=None)
    contract: str | None = field(name="contractType", default=None)


class _ExchangeInfo(msgspec.Struct, frozen=True):
    symbols: list[_Listing]


_EXCHANGE_INFO = msgspec.json.Decoder(_ExchangeInfo)


def family_of_frame(marks: Marks) -> str | None:
    """Tell spot, linear and inverse payloads apart; ``None`` where the frame does not say."""
    family = _family_of_event(marks)
    if family is not None and is_inverse(marks.symbol):
        return INVERSE
    return family


def _family_of_event(marks: Marks) -> str | None:
    if marks.is_rest_book:
        return LINEAR if marks.has_event_time else SPOT
    match marks.event or marks.kind:
        case "depthUpdate":
            # A futures delta that lost its ``pu`` is damaged, but not spot.
            is_futures = marks.has_prev_id or marks.has_match_time
            return LINEAR if is_futures else SPOT if marks.has_sides else None
        case "bookTicker":
            return LINEAR if marks.event else SPOT if marks.is_quote else None
        case "markPriceUpdate" | "markPrice":
            return LINEAR
        case "trade":
            return SPOT if marks.is_best_match else LINEAR if marks.has_order_type else None
        case _:
            return SPOT if marks.is_quote and not marks.event else None


class StreamRecordings:
    """Recordings of one family of markets.

    Args:
        venues: Family -> name of the venue.
        hosts: First label of a host name -> venue.
        dialect: How its sessions read.
        name_of: Instrument of a symbol by its spelling alone.
        taker_fee_bps: What the venue charges accounts without volume.
    """

    def __init__(
        self,
        venues: dict[str, str],
        hosts: dict[str, str],
        dialect: Dialect,
        name_of: Callable[[str], str | None],
        taker_fee_bps: Decimal,
    ) -> None:
        self.venues = tuple(venues.values())
        self._venue_of_family = venues
        self._hosts = hosts
        self._dialect = dialect
        self._name_of = name_of
        self.taker_fee_bps, self.notional_min = taker_fee_bps, NOTIONAL_MIN
        self._instruments: dict[str, str] = {}
        self._symbols: dict[str, str] = {}
        self._is_us = False
        self._read = ReadOnce(read_marks)

    def venue_of_url(self, url: str) -> str | None:
        """Find it by the host: ``fstream.binance.com``; Binance.US has Binance's protocol."""
        host = urlsplit(url).hostname or ""
        label, _, domain = host.partition(".")
        if domain not in _DOMAINS:
            return None
        venue = self._hosts.get(label.rstrip("0123456789"))
        self._is_us = self._is_us or (venue is not None and domain == _DOMAIN_US)
        return venue

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Find it by the symbol and the documented shape."""
        marks = self._read(raw)
        family = None if marks is None else family_of_frame(marks)
        return None if family is None else self._venue_of_family.get(family)

    def learn(self, url: str, body: bytes) -> bool:
        """Read an exchangeInfo."""
        if "exchangeInfo" not in url:
            return False
        try:
            listings = _EXCHANGE_INFO.decode(body).symbols
        except (ValueError, RecursionError):
            return False
        is_news = False
        for listing in listings:
            perpetual = listing.contract in (None, "PERPETUAL")
            name = f"{listing.base}/{listing.quote}"
            if listing.settle:
                name = f"{name}:{listing.settle}"
            if perpetual:
                is_news = is_news or self._instruments.get(listing.symbol) != name
                self._name(listing.symbol, name)
        return is_news

    def instrument_of_url(self, url: str) -> str | None:
        """Read the symbol of ``/depth?symbol=``."""
        parts = urlsplit(url)
        symbols = parse_qs(parts.query).get("symbol")
        if not parts.path.endswith("/depth") or not symbols:
            return None
        return self._instrument(symbols[0])

    def facts_of_url(self, url: str) -> str | None:
        """Find what was asked about funding."""
        funding = self._dialect.funding
        return None if funding is None else funding.topic_of(url, self._instrument)

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the event's symbol, else that of the stream's name."""
        marks = self._read(raw)
        return self._instrument(marks.symbol) if marks is not None and marks.symbol else None

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Find it by the event's name, or the stream's kind."""
        marks = self._read(raw)
        if marks is None or marks.is_partial_book:
            return FrameRole.OTHER
        if marks.is_rest_book:
            return FrameRole.REST_BOOK
        role = _ROLES.get(marks.event or marks.kind)
        if role is not None:
            return role
        is_quote = marks.is_quote and not marks.event and not marks.stream
        return FrameRole.QUOTE if is_quote else FrameRole.OTHER

    def body_of_frame(self, raw: bytes) -> bytes:
        """Take a REST book out of the stream's wrapper that a recorder put around it."""
        marks = self._read(raw)
        return raw if marks is None or not marks.stream else marks.body

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Return the update id and the first bid."""
        marks = self._read(raw)
        update_id = None if marks is None else marks.update_id
        if marks is None or update_id is None:
            return None
        price = marks.first_bid()
        return Hint(update_id, price) if price else None

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the event time."""
        marks = self._read(raw)
        time = None if marks is None else marks.time
        return None if time is None else unix_ns(time)

    def session(self, venue: str, instrument: str) -> StreamSession:
        """Return a session that reads this instrument's frames."""
        symbol = self._symbols.get(instrument, instrument)
        symbols = {symbol: instrument}
        return StreamSession(
            venue,
            self._dialect,
            {},
            symbols,
            early_max=EARLY_DELTAS_MAX,
            snapshot_sizes=SNAPSHOT_SIZES,
        )

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Read the levels of a depth event or a book."""
        if self.role_of_frame(raw) in _WITHOUT_LEVELS:
            return []
        return _levels_of(self._read(raw), raw)

    def _instrument(self, symbol: str) -> str | None:
        text = symbol.upper()
        known = self._instruments.get(text)
        if known is None and text.replace("_", "").isalnum():
            known = self._name(text, self._guess(text) or text)
        return known

    def _guess(self, symbol: str) -> str | None:
        return to_instrument(symbol, is_us=True) if self._is_us else self._name_of(symbol)

    def _name(self, symbol: str, instrument: str) -> str:
        self._instruments[symbol] = instrument
        self._symbols[instrument] = symbol
        return instrument


def _levels_of(marks: Marks | None, raw: bytes) -> list[tuple[str, str]]:
    """Return price and quantity of every level in a payload; none of what carries no levels."""
    if marks is None:
        return []
    try:
        found = _LEVELS.decode(marks.body if marks.stream else raw)
    except (msgspec.DecodeError, RecursionError):
        return []
    sides = (found.b, found.a, found.bids, found.asks)
    return [(str(price), str(qty)) for side in sides for price, qty in side]


class SpotRecordings(StreamRecordings):
    """Recordings of spot."""

    def __init__(self) -> None:
        hosts = dict.fromkeys(("api", "api-gcp", "stream", "data-api", "data-stream"), "binance")
        super().__init__({SPOT: "binance"}, hosts, DIALECT, to_instrument, Decimal(10))


RECORDINGS = SpotRecordings
