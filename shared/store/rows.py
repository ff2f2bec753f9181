"""One received frame, as it is stored, and its line in a recording. Pure.

A *recording* is everything that one ingestor or one import put in order: ``seq`` counts its rows
from 1 without a hole, whatever venues and files they are spread over, so that whatever is missing
can be named.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from shared.messages.raw import RawKind

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
WEEK_S = 7 * 86_400
MONDAY_NS = 4 * 24 * HOUR_NS
"""Bars of a week begin on Mondays, and UNIX time on a Thursday."""
SEGMENT_SUFFIX = ".segment"
UNKNOWN_VENUE = "unknown"
"""Where rows lie of which nothing shows whose they are."""


class RawRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row.

    Attributes:
        ts_recv_ns: When it was received, UNIX ns.
        recording: Names what put it in order.
        seq: Its number there, from 1.
        connection: Names the connection, or the file that it was imported from.
        kind: ``opened``, ``sent``, ``frame`` or ``rest``.
        url: Of the connection or of the request; empty where it is not known.
        frame: The bytes as received.
    """

    ts_recv_ns: int
    recording: str
    seq: int
    connection: str
    kind: str
    url: str
    frame: bytes


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a recording that were not stored; ``rows`` is ``None`` where nobody counted them."""

    recording: str
    ts_from_ns: int
    ts_to_ns: int
    rows: int | None
    reason: str


def line_of(row: RawRow) -> bytes:
    """Return a row as a line of a recording, without its end.

    Without a URL it is as Tardis writes it: ISO 8601 times, and an empty line where a connection
    was lost; with one, a line of a capture set.
    """
    if not row.url:
        if row.kind == RawKind.OPENED:
            return b""
        return _iso(row.ts_recv_ns) + b" " + _literal(row.frame)
    time = _seconds(row.ts_recv_ns)
    if row.kind == RawKind.OPENED:
        return f"{row.url} <-> {time}".encode()
    if row.kind == RawKind.FRAME:
        return f"{time}: ".encode() + _literal(row.frame)
    arrow = "<-" if row.kind == RawKind.SENT else "->"
    return f"{row.url} {arrow} {time}: ".encode() + _literal(row.frame)


def partition_of(ts_recv_ns: int) -> tuple[str, str]:
    """Return the date and the hour under which a time is stored, both UTC."""
    moment = datetime.fromtimestamp(ts_recv_ns // SECOND_NS, UTC)
    return moment.strftime("%Y-%m-%d"), moment.strftime("%H")


def begins_bar(ts_ns: int, step_ns: int) -> bool:
    """Tell whether a bar of a length may begin at a time; all begin at multiples of it."""
    if step_ns == WEEK_S * SECOND_NS:
        ts_ns -= MONDAY_NS
    return ts_ns % step_ns == 0


def _literal(frame: bytes) -> bytes:
    """Return bytes that a reader of lines gets back as they are."""
    is_plain = frame and not frame.startswith((b'"', b"b'", b'b"', b" ", b"\t"))
    if is_plain and b"\n" not in frame and b"\r" not in frame:
        return frame
    return repr(frame).encode("ascii")


def _seconds(ts_ns: int) -> str:
    return f"{ts_ns // SECOND_NS}.{ts_ns % SECOND_NS:09d}"


def _iso(ts_ns: int) -> bytes:
    moment = datetime.fromtimestamp(ts_ns // SECOND_NS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts_ns % SECOND_NS:09d}Z".encode("ascii")
