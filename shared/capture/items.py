"""One line of a capture, read. Pure: bytes to typed items."""

from __future__ import annotations

import ast
import re
from enum import StrEnum

import msgspec

from shared.capture.times import LineError, parse_time_ns

_HEAD_BYTES = 64
_TIMED = re.compile(
    rb"\"?(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?: ?UTC|[Zz]|[+-]\d\d(?::?\d\d)?)?"
    rb"|\d[^\s:,;|{\"]*)"
    rb"\"?(?::?\s+|\s*[:,;|]\s*(?=b?[\"']?[{\[]))"
)
"""A time at the start of a line, and what separates it from the frame."""
_HEADING = re.compile(rb"\"?[A-Za-z_]\w*\"?(?:[,;|\t]\s*\"?[A-Za-z_]\w*\"?)+\s*")
"""The first line of a table: names of its columns."""
_BARE = re.compile(rb"\s*\{\s*\"")
_TIME_NAMES = ("localTimestamp", "local_timestamp", "timestamp", "ts", "time")
_FRAME_NAMES = ("message", "msg", "payload", "raw", "frame")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


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
        ts_recv_ns: When the recorder saw it, UNIX ns (of the line before, for a fault; the venue's
            own time, where the recorder wrote none).
        payload: The bytes as received, without time or URL.
        url: Of OPENED, SENT, REST and of a capture set's frames: the connection's.
        connection: Line that opened the connection, 0 where the format records none.
        venue: Whose it is, ``None`` where nothing shows it.
        instrument: What it is about, ``None`` for nothing in particular.
        reason: What is wrong with a FAULT.
        recorded: The payload as it was written down, where that has a wrapper around it.
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
    recorded: bytes = b""


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """One line, not yet attributed; ``ts_recv_ns`` is ``None`` where the recorder wrote no time."""

    kind: Kind
    ts_recv_ns: int | None
    payload: bytes
    url: str = ""
    is_iso: bool = False


def parse_line(line: bytes) -> Parsed | None:
    """Read one line (without its end); ``None`` for what records nothing.

    Raises:
        LineError: The format is unknown, or the time is not valid.
    """
    if line[:1].isdigit() or (line[:2].startswith(b'"') and line[1:2].isdigit()):
        match = _TIMED.match(line)
        token = match.group(1) if match else line.partition(b" ")[0]
        at_ns = parse_time_ns(token)
        if match is None:
            raise LineError("no frame behind the time")
        payload = line[match.end() :]
        return Parsed(Kind.FRAME, at_ns, compact(decode_literal(payload)), is_iso=b"-" in token)
    if not line.strip() or line.startswith(b"configuration: ") or _HEADING.fullmatch(line):
        return None
    if _BARE.match(line):
        return _parse_bare(line)
    return _parse_event(line)


def _parse_bare(line: bytes) -> Parsed | None:
    """Read a line that is a JSON object: a frame alone, or a recorder's own wrapper around it."""
    try:
        fields = _OBJECT.decode(line)
    except (ValueError, RecursionError):
        return Parsed(Kind.FRAME, None, line)
    time = next((fields[name] for name in _TIME_NAMES if name in fields), None)
    frame = next((fields[name] for name in _FRAME_NAMES if name in fields), None)
    if time is None or frame is None:
        return Parsed(Kind.FRAME, None, compact(line.strip()))
    text = bytes(time).strip(b'"')
    payload = decode_literal(bytes(frame))
    if payload == b"null":
        return None  # how it writes a disconnection
    return Parsed(Kind.FRAME, parse_time_ns(text), compact(payload), is_iso=b"-" in text)


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
    return Parsed(kind, parse_time_ns(time), decode_literal(payload), name)


def compact(payload: bytes) -> bytes:
    """Take out the white space that a recorder put between JSON tokens; venues send none.

    Texts and the spelling of numbers stay. What is not JSON (a line cut off) loses the spaces
    behind colons and commas only, so that what is left of it still shows what it was.
    """
    if b": " not in payload[:_HEAD_BYTES] and b", " not in payload[:_HEAD_BYTES]:
        return payload
    try:
        return bytes(msgspec.json.format(payload, indent=-1))
    except (msgspec.DecodeError, RecursionError):
        return payload.replace(b'": ', b'":').replace(b", ", b",").replace(b"{ ", b"{")


def decode_literal(payload: bytes) -> bytes:
    """Undo a Python bytes literal, a JSON string or a CSV field; others are returned as they are.

    Raises:
        LineError: It starts like a literal, but is not one.
    """
    if payload.startswith(b'"'):
        return _unquoted(payload)
    if not payload.startswith((b"b'", b'b"')):
        return payload
    try:
        value = ast.literal_eval(payload.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise LineError("the payload is a broken bytes literal") from error
    assert isinstance(value, bytes), "a bytes literal gives bytes"
    return value


def _unquoted(payload: bytes) -> bytes:
    text = payload.rstrip()
    try:
        return msgspec.json.decode(text, type=str).encode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    if len(text) < len(b'""') or not text.endswith(b'"'):
        raise LineError("the payload is a broken quoted field")
    return text[1:-1].replace(b'""', b'"')
