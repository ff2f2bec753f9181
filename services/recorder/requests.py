"""What the recorder's engine asks of the outside, and what comes back. Pure."""

from __future__ import annotations

import msgspec

from shared.engine import Action, Result
from shared.store.rows import Missing, RawRow


class Part(msgspec.Struct, frozen=True):
    """Rows for one segment, and what is missing before the first of them."""

    segment: str
    rows: list[RawRow]
    missing: list[Missing]


class Recover(Action, frozen=True):
    """Take possession of the store and look at what is in it."""


class Write(Action, frozen=True):
    """Append rows to segments and make them durable: all of them, or none."""

    parts: list[Part]


class Finish(Action, frozen=True):
    """Turn a segment, which gets no more rows, into Parquet."""

    segment: str


class LogEntry(Action, frozen=True):
    """A line for the operator's log; ``event`` is constant."""

    event: str
    fields: dict[str, str | int]
    is_error: bool = False


class Known(msgspec.Struct, frozen=True):
    """The last stored row of a recording."""

    seq: int
    ts_ns: int


class Recovered(Result, frozen=True):
    """The store is ours: its recordings, and the segments that nobody finished.

    ``torn_bytes`` are of rows that were being written when the recorder before was killed.
    """

    known: dict[str, Known]
    segments: list[str]
    rows: int = 0
    torn_bytes: int = 0


class NotRecovered(Result, frozen=True):
    """The store cannot be had now."""

    reason: str


class Written(Result, frozen=True):
    """The rows are durable; ``sizes`` are what the segments have now."""

    sizes: dict[str, int]


class NotWritten(Result, frozen=True):
    """None of the rows was written."""

    reason: str


class Finished(Result, frozen=True):
    """The segment is Parquet."""

    segment: str
    rows: int


class NotFinished(Result, frozen=True):
    """The segment is as it was."""

    segment: str
    reason: str
