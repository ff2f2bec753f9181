"""Segments: rows appended to a file that may be cut off anywhere. Pure but for ``read_segment``.

A record is its length and CRC-32 (8 bytes, little-endian) and, in msgpack, a row (an array) or what
is missing before the next row (a map). A record that was not written whole ends the segment: what
stands before it is sound.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from shared.store.rows import SEGMENT_SUFFIX, Missing, RawRow

_HEAD = struct.Struct("<II")
_ENCODER = msgspec.msgpack.Encoder()
_ROW, _MISSING = msgspec.msgpack.Decoder(RawRow), msgspec.msgpack.Decoder(Missing)
_ARRAYS = range(0x90, 0xA0)
"""First bytes of a short array in msgpack."""


@dataclass(slots=True)
class Segment:
    """What a segment holds; ``torn_bytes`` at its end are not sound."""

    rows: list[RawRow] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    torn_bytes: int = 0


def encode(records: Iterable[RawRow | Missing]) -> bytes:
    """Return records as they are appended."""
    bodies = map(_ENCODER.encode, records)
    return b"".join(_HEAD.pack(len(body), zlib.crc32(body)) + body for body in bodies)


def decode(data: bytes) -> Segment:
    """Return what the bytes of a segment hold."""
    segment = Segment()
    at = 0
    while at + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        if not body or len(body) < size or zlib.crc32(body) != crc:
            break
        try:
            if body[0] in _ARRAYS:
                segment.rows.append(_ROW.decode(body))
            else:
                segment.missing.append(_MISSING.decode(body))
        except msgspec.DecodeError:
            break
        at += _HEAD.size + size
    segment.torn_bytes = len(data) - at
    return segment


def read_segment(path: Path) -> Segment:
    """Return what a segment file holds."""
    return decode(path.read_bytes())


def segments_in(root: Path) -> Iterator[Path]:
    """Yield the segments below the root of a store, oldest first."""
    yield from sorted((root / "raw").glob(f"venue=*/date=*/hour=*/*{SEGMENT_SUFFIX}"))
