"""What a venue folder offers to the feed side: a sans-IO session per connection.

A session is fed what arrived and answers with effects; it opens no socket and reads no clock. The
ingestor carries the effects out; ``arb verify`` feeds it a recording and reads the same effects.
Adding a venue is adding a folder with a ``FEED`` of this shape and passing ``tests/contract``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from shared.messages.base import BookState, Message
from shared.messages.rules import InstrumentRules
from shared.venues.client_books import ClientBooks


class FeedKind(StrEnum):
    """What a connection carries; also the names in ``venues.*.feeds`` of the configuration."""

    DEPTH = "depth"
    TRADES = "trades"
    FUNDING = "funding"  # with marks and indices


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Publish this market-data message."""

    message: Message


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send this text frame on the connection."""

    frame: str


class FetchSnapshot(msgspec.Struct, frozen=True, gc=False):
    """GET ``path`` (with query) from the venue's REST, then call ``on_snapshot`` with the body.

    ``weight`` is what it costs of the venue's rate budget; ``not_before_ns`` delays it (backoff).
    """

    instrument: str
    path: str
    weight: int
    not_before_ns: int = 0


class FetchFacts(msgspec.Struct, frozen=True, gc=False):
    """GET ``path`` from the venue's REST, then call ``on_facts`` with the body.

    What is asked for beside books, after them; ``topic`` names it and comes back.
    """

    topic: str
    path: str
    weight: int
    not_before_ns: int = 0

    @property
    def instrument(self) -> str:
        """What tells it from other requests of the connection."""
        return self.topic


class FetchAudit(msgspec.Struct, frozen=True, gc=False):
    """GET ``path`` from the venue's REST: a book to compare ours with (``audit_port.py``).

    Asked for by the ingestor itself, after all that sessions wait for.
    """

    instrument: str
    path: str
    weight: int
    not_before_ns: int = 0


class FetchAddress(msgspec.Struct, frozen=True, gc=False):
    """POST ``path`` to the venue's REST for the URL of a connection: no effect of a session, but
    asked by who opens its connection, see ``AskedAddress``.
    """

    path: str
    weight: int
    not_before_ns: int = 0
    instrument: str = ""


class Reconnect(msgspec.Struct, frozen=True, gc=False):
    """Close the connection and open a new one."""

    reason: str


class BookStatus(msgspec.Struct, frozen=True, gc=False):
    """A book changed its trust state at the wire.

    ``refused`` means that the venue does not serve the instrument: the operator is told, and
    readiness does not wait for it.
    """

    instrument: str
    state: BookState
    reason: str
    epoch: int
    refused: bool = False


class FeedRefused(msgspec.Struct, frozen=True, gc=False):
    """The venue does not serve an instrument on a connection beside its book, which goes on."""

    instrument: str
    reason: str


class VenueState(msgspec.Struct, frozen=True, gc=False):
    """What the venue says of itself; ``reason`` is empty where all is well again."""

    reason: str


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Continuity broke: ``expected`` would have continued the book, ``got`` arrived."""

    instrument: str
    expected: int
    got: int


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """Something was rightly not applied; ``reason`` is one of the ``DROPPED_`` constants below.

    With ``DROPPED_SNAPSHOT_OLD`` the snapshot ends before the first buffered delta begins:
    ``expected`` would have continued it, ``got`` is what there is. Another snapshot is asked for.
    """

    instrument: str
    reason: str
    expected: int = 0
    got: int = 0


DROPPED_STALE = "stale"
"""A delta older than the book, a duplicate, or one that the snapshot already contains."""
DROPPED_OVERFLOW = "overflow"
"""A delta that waited for a snapshot and fell out of the bounded buffer."""
DROPPED_UNSYNCED = "unsynced"
"""A delta of a book that waits for the snapshot on its own connection (no buffer there)."""
DROPPED_SNAPSHOT_OLD = "snapshot_old"
DROPPED_TRADE = "trade"
"""A trade that came already."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A checksum was compared (``ok``), or could not be (``ok`` is ``None``)."""

    instrument: str
    ok: bool | None


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A frame did not have the documented shape; nothing of it was used."""

    reason: str


class BestQuote(msgspec.Struct, frozen=True, gc=False):
    """The venue's own best bid and ask with its update id: an oracle for the rebuilt book."""

    instrument: str
    update_id: int
    bid: tuple[float, float]
    ask: tuple[float, float]


