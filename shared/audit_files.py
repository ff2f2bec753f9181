"""The files of an audit trail: the one that is written to, and older ones that it goes on from. IO.

``audit.jsonl`` is renamed once it is full, after the number of its first entry, like
``audit.0000000001.jsonl``; the newest ``FILES_MAX`` files are kept. The chain of hashes goes
through all of them.
"""

from __future__ import annotations

import glob
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from shared.audit import AuditEntry, hash_of, verify
from shared.bus.keys import keys_directory
from shared.config import ENVIRON

FILE_BYTES_MAX: Final = 4_000_000
"""Some 10,000 entries."""
FILES_MAX: Final = 8
"""Of one trail, with the one that is written to."""
ASIDE_MAX: Final = 16
"""Files of a folder kept that were put aside as broken: two whole trails."""
READ_AGAIN_MAX: Final = 4
"""Readings of a trail that changes meanwhile; files are renamed once in 10,000 entries."""
FILE_NAME: Final = "audit.jsonl"


def directory(environ: Mapping[str, str] = ENVIRON) -> Path:
    """Return where the dashboard keeps its files: beside the keys of this user, or as given."""
    if given := environ.get("ARB_DASHBOARD_DIR"):
        return Path(given)
    return keys_directory(environ).parent / "dashboard"


def trail_name(path: Path) -> str:
    """Return what a trail is called on record: its host and its file.

    Bytes of a path that are no text are escaped, as no stream takes them.
    """
    name = f"{socket.gethostname()}:{path.resolve()}"
    return name.encode("utf-8", "backslashreplace").decode()


def older_files(path: Path) -> list[Path]:
    """Return the files that a trail went on from, the oldest first."""
    return sorted(path.parent.glob(f"{glob.escape(path.stem)}.[0-9]*.jsonl"))


def older_name(path: Path, first_seq: int) -> Path:
    """Return how a full file is called, by the number of its first entry."""
    return path.with_name(f"{path.stem}.{first_seq:010d}.jsonl")


def last_entry(path: Path) -> AuditEntry | None:
    """Return the last entry of a file; ``None`` where its last line is none.

    Raises:
        OSError: It cannot be read.
    """
    lines = path.read_bytes().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=AuditEntry) if lines else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class WholeTrail:
    """A trail over all its files; ``flaw`` is empty where nothing is wrong with its chain."""

    entries: list[AuditEntry]
    files: int
    flaw: str


def read_whole(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> WholeTrail:
    """Read a trail and verify its chain, from the oldest file that is kept.

    A dashboard may write meanwhile, and rename and remove files: what then seems wrong is read
    again.

    Args:
        path: The file that is written to.
        read: Reads a file.

    Raises:
        OSError: A file cannot be read.
    """
    for _ in range(READ_AGAIN_MAX):
        before = _sizes(path)
        try:
            found = _read_whole(path, read)
        except FileNotFoundError:
            if _sizes(path) == before:
                raise
            continue
        if not found.flaw or _sizes(path) == before:
            return found
    return _read_whole(path, read)


def _sizes(path: Path) -> dict[str, int]:
    """Return the sizes of a trail's files by their names; of one just renamed there is none."""
    found: dict[str, int] = {}
    for each in (*older_files(path), path):
        with suppress(FileNotFoundError):
            found[each.name] = each.stat().st_size
    return found


def _read_whole(path: Path, read: Callable[[Path], bytes]) -> WholeTrail:
    older = older_files(path)
    files = [*older, path] if path.exists() or not older else older
    entries: list[AuditEntry] = []
    for place, file in enumerate(files):
        lines = read(file).splitlines(keepends=True)
        # Only where as many are kept as can be may older ones be gone.
        is_cut = not place and len(files) >= FILES_MAX
        more, flaw = verify(lines, entries[-1] if entries else None, is_cut=is_cut)
        entries += more
        if flaw:
            at = "" if file == path else f"{file.name}: "
            return WholeTrail(entries, len(files), f"{at}{flaw}")
    if older and not path.exists():
        return WholeTrail(entries, len(files), f"{path.name} is gone")
    return WholeTrail(entries, len(files), "")


def files_aside(folder: Path) -> list[Path]:
    """Return the files of a folder that were put aside as broken, the oldest first."""
    return sorted(folder.glob("broken-*.jsonl"), key=lambda each: (len(each.stem), each.name))


def genuine_of(file: Path) -> list[AuditEntry]:
    """Return the entries of a file that are as they were written, whatever else is in it.

    Raises:
        OSError: It cannot be read.
    """
    found = []
    for line in file.read_bytes().splitlines():
        try:
            entry = msgspec.json.decode(line, type=AuditEntry)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        if entry.hash == hash_of(entry):
            found.append(entry)
    return found


def hashes_aside(path: Path) -> set[str]:
    """Return the hashes of the genuine entries in files that were put aside as broken."""
    return {entry.hash for file in files_aside(path.parent) for entry in genuine_of(file)}
