"""Segments: rows appended to a file that may be cut off anywhere. Pure but for ``read_segment``.

A record is its length and CRC-32 (8 bytes, little-endian) and the row in msgpack. A record that was
not written whole ends the segment: what stands before it is sound.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from shared.store.rows import RawRow

SUFFIX = ".segment"
_HEAD = struct.Struct("<II")
RECORD_BYTES_MAX = 1 << 26
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(RawRow)


def encode(row: RawRow) -> bytes:
    """Return a row as a record."""
    body = _ENCODER.encode(row)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def encode_all(rows: Iterable[RawRow]) -> bytes:
    """Return rows as records."""
    return b"".join(map(encode, rows))


def decode(data: bytes) -> tuple[list[RawRow], int]:
    """Return the rows of a segment, and how many bytes of it are sound."""
    rows: list[RawRow] = []
    at = 0
    while at + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        if len(body) < size or size > RECORD_BYTES_MAX or zlib.crc32(body) != crc:
            break
        try:
            rows.append(_DECODER.decode(body))
        except msgspec.DecodeError:
            break
        at += _HEAD.size + size
    return rows, at


def read_segment(path: Path) -> tuple[list[RawRow], int]:
    """Return the rows of a segment file, and how many bytes at its end are not sound."""
    data = path.read_bytes()
    rows, sound = decode(data)
    return rows, len(data) - sound


def segments_in(root: Path) -> Iterator[Path]:
    """Yield the segments below the root of a store, oldest first."""
    yield from sorted((root / "raw").glob(f"venue=*/date=*/hour=*/*{SUFFIX}"))
