"""Manifests: what a Parquet file of the store holds, written beside it once it is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from shared.errors import ArbError, ConfigError
from shared.store.rows import SEGMENT_SUFFIX, Missing

SUFFIX = ".manifest.json"
TABLES = ("raw", "depth", "trade", "funding", "bar", "mark", "index", "premium")
CHUNK_BYTES = 1 << 20
FORMAT = 1


class StoreFault(ArbError):  # noqa: N818 - named for what it means
    """Something in a store is not as its manifest says; the text names file and row."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a recording that a file holds."""

    recording: str
    rows: int
    seq_first: int
    seq_last: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a file was made from: a name, and the SHA-256 of its bytes."""

    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one Parquet file holds. Nothing in it depends on when or where it was made."""

    file: str
    sha256: str
    bytes: int
    rows: int
    ts_first_ns: int
    ts_last_ns: int
    columns: list[tuple[str, str]]
    code: str
    spans: list[Span] = []
    missing: list[Missing] = []
    sources: list[Source] = []
    time_falls: int = 0
    """Rows that were received, by the recorder's own clock, before the row above them."""
    torn_bytes: int = 0
    """Bytes of a row that was being written when the recorder was killed."""
    step_ns: int = 0
    """Of bars: how far apart they are."""
    notes: list[str] = []
    format: int = FORMAT
    how: str = ""
    """Of imports: what was said of how to read the file."""


def code_version() -> str:
    """Return the version of the code that writes."""
    try:
        return f"arbstream {version('arbstream')}"
    except PackageNotFoundError:
        return "arbstream unknown"


def manifest_path(file: Path) -> Path:
    """Return where the manifest of a Parquet file lies."""
    return file.with_name(file.name.removesuffix(".parquet") + SUFFIX)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, also when the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def write_manifest(file: Path, manifest: Manifest, *, is_staged: bool = False) -> None:
    """Write the manifest of a Parquet file; a staged one is made durable with all the others."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    if is_staged:
        manifest_path(file).write_bytes(text)
    else:
        write_whole(manifest_path(file), text)


def read_manifest(file: Path) -> Manifest:
    """Return the manifest of a Parquet file.

    Raises:
        StoreFault: There is none, or it is none.
    """
    path = manifest_path(file)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StoreFault(
            f"{file}: there is no manifest beside it; it was not finished, or is not of a store"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreFault(f"{path}: is no manifest: {error}") from error
    except OSError as error:
        raise StoreFault(f"{path}: cannot be read: {error.strerror}") from error


def files_in(root: Path, tables: Sequence[str] = TABLES) -> Iterator[Path]:
    """Yield the Parquet files of a store, by table and name.

    One whose segment is still there is not finished: its recorder is at it, or makes it again.

    Raises:
        ConfigError: There is no such directory.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is no store: there is no such directory; give --dir DIR")
    for table in tables:
        for file in sorted((root / table).glob("**/*.parquet")):
            if not file.with_suffix(SEGMENT_SUFFIX).exists():
                yield file


def part_of(file: Path, name: str) -> str:
    """Return a part of the path of a file, like ``venue``; empty if it is not there."""
    for part in file.parts:
        if part.startswith(f"{name}="):
            return unquote(part.partition("=")[2])
    return ""


def folder_of(root: Path, table: str, **parts: str) -> Path:
    """Return where the files of a table lie; what cannot be in a name is percent-encoded."""
    names = (f"{name}={quote(value, safe='')}" for name, value in parts.items())
    return root.joinpath(table, *names)
