"""What recorded Kraken WebSocket v2 lines are about, told from their first bytes. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from shared.venues.kraken.session import KrakenSession
from shared.venues.kraken.symbols import to_instrument
from shared.venues.port import FrameRole, Hint

HEAD_BYTES = 160
DEPTH_UNKNOWN = 1
"""The depth is then what the acknowledgement says, or what holds the snapshot."""
_CHANNELS = ("book", "trade", "ticker", "heartbeat", "status", "ohlc", "instrument")
_PREFIXES = tuple(f'{{"channel":"{channel}"'.encode() for channel in _CHANNELS)
_SYMBOL = b'"symbol":"'


class KrakenRecordings:
    """Recordings of WebSocket v2; version 1 has other frames and is not read."""

    venues = ("kraken",)

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}

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
        if raw.startswith(_PREFIXES):
            return "kraken"
        head = raw[:HEAD_BYTES]
        return "kraken" if b'"method":"subscribe"' in head and b'"result"' in head else None

    def learn(self, url: str, body: bytes) -> None:
        """Nothing to learn: version 2 spells symbols as we do."""

    def instrument_of_url(self, url: str) -> str | None:
        """Nothing: books come on the connection."""
        return None

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Read the first symbol."""
        start = raw.find(_SYMBOL)
        if start < 0:
            return None
        start += len(_SYMBOL)
        end = raw.find(b'"', start, start + 40)
        if end < 0:
            return None
        symbol = raw[start:end].decode("ascii", "replace").replace("\\/", "/")
        instrument = to_instrument(symbol)
        if instrument is not None:
            self._symbols[instrument] = symbol
        return instrument

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell by channel and type."""
        head = raw[:HEAD_BYTES]
        if raw.startswith(_PREFIXES[0]):
            return FrameRole.SNAPSHOT if b'"type":"snapshot"' in head else FrameRole.DELTA
        if raw.startswith(_PREFIXES[1]):
            return FrameRole.TRADE
        return FrameRole.QUOTE if raw.startswith(_PREFIXES[2]) else FrameRole.OTHER

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Nothing: every book names its symbol."""
        return None

    def session(self, venue: str, instrument: str) -> KrakenSession:
        """Return a session that reads this instrument's frames."""
        symbol = self._symbols.get(instrument, instrument)
        return KrakenSession(venue, {symbol: instrument}, DEPTH_UNKNOWN, is_recorded=True)


RECORDINGS = KrakenRecordings
