"""What one line of a capture says. Pure: bytes to typed items."""

from __future__ import annotations

import ast
from enum import StrEnum

import msgspec

_TIME_DIGITS_MAX = 19
_HEAD_BYTES = 64
_UNITS = ((11, 9), (14, 6), (17, 3), (_TIME_DIGITS_MAX, 0))
"""Digits of the whole part at most, and the power of ten that makes nanoseconds: s, ms, us, ns."""


class Kind(StrEnum):
    """What a line records."""

    OPENED = "opened"  # a connection to ``url``
    SENT = "sent"  # a frame of ours
    FRAME = "frame"  # a frame of the venue's
    REST = "rest"  # an answer of the venue's REST; ``url`` is empty where the format lost it
    FAULT = "fault"  # a line that cannot be read, see ``reason``


class CaptureItem(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line.

    Attributes:
        kind: What it records.
        path: The file.
        line: Counts from 1 within the file.
        ts_recv_ns: When the recorder saw it, UNIX ns (of the line before, for a fault).
        payload: The bytes as received, without time or URL.
        url: Of OPENED, SENT, REST and of a capture set's frames: the connection's.
        connection: Line that opened the connection, 0 where the format records none.
        venue: Whose it is, ``None`` where nothing tells.
        instrument: What it is about, ``None`` for nothing in particular.
        reason: What is wrong with a FAULT.
    """

    kind: Kind
    path: str
    line: int
    ts_recv_ns: int
    payload: bytes = b""
    url: str = ""
    connection: int = 0
    venue: str | None = None
    instrument: str | None = None
    reason: str = ""


class LineError(ValueError):
    """A line is of neither format."""


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """One line, not yet attributed."""

    kind: Kind
    ts_recv_ns: int
    payload: bytes
    url: str = ""


def parse_line(line: bytes) -> Parsed | None:
    """Read one line (without its end); ``None`` for what records nothing.

    Raises:
        LineError: Neither format, or a time that is none.
    """
    if line[:1].isdigit():
        token, _, payload = line.partition(b" ")
        at_ns = parse_time_ns(token.removesuffix(b":"))
        return Parsed(Kind.FRAME, at_ns, compact(unliteral(payload)))
    if not line.strip() or line.startswith(b"configuration: "):
        return None
    return _parse_event(line)


def _parse_event(line: bytes) -> Parsed:
    url, _, rest = line.partition(b" ")
    arrow, _, rest = rest.partition(b" ")
    if b"://" not in url or arrow not in (b"<->", b"<-", b"->"):
        raise LineError("neither '<time> <frame>' nor '<url> <arrow> <time>: <payload>'")
    name = url.decode("ascii", "replace")
    if arrow == b"<->":
        return Parsed(Kind.OPENED, parse_time_ns(rest.strip()), b"", name)
    time, _, payload = rest.partition(b": ")
    kind = Kind.SENT if arrow == b"<-" else Kind.REST
    return Parsed(kind, parse_time_ns(time), unliteral(payload), name)


def parse_time_ns(text: bytes) -> int:
    """Return UNIX ns from s, ms, us or ns, with or without a fraction.

    Digits are moved, not multiplied: a float would lose nanoseconds.

    Raises:
        LineError: Not a number, or longer than any time.
    """
    whole, _, fraction = text.partition(b".")
    if whole.isdigit() and len(whole) <= _TIME_DIGITS_MAX and (not fraction or fraction.isdigit()):
        for digits_max, power in _UNITS:
            if len(whole) <= digits_max:
                moved = fraction[:power].ljust(power, b"0")
                return int(whole + moved)
    raise LineError(f"{text[:40]!r} is not a time")


def compact(payload: bytes) -> bytes:
    """Take out the white space that a recorder put between JSON tokens; venues send none.

    Texts and the spelling of numbers stay. What is not JSON (a line cut off) loses the spaces
    behind colons and commas only, so that what is left of it still tells what it was.
    """
    if b": " not in payload[:_HEAD_BYTES] and b", " not in payload[:_HEAD_BYTES]:
        return payload
    try:
        return bytes(msgspec.json.format(payload, indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return payload.replace(b'": ', b'":').replace(b", ", b",").replace(b"{ ", b"{")


def unliteral(payload: bytes) -> bytes:
    """Undo a Python bytes literal; other payloads are returned as they are.

    Raises:
        LineError: It starts like a literal and is none.
    """
    if not payload.startswith((b"b'", b'b"')):
        return payload
    try:
        value = ast.literal_eval(payload.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise LineError("the payload is a broken bytes literal") from error
    assert isinstance(value, bytes), "a bytes literal gives bytes"
    return value
