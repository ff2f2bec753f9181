"""What recorded Binance lines are about, told from their first bytes. Pure.

Spot and futures share most spellings; their sequence fields tell them apart (``pu``, ``E``, ``e``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import field

from shared.venues.binance.feed import DIALECT
from shared.venues.binance.session import Dialect, StreamSession
from shared.venues.binance.symbols import to_instrument
from shared.venues.port import FrameRole, Hint

SPOT, LINEAR, INVERSE = "spot", "linear", "inverse"
HEAD_BYTES = 400
"""Marks stand before the first levels."""
EARLY_DELTAS_MAX = 50_000
"""Deltas that wait for a recorded snapshot, however late it is: some 200 MB at most."""
SNAPSHOT_SIZES = (5, 10, 20, 50, 100, 500, 1_000, 5_000)
"""Levels a side that a recorder may have asked for: a side with just as many was cut there."""

_PREFIX = b'{"stream":"'
_UPDATE_ID = re.compile(rb'"u": ?(\d{1,19})\b')
_SNAPSHOT_ID = re.compile(rb'"lastUpdateId": ?(\d{1,19})\b')
_PRICE = re.compile(rb'"(?:b|bids)": ?(?:\[ ?\[ ?)?"(\d{1,16}(?:\.\d{1,16})?)"')
_ROLES = {
    b"depth": FrameRole.DELTA,
    b"depthUpdate": FrameRole.DELTA,
    b"trade": FrameRole.TRADE,
    b"bookTicker": FrameRole.QUOTE,
    b"markPrice": FrameRole.FUNDING,
    b"markPriceUpdate": FrameRole.FUNDING,
}


class _Listing(msgspec.Struct, frozen=True):
    symbol: str
    base: str = field(name="baseAsset")
    quote: str = field(name="quoteAsset")
    settle: str | None = field(name="marginAsset", default=None)
    contract: str | None = field(name="contractType", default=None)


class _ExchangeInfo(msgspec.Struct, frozen=True):
    symbols: list[_Listing]


_EXCHANGE_INFO = msgspec.json.Decoder(_ExchangeInfo)


def family_of_frame(raw: bytes) -> str | None:
    """Tell spot, linear and inverse payloads apart; ``None`` where the bytes do not say."""
    head = raw[:HEAD_BYTES]
    if b'"lastUpdateId"' in head[:24]:
        if b'"pair"' in head:
            return INVERSE
        return LINEAR if b'"E"' in head else SPOT
    family = _family_of_event(head)
    if family is LINEAR and (b'"ps":"' in head or b'_PERP"' in head or b"_perp@" in head):
        return INVERSE
    return family


def _family_of_event(head: bytes) -> str | None:
    if b'"depthUpdate"' in head:
        if b'"pu":' in head or b'"T":' in head:  # without ``pu`` it is damaged, but not spot
            return LINEAR
        return SPOT if b'"b":' in head else None  # cut off before it could say
    if b'"e":"bookTicker"' in head or b'"markPriceUpdate"' in head:
        return LINEAR
    if b"@bookTicker" in head or head.startswith(b'{"u":'):
        return SPOT if b'"A":"' in head and b'"e"' not in head else None
    if b'"e":"trade"' in head:
        return SPOT if b'"M":' in head else LINEAR if b'"X":' in head else None
    return None


class StreamRecordings:
    """Recordings of one family of markets.

    Args:
        venues: Family -> name of the venue.
        hosts: First label of a host name -> venue.
        dialect: How its sessions read.
        name_of: Instrument of a symbol by its spelling alone.
    """

    def __init__(
        self,
        venues: dict[str, str],
        hosts: dict[str, str],
        dialect: Dialect,
        name_of: Callable[[str], str | None],
    ) -> None:
        self.venues = tuple(venues.values())
        self._venue_of_family = venues
        self._hosts = hosts
        self._dialect = dialect
        self._name_of = name_of
        self._instruments: dict[str, str] = {}
        self._symbols: dict[str, str] = {}

    def venue_of_url(self, url: str) -> str | None:
        """Tell by the host: ``fstream.binance.com``."""
        host = urlsplit(url).hostname or ""
        label, _, domain = host.partition(".")
        if domain not in ("binance.com", "binance.vision"):
            return None
        return self._hosts.get(label.rstrip("0123456789"))

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Tell by the sequence fields."""
        family = family_of_frame(raw)
        return None if family is None else self._venue_of_family.get(family)

    def learn(self, url: str, body: bytes) -> None:
        """Read an exchangeInfo."""
        if "exchangeInfo" not in url:
            return
        try:
            listings = _EXCHANGE_INFO.decode(body).symbols
        except (ValueError, RecursionError):
            return
        for listing in listings:
            perpetual = listing.contract in (None, "PERPETUAL")
            name = f"{listing.base}/{listing.quote}"
            if listing.settle:
                name = f"{name}:{listing.settle}"
            if perpetual:
                self._name(listing.symbol, name)

    def instrument_of_url(self, url: str) -> str | None:
        """Read the symbol of ``/depth?symbol=``."""
        parts = urlsplit(url)
        symbols = parse_qs(parts.query).get("symbol")
        if not parts.path.endswith("/depth") or not symbols:
            return None
        return self._instrument(symbols[0])

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the symbol of the stream's name, or the event's own."""
        if raw.startswith(_PREFIX):
            end = raw.find(b"@", 11, 64)
            return self._instrument(raw[11:end].decode("utf-8", "replace")) if end > 0 else None
        for key in (b'"s":"', b'"symbol":"'):
            start = raw.find(key)
            if start >= 0:
                start += len(key)
                end = raw.find(b'"', start, start + 40)
                if end > start:
                    return self._instrument(raw[start:end].decode("utf-8", "replace"))
        return None

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by the stream's kind, or the event's name."""
        if raw.startswith(_PREFIX):
            parts = raw[11 : raw.find(b'"', 11)].split(b"@")
            kind = parts[1] if len(parts) > 1 else b""
            return _ROLES.get(kind, FrameRole.OTHER)
        if raw.startswith(b'{"lastUpdateId"'):
            return FrameRole.REST_BOOK
        start = raw.find(b'"e":"')
        if start >= 0:
            return _ROLES.get(raw[start + 5 : raw.find(b'"', start + 5)], FrameRole.OTHER)
        return FrameRole.QUOTE if b'"A":"' in raw[:HEAD_BYTES] else FrameRole.OTHER

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Return the update id and the first bid."""
        number = _UPDATE_ID.search(raw, 0, HEAD_BYTES) or _SNAPSHOT_ID.search(raw, 0, HEAD_BYTES)
        price = _PRICE.search(raw, 0, HEAD_BYTES)
        if number is None or price is None or not float(price.group(1)):
            return None
        return Hint(int(number.group(1)), float(price.group(1)))

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

    def _instrument(self, symbol: str) -> str | None:
        text = symbol.upper()
        known = self._instruments.get(text)
        if known is None and text.replace("_", "").isalnum():
            known = self._name(text, self._name_of(text) or text)
        return known

    def _name(self, symbol: str, instrument: str) -> str:
        self._instruments[symbol] = instrument
        self._symbols[instrument] = symbol
        return instrument


class SpotRecordings(StreamRecordings):
    """Recordings of spot."""

    def __init__(self) -> None:
        hosts = dict.fromkeys(("api", "api-gcp", "stream", "data-api", "data-stream"), "binance")
        super().__init__({SPOT: "binance"}, hosts, DIALECT, to_instrument)


RECORDINGS = SpotRecordings
