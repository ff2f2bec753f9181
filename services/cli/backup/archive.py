"""The file that a backup is: a compressed tar, its manifest first, every part with its digest."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from services.cli.backup.reading import KeptKey
from shared.errors import ConfigError
from shared.store.manifest import sha256_of

FORMAT: Final = 1
MANIFEST, AOF, CONFIG, LEDGER = "manifest.json", "redis.aof", "arb.toml", "ledger.sqlite"
PARTS: Final = (AOF, CONFIG, LEDGER)
PART_BYTES_MAX: Final = 8 << 30
MANIFEST_BYTES_MAX: Final = 16 << 20
_CHUNK: Final = 1 << 20


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of Redis as it was saved."""

    key: str
    kind: str
    entries: int
    bytes: int
    sha256: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        format: Of the backup; another one is refused.
        ts_ns: When Redis was read, UNIX ns.
        code: The version of arbstream.
        server: Of Redis, as it names itself.
        database: Its number in Redis.
        ledger_id: Of the ledger that the services keep; empty: there was none.
        keys: Of Redis, in the order of their names.
        parts: By name.
        left_out: What is not in it, and why.
    """

    format: int
    ts_ns: int
    code: str
    server: str
    database: int
    ledger_id: str
    keys: list[Key]
    parts: dict[str, Part]
    left_out: list[str] = []


def key_of(kept: KeptKey) -> Key:
    """Return what the manifest says of a key."""
    return Key(
        key=kept.key,
        kind=kept.kind,
        entries=kept.entries,
        bytes=len(kept.data),
        sha256=kept.sha256,
    )


def write(place: Path, manifest: Manifest, parts: Mapping[str, Path]) -> None:
    """Write a backup to a new file that only its owner can read; whole, or not at all.

    Raises:
        ConfigError: The file is there already.
        OSError: It cannot be written.
    """
    if place.exists():
        raise ConfigError(f"{place} is there already; a backup never replaces another one")
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write_to(file, manifest, parts)
            file.flush()
            os.fsync(file.fileno())
        _name(Path(name), place)
    except FileExistsError:
        raise ConfigError(f"{place} is there already; a backup never replaces another") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _name(written: Path, place: Path) -> None:
    """Give a written file its name, in place of no other file."""
    try:
        place.hardlink_to(written)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # the file system has no links, as on a memory stick or a network's share
        if place.exists():
            raise FileExistsError(place) from None
        written.rename(place)


def write_to(file: BinaryIO, manifest: Manifest, parts: Mapping[str, Path]) -> None:
    """Write a backup to an open file."""
    head = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with tarfile.open(fileobj=file, mode="w|gz", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, len(head), io.BytesIO(head), manifest.ts_ns)
        for name, path in parts.items():
            with path.open("rb") as part:
                _add(tar, name, path.stat().st_size, part, manifest.ts_ns)


def _add(tar: tarfile.TarFile, name: str, size: int, file: BinaryIO, ts_ns: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, ts_ns // 1_000_000_000
    tar.addfile(info, file)


def part_of(path: Path) -> Part:
    """Return what the manifest says of a file."""
    return Part(bytes=path.stat().st_size, sha256=sha256_of(path))


@contextmanager
def opened(place: Path) -> Iterator[tuple[Manifest, dict[str, Path]]]:
    """Unpack a backup for a while and check all of it against its manifest.

    Raises:
        ConfigError: It is no backup, of another format, or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="arb-backup-") as folder:
        try:
            with tarfile.open(place, mode="r|gz") as tar:
                manifest, parts = _unpack(tar, Path(folder), place)
        except (tarfile.TarError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ConfigError(f"{place} is no backup, or a torn one: {error}") from error
        yield manifest, parts


def _unpack(tar: tarfile.TarFile, folder: Path, place: Path) -> tuple[Manifest, dict[str, Path]]:
    manifest: Manifest | None = None
    parts: dict[str, Path] = {}
    for member in tar:
        source = tar.extractfile(member) if member.isfile() else None
        if source is None or member.name not in (MANIFEST, *PARTS):
            raise ConfigError(f"{place}: {member.name!r} does not belong into a backup")
        if manifest is None:
            manifest = _manifest(member.name, member.size, source.read(MANIFEST_BYTES_MAX), place)
            continue
        told = manifest.parts.get(member.name)
        if told is None or told.bytes != member.size or member.size > PART_BYTES_MAX:
            raise ConfigError(f"{place}: {member.name} has {member.size} bytes, not as written")
        parts[member.name] = folder / member.name
        with parts[member.name].open("wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
        if part_of(parts[member.name]) != told:
            raise ConfigError(f"{place}: {member.name} is damaged: its digest is another one")
    if manifest is None or parts.keys() != manifest.parts.keys() or AOF not in parts:
        missing = ", ".join(sorted((manifest.parts.keys() if manifest else {AOF}) - parts.keys()))
        raise ConfigError(f"{place}: {missing or AOF} is missing")
    return manifest, parts


def _manifest(name: str, size: int, raw: bytes, place: Path) -> Manifest:
    if name != MANIFEST or size > MANIFEST_BYTES_MAX:
        raise ConfigError(f"{place}: a backup begins with {MANIFEST}, not with {name}")
    try:
        found = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{place}: {MANIFEST} cannot be read: {error}") from error
    if found.format != FORMAT:
        raise ConfigError(f"{place} has format {found.format}, this version reads {FORMAT}")
    return found


def differences(before: Sequence[Key], after: Sequence[Key]) -> list[str]:
    """Return how two lists of keys differ, a line each."""
    was, now = ({each.key: each for each in keys} for keys in (before, after))
    lines = [f"{key} is missing" for key in was if key not in now]
    lines += [f"{key} was not there" for key in now if key not in was]
    both = [(was[key], now[key]) for key in was if key in now]
    lines += [
        f"{old.key} is another {old.kind}: {new.entries} entries of {old.entries}, digest differs"
        for old, new in both
        if old.sha256 != new.sha256
    ]
    return lines
