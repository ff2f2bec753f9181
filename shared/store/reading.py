"""Stored rows read again, in the order in which they were received."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from shared.errors import ConfigError
from shared.store.manifest import Manifest, Span, files_in, part_of, read_manifest
from shared.store.parquet import connections_of, read_raw
from shared.store.rows import RawRow, line_of


class RowPosition(NamedTuple):
    """Where a row lies; ``row`` counts from 1."""

    file: Path
    row: int


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """What is stored of one recording.

    Attributes:
        name: Of the recording.
        files: Its files with the part that each holds, by their first row.
    """

    name: str
    files: list[tuple[Path, Span]] = field(default_factory=list)

    def rows(self, connection: str = "") -> Iterator[tuple[RowPosition, RawRow]]:
        """Yield the rows by ``seq``; a file is opened when its first row is due."""
        later = sorted(self.files, key=lambda item: (item[1].seq_first, str(item[0])))
        later.reverse()
        heap: list[tuple[int, str, RowPosition, RawRow, Iterator[tuple[RowPosition, RawRow]]]] = []
        while heap or later:
            while later and (not heap or later[-1][1].seq_first <= heap[0][0]):
                _push(heap, self._rows_of(later.pop()[0], connection))
            if heap:
                _, _, position, row, rest = heapq.heappop(heap)
                yield position, row
                _push(heap, rest)

    def connections(self) -> list[str]:
        """Return its connections, in the order in which lines of one moment follow each other."""
        return sorted({name for file, _ in self.files for name in self.found_in(file)})

    def found_in(self, file: Path) -> set[str]:
        """Return its connections that a file has rows of."""
        return connections_of(file, self.name)

    def _rows_of(self, file: Path, connection: str) -> Iterator[tuple[RowPosition, RawRow]]:
        for number, row in read_raw(file, self.name, connection):
            yield RowPosition(file, number), row


def _push(
    heap: list[tuple[int, str, RowPosition, RawRow, Iterator[tuple[RowPosition, RawRow]]]],
    rows: Iterator[tuple[RowPosition, RawRow]],
) -> None:
    for position, row in rows:
        heapq.heappush(heap, (row.seq, str(position.file), position, row, rows))
        return


def recordings_in(root: Path) -> dict[str, StoredRecording]:
    """Return the recordings of a store by name, from the manifests.

    Raises:
        StoreFault: A file without its manifest.
        ConfigError: There is no store.
    """
    found: dict[str, StoredRecording] = {}
    for file in files_in(root, ("raw",)):
        for span in read_manifest(file).spans:
            found.setdefault(span.recording, StoredRecording(span.recording)).files.append(
                (file, span)
            )
    return dict(sorted(found.items()))


def manifests_in(root: Path, table: str) -> list[tuple[Path, Manifest]]:
    """Return the files of a table with their manifests."""
    return [(file, read_manifest(file)) for file in files_in(root, (table,))]


class Lines:
    """Recordings of a store as files of lines: ``<recording>/<connection>``.

    Args:
        recordings: What to read.
    """

    def __init__(self, recordings: dict[str, StoredRecording]) -> None:
        self._by_path: dict[str, tuple[StoredRecording, str]] = {}
        for name, recording in recordings.items():
            for connection in recording.connections():
                self._by_path[f"{name}/{connection}"] = (recording, connection)
        if not self._by_path:
            raise ConfigError("there are no raw frames in the store; record or import some")

    @property
    def paths(self) -> list[str]:
        """Names of the files."""
        return list(self._by_path)

    def by_venue(self) -> dict[str | None, list[str]]:
        """Return the names by the venue that their rows are stored under."""
        found: dict[str | None, list[str]] = {}
        for path, (recording, connection) in self._by_path.items():
            files = (file for file, _ in recording.files)
            venues = {part_of(f, "venue") for f in files if connection in recording.found_in(f)}
            for venue in sorted(venues):
                found.setdefault(venue, []).append(path)
        return found

    def read(self, path: Path) -> Iterator[bytes]:
        """Yield the lines of one."""
        recording, connection = self._by_path[str(path)]
        return (line_of(row) for _, row in recording.rows(connection))

    def position_of(self, path: str, line: int) -> RowPosition | None:
        """Return where the row lies that is a line."""
        recording, connection = self._by_path[path]
        rows = enumerate(recording.rows(connection), 1)
        return next((position for number, (position, _) in rows if number == line), None)
