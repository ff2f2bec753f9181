"""What the engine asks of the outside, and what comes back. Pure.

A host answers every request: ``OpenConnection`` with ``ConnectionOpened`` or ``ConnectionClosed``,
an opened connection that ends with ``ConnectionClosed``, ``FetchSnapshot`` with one
``SnapshotAnswered``, ``ReadListings`` with one ``ListingAnswered`` per job. The engine itself
recognizes answers that came too late.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shared.engine import Action, Result
from shared.messages.rules import InstrumentRules
from shared.venues.client_books import ClientBooks


class OpenConnection(Action, frozen=True):
    """Open a WebSocket, or a ``client``. ``connection`` names this attempt and is never used
    again."""

    connection: int
    url: str
    venue: str
    client: ClientBooks | None = None


class SendFrames(Action, frozen=True):
    """Send these text frames, in order."""

    connection: int
    frames: list[str]


class CloseConnection(Action, frozen=True):
    """Close it; what it still delivers is ignored."""

    connection: int


class FetchSnapshot(Action, frozen=True):
    """Ask ``url`` for a REST order book, other facts or an address. ``request`` goes back in the
    answer.

    ``is_audit``: books are compared with it, none is made from it.
    """

    request: int
    url: str
    venue: str
    connection: int
    instrument: str
    is_audit: bool = False
    method: str = "GET"


class ListingJob(msgspec.Struct, frozen=True):
    """Which instruments to look up in a venue's list; an empty URL means the venue's own."""

    adapter: str
    venue: str
    rest_url: str
    instruments: list[str]


class ReadListings(Action, frozen=True):
    """Read these venues' lists of instruments, side by side."""

    jobs: list[ListingJob]


class LogLevel(StrEnum):
    """How much a log entry matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogEntry(Action, frozen=True):
    """A line for the operator's log; nothing comes back. ``event`` is constant."""

    level: LogLevel
    event: str
    fields: dict[str, str | int | float]


class ConnectionOpened(Result, frozen=True):
    """The connection is up."""

    connection: int


class FrameReceived(Result, frozen=True, gc=False):
    """A data frame, as received at ``ts_recv_ns`` (UNIX ns)."""

    connection: int
    raw: bytes
    ts_recv_ns: int


class ConnectionClosed(Result, frozen=True):
    """The connection ended or could not be opened; ``code`` is the one that the venue closed it
    with, 0 where it gave none."""

    connection: int
    reason: str
    code: int = 0


class SnapshotAnswered(Result, frozen=True):
    """The answer to a ``FetchSnapshot``. ``status`` is HTTP's, 0 where none came; then ``error``
    says why. ``retry_after`` is the header's text."""

    request: int
    status: int
    body: bytes = b""
    retry_after: str | None = None
    error: str = ""


class ListingAnswered(Result, frozen=True):
    """What a venue lists: rules, and why an instrument has none (``missing``); ``error`` says why
    there is no answer at all."""

    venue: str
    rules: list[InstrumentRules] = msgspec.field(default_factory=list)
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    error: str = ""