Effect = (
    Emit
    | Send
    | FetchSnapshot
    | FetchFacts
    | Reconnect
    | BookStatus
    | FeedRefused
    | VenueState
    | Gap
    | Dropped
    | Checked
    | Malformed
    | BestQuote
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

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """It could not be had; ask again later."""

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader lost the book of this ``epoch``; synchronise again unless that happened."""

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader of this ``epoch`` wants a newer snapshot; the book itself is whole and goes on.

        For venues whose snapshot has a limited number of levels.
        """

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """What ``FetchFacts`` asked for has arrived (HTTP 200)."""

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """It could not be had; ask again later."""

    def on_close(self, now_ns: int) -> Sequence[Effect]:
        """The connection is gone: every book is DOWN."""

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Send application pings, give up on silence or on an unanswered subscription."""


@dataclass(frozen=True, slots=True)
class AskedAddress:
    """How a venue is asked where to connect, before every connection: POST ``path`` to its REST.

    ``read`` returns the URL from the body of the answer (HTTP 200), or raises ``ParseError``; it is
    also given the WebSocket URL to use instead of the venue's, empty where none is configured.
    ``weight`` is what the request costs of the venue's rate budget.
    """

    path: str
    weight: int
    read: Callable[[bytes, str], str]


@dataclass(frozen=True, slots=True)
class FeedConnection:
    """One socket to open: ``path`` is appended to the venue's WebSocket base URL.

    With ``address`` the venue is asked for the URL first; with ``client`` it is no socket.
    """

    venue: str
    path: str
    instruments: tuple[str, ...]
    session: FeedSession
    name: str = ""
    kind: FeedKind = FeedKind.DEPTH
    address: AskedAddress | None = None
    client: ClientBooks | None = None


@dataclass(frozen=True, slots=True)
class RestBudget:
    """Request weight the venue allows per minute, of which snapshots may use a share."""

    weight_per_minute: int
    snapshot_share: float = 0.5


class Feed(Protocol):
    """A venue, as the ingestor needs it; ``shared/venues/registry.py`` maps adapter names to it."""

    venue: str
    ws_url: str
    rest_url: str
    ccxt_id: str
    rest_budget: RestBudget
    lifetime_s: float
    """How long the venue lets one connection live, often 24 h; reconnect before that."""
    extras: Sequence[FeedKind]
    """What it offers beside books."""

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets of these instruments' books; ``venue`` is the configured name."""

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the sockets of one of ``extras``: never a book's, which must not suffer by it."""

    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument.

        Raises:
            ValueError: The venue cannot have it.
        """

    def is_streamed_as(self, market: dict[str, Any]) -> str:
        """Return the symbol under which the stream carries a ccxt market; empty if there is none.

        It comes from the venue's own list, and must be what ``to_symbol`` says of the instrument:
        then rules, books and orders are of one market.
        """

    def rules(self, venue: str, market: dict[str, Any]) -> InstrumentRules:
        """Return our rules from a ccxt market structure: tick and lot as the venue documents."""


class FrameRole(StrEnum):
    """What a recorded payload carries."""

    DELTA = "delta"
    SNAPSHOT = "snapshot"
    REST_BOOK = "rest_book"  # the body of a REST answer rather than a frame
    TRADE = "trade"
    QUOTE = "quote"
    FUNDING = "funding"
    OTHER = "other"


class Hint(NamedTuple):
    """Tells instruments apart where a REST book does not name its own."""

    update_id: int
    price: float


class Recordings(Protocol):
    """A venue, as readers of recordings need it: finds what a recorded line is about.

    Each venue folder offers the class as ``RECORDINGS`` in ``recordings.py``. Nothing here raises
    on bad bytes: what cannot be found out is ``None``. An object learns the spellings of one
    reading, so it is not shared.
    """

    venues: tuple[str, ...]
    """Names it gives to what it reads."""
    taker_fee_bps: Decimal
    """What the venue charges accounts without volume; recordings do not have it."""
    notional_min: Decimal
    """The least value of an order that is usual there, in quote units."""

    def venue_of_url(self, url: str) -> str | None:
        """Return the venue behind a recorded URL, ``None`` where it is not one of this folder's."""

    def venue_of_frame(self, raw: bytes) -> str | None:
        """Return the venue whose marks a payload carries, ``None`` where it has none."""

    def learn(self, url: str, body: bytes) -> bool:
        """Take symbol spellings from recorded instrument metadata, if that is what it is.

        Return whether any of them is news.
        """

    def instrument_of_url(self, url: str) -> str | None:
        """Return the instrument of a REST order-book request."""

    def facts_of_url(self, url: str) -> str | None:
        """Return the topic of a REST request for facts, as ``FetchFacts`` has it."""

    def instrument_of_frame(self, raw: bytes) -> str | None:
        """Return the instrument a payload names."""

    def role_of_frame(self, raw: bytes) -> FrameRole:
        """Tell what a payload carries."""

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Return an update id and a price from a quote, a delta or a REST book."""

    def body_of_frame(self, raw: bytes) -> bytes:
        """Return the REST book that a payload of that role carries, as the venue answered it."""

    def time_of_frame(self, raw: bytes) -> int | None:
        """Return the venue's own time in UNIX ns, for recorders that wrote none."""

    def session(self, venue: str, instrument: str) -> FeedSession:
        """Return a session of one instrument, to be fed what was recorded of it."""

    def levels_of_frame(self, raw: bytes) -> list[tuple[str, str]]:
        """Return price and quantity, as written, of every level that a payload carries."""
