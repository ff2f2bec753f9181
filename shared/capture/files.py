"""Lines of a capture file, plain or gzip, streamed; damage ends the stream with a reason."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from shared.errors import ConfigError

CHUNK_BYTES = 1 << 18
STEP_BYTES = 1 << 13
LINE_BYTES_MAX = 1 << 26
"""64 MiB: the longest recorded line (all instruments of a venue) has 5 MB."""
_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_MAGIC = {
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Editors and shells of Windows put it before the text; it has no meaning."""


class DamagedError(Exception):
    """The file cannot be read further; the text says why."""


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines without their ends (``\\n`` or ``\\r\\n``), also a last one that has none.

    Raises:
        ConfigError: The file is not there or cannot be opened.
        DamagedError: Compressed data ends early or is broken, or a line never ends. All whole lines
            before that were yielded.
    """
    rest = b""
    is_first = True
    for chunk in _read_chunks(path):
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        if is_first:
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
            is_first = False
        rest = lines.pop()
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > LINE_BYTES_MAX:
            raise DamagedError(f"a line of more than {LINE_BYTES_MAX} bytes")
    if rest:
        yield rest.removesuffix(b"\r")


def _read_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            first = file.read(CHUNK_BYTES)
            for magic, name in _OTHER_MAGIC.items():
                if first.startswith(magic):
                    raise ConfigError(
                        f"{path} is not a capture: it is compressed by {name}; "
                        "expected plain text or gzip, so unpack it first"
                    )
            chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
            if first.startswith(_GZIP_MAGIC):
                yield from _inflate(first, chunks)
            else:
                yield first
                yield from chunks
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give files of recorded traffic"
        ) from error


def _inflate(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress one or several gzip members, in small steps: a broken step is lost as a whole."""
    inflater = zlib.decompressobj(wbits=31)
    for chunk in chain((first,), chunks):
        for start in range(0, len(chunk), STEP_BYTES):
            pending = chunk[start : start + STEP_BYTES]
            while pending:
                if inflater.eof:
                    pending = pending.lstrip(b"\0")  # padding between members
                    if not pending:
                        break
                    inflater = zlib.decompressobj(wbits=31)
                try:
                    plain = inflater.decompress(pending)
                except zlib.error as error:
                    raise DamagedError(f"the compressed data is broken: {error}") from error
                if plain:
                    yield plain
                pending = inflater.unused_data
    if not inflater.eof:
        raise DamagedError("the compressed data ends early: the file is truncated")
