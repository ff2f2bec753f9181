"""`arb data import` of recordings: their lines as rows of raw frames, all of them or none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shared.capture import Capture, CaptureItem, Kind
from shared.capture.damage import refuse_damage
from shared.errors import ConfigError
from shared.store.manifest import Source, folder_of, sha256_of
from shared.store.parquet import Made, write_raw
from shared.store.reading import recordings_in
from shared.store.rows import UNKNOWN_VENUE, RawRow, partition_of
from shared.store.staging import staged

ROWS_MAX = 250_000
"""Rows of one file."""
BYTES_MAX = 128_000_000
"""Bytes of frames that are held before a file is written."""
ID_LENGTH = 12


class _Writer:
    """Puts rows into the files of their venue, date and hour."""

    def __init__(self, stage: Path, recording: str, sources: list[Source]) -> None:
        self._stage, self._recording, self._sources = stage, recording, sources
        self._rows: dict[tuple[str, str, str], list[RawRow]] = {}
        self._parts: dict[tuple[str, str, str], int] = {}
        self._bytes = 0
        self._last_ns: dict[str, int] = {}
        self.rows = self.files = 0
        self.venues: dict[str, int] = {}

    def take(self, item: CaptureItem, connection: str) -> None:
        """Add a line."""
        venue = item.venue or UNKNOWN_VENUE
        self.rows += 1
        self.venues[venue] = self.venues.get(venue, 0) + 1
        row = RawRow(
            item.ts_recv_ns,
            self._recording,
            self.rows,
            connection,
            item.kind.value,
            item.url,
            item.recorded,
        )
        # As the reader merges files: a time that falls does not take its row out of its place.
        key_ns = max(item.ts_recv_ns, self._last_ns.get(connection, 0))
        self._last_ns[connection] = key_ns
        key = (venue, *partition_of(key_ns))
        rows = self._rows.setdefault(key, [])
        rows.append(row)
        self._bytes += len(row.frame)
        if len(rows) >= ROWS_MAX:
            self._write(key)
        elif self._bytes >= BYTES_MAX:
            self.finish()

    def finish(self) -> None:
        """Write what is left."""
        for key in list(self._rows):
            self._write(key)
        self._bytes = 0

    def _write(self, key: tuple[str, str, str]) -> None:
        venue, date, hour = key
        part = self._parts[key] = self._parts.get(key, -1) + 1
        folder = folder_of(self._stage, "raw", venue=venue, date=date, hour=hour)
        rows = self._rows.pop(key)
        write_raw(
            folder / f"{self._recording}-{part:04d}.parquet",
            rows,
            Made(sources=self._sources),
            is_staged=True,
        )
        self.files += 1


def import_recordings(paths: Sequence[Path], root: Path, venue: str | None) -> dict[str, Any]:
    """Import recordings as one; return what was.

    Raises:
        ConfigError: A damaged line, nothing to import, or imported before; nothing has changed.
    """
    capture = Capture(paths, venue)
    sources = [Source(name=Path(path).name, sha256=sha256_of(Path(path))) for path in capture.paths]
    digest = hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest()
    recording = f"import-{digest[:ID_LENGTH]}"
    if root.is_dir() and recording in recordings_in(root):
        raise ConfigError(f"{', '.join(map(str, paths))}: imported before, as {recording}")
    with staged(root, recording) as stage:
        writer = _Writer(stage, recording, sources)
        names = dict(zip(capture.paths, _connections(capture.paths), strict=True))
        for item in _sound(capture):
            writer.take(item, names[item.path])
        if not writer.rows:
            raise ConfigError(f"{', '.join(map(str, paths))}: there is nothing in it")
        writer.finish()
    return {
        "recording": recording,
        "rows": writer.rows,
        "files": writer.files,
        "venues": writer.venues,
    }


def _sound(capture: Capture) -> Iterator[CaptureItem]:
    for item in capture:
        refuse_damage(item)
        if item.kind is Kind.FAULT:
            raise ConfigError(f"{item.path}:{item.line}: {item.reason}")
        yield item


def _connections(paths: Sequence[str]) -> list[str]:
    """Return names of files that sort as the files do."""
    digits = len(str(len(paths)))
    return [
        f"{number:0{digits}d}-{Path(path).name.removesuffix('.gz')}"
        for number, path in enumerate(paths, 1)
    ]
