"""What a venue folder offers to the feed side: a sans-IO session per connection.

A session is fed what arrived and answers with effects; it opens no socket and reads no clock. The
ingestor carries the effects out; ``arb verify`` feeds it a recording and reads the same effects.
Adding a venue is adding a folder with a ``FEED`` of this shape and passing ``tests/contract``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.domain.instrument import InstrumentRules
from shared.messages.base import BookState, Message


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish this market-data message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame on the connection."""

    frame: str


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """GET ``path`` (with query) from the venue's REST, then call ``on_snapshot`` with the body.

    ``weight`` is what it costs of the venue's rate budget; ``not_before_ns`` delays it (backoff).
    """

    instrument: str
    path: str
    weight: int
    not_before_ns: int = 0


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close the connection and open a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class BookStatus:
    """A book changed its trust state at the wire."""

    instrument: str
    state: BookState
    reason: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Continuity broke: ``expected`` would have continued the book, ``got`` arrived."""

    instrument: str
    expected: int
    got: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A delta was rightly not applied: older than the book, a duplicate, or before the snapshot."""

    instrument: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A checksum was compared (``ok``), or could not be (``ok`` is ``None``)."""

    instrument: str
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame did not have the documented shape; nothing of it was used."""

    reason: str


@dataclass(frozen=True, slots=True)
class BestQuote:
    """The venue's own best bid and ask with its update id: an oracle for the rebuilt book."""

    instrument: str
    update_id: int
    bid: tuple[float, float]
    ask: tuple[float, float]


Effect = (
    Emit | Send | FetchSnapshot | Reconnect | BookStatus | Gap | Dropped | Checked | Malformed | BestQuote
)


class FeedSession(Protocol):
    """The state of one connection's subscriptions; pure.

    Times are UNIX ns. Raw frames are the bytes as received. Epochs must rise: use the ``now_ns`` of
    the synchronisation's start.
    """

    def on_open(self, now_ns: int) -> Sequence[Effect]:
        """The connection is up: subscribe, and forget everything from before."""

    def on_frame(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A frame arrived. Never raises on bad input: that is ``Malformed``."""

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """The REST snapshot asked for has arrived (HTTP 200)."""

    def on_snapshot_failed(self, instrument: str, retry_after_s: float, now_ns: int) -> Sequence[Effect]:
        """It could not be had; ask again later."""

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader lost the book of this ``epoch``; synchronise again unless that already happened."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """The connection is gone: every book is DOWN."""

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Send application pings, give up on silence or on an unanswered subscription."""


@dataclass(frozen=True, slots=True)
class FeedConnection:
    """One socket to open: ``path`` is appended to the venue's WebSocket base URL."""

    venue: str
    path: str
    instruments: tuple[str, ...]
    session: FeedSession
    name: str = ""


@dataclass(frozen=True, slots=True)
class RestBudget:
    """Request weight the venue allows per minute, of which snapshots may use a share."""

    weight_per_minute: int
    snapshot_share: float = 0.5


class Feed(Protocol):
    """A venue, as the ingestor needs it. ``shared/venues/registry.py`` maps adapter names to these."""

    venue: str
    ws_url: str
    rest_url: str
    ccxt_id: str
    rest_budget: RestBudget
    lifetime_s: float
    """How long the venue lets one connection live (24 h on Binance); reconnect before that."""

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets to open for these instruments; ``venue`` is the configured name."""

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return our rules from a ccxt market structure (tick and lot as the venue documents them)."""
