"""`arb data verify`: whether a store is what its manifests say, and its books are whole.

In this order: bytes, columns and rows of every file against its manifest; order of time; the
numbers of every recording without a hole that was not told; and by the venues' own rules the chain
of update ids, as `arb verify` proves it of recordings. A fault is named with file and row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.cli.verdict import BookReport, State, VerifyReport
from services.cli.verification import Verifier
from shared.capture import Capture
from shared.errors import ConfigError
from shared.store.manifest import (
    SUFFIX,
    TABLES,
    Manifest,
    StoreFault,
    files_in,
    read_manifest,
    sha256_of,
)
from shared.store.parquet import COLUMNS, STEPPED, TIME_OF, read_rows
from shared.store.reading import Lines, StoredRecording, recordings_in
from shared.store.rows import Missing
from shared.wording import counted

FAULTS_MAX = 100
IMPORTED = "import-"


@dataclass(slots=True)
class Fault:
    """What is wrong, and where; ``row`` counts from 1, 0 where it is not one row's."""

    file: str
    row: int
    reason: str


@dataclass(slots=True)
class StoreReport:
    """The verdict on a store: the JSON is these fields."""

    ok: bool = False
    files: int = 0
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    books: list[BookReport] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for the JSON encoder."""
        return asdict(self)


def verify_store(root: Path) -> StoreReport:
    """Verify a store.

    Raises:
        ConfigError: There is none.
    """
    report = StoreReport()
    for fault in _faults(root, report):
        report.faults.append(fault)
        if len(report.faults) == FAULTS_MAX:
            break
    report.ok = not report.faults
    return report


def _faults(root: Path, report: StoreReport) -> Iterator[Fault]:
    before = len(report.faults)
    for table in TABLES:
        for file in files_in(root, (table,)):
            report.files += 1
            fault = _fault_of(file, table, report)
            if fault is not None:
                yield fault
        for path in sorted((root / table).glob(f"**/*{SUFFIX}")):
            file = path.with_name(path.name.removesuffix(SUFFIX) + ".parquet")
            if not file.exists():
                yield Fault(str(file), 0, "its manifest is there, the file is not")
    if len(report.faults) > before:
        return  # what cannot be read whole has no chain to speak of
    for recording in recordings_in(root).values():
        yield from _holes(recording, report)
        if not report.faults:
            yield from _breaks(recording, report)


def _fault_of(file: Path, table: str, report: StoreReport) -> Fault | None:
    """Return what is wrong with one file, at its first wrong row if one can be told."""
    try:
        manifest = read_manifest(file)
        fault = _wrong_row(file, table, manifest, report)
    except StoreFault as error:
        text = str(error).removeprefix(f"{file}: ")
        row, _, rest = text.removeprefix("row ").partition(": ")
        return Fault(str(file), int(row), rest) if row.isdecimal() else Fault(str(file), 0, text)
    if fault is None and sha256_of(file) != manifest.sha256:
        return Fault(str(file), 0, "its bytes are not those of the manifest (sha256)")
    return fault


def _wrong_row(file: Path, table: str, manifest: Manifest, report: StoreReport) -> Fault | None:
    name = str(file)
    if manifest.columns != [tuple(column) for column in COLUMNS[table]]:
        return Fault(name, 0, "its manifest has other columns")
    order = _Order(table)
    number, first_ns, last_ns = 0, 0, 0
    for number, values in read_rows(file, table):
        reason = order.wrong(values)
        if reason:
            return Fault(name, number, reason)
        first_ns = min(first_ns, values[0]) if number > 1 else values[0]
        last_ns = max(last_ns, values[0])
    report.rows += number
    if number != manifest.rows:
        return Fault(
            name, number, f"it ends here, after {counted(number, 'row')} of {manifest.rows}"
        )
    if (first_ns, last_ns) != (manifest.ts_first_ns, manifest.ts_last_ns):
        return Fault(
            name,
            0,
            f"it is of {first_ns} to {last_ns}, its manifest says "
            f"{manifest.ts_first_ns} to {manifest.ts_last_ns}",
        )
    if order.falls != manifest.time_falls:
        return Fault(
            name, order.fall_row, f"time falls {order.falls} times, not {manifest.time_falls}"
        )
    return None


class _Order:
    """What must hold from row to row of one file."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._row = 0
        self._before: tuple[Any, ...] | None = None
        self._seqs: dict[str, int] = {}
        self.falls = 0
        self.fall_row = 0

    def wrong(self, values: tuple[Any, ...]) -> str:
        """Return what is wrong with a row after those before it; empty for nothing."""
        self._row += 1
        before, self._before = self._before, values
        if self._table == "raw":
            _, recording, seq = values[:3]
            last = self._seqs.get(recording, 0)
            self._seqs[recording] = seq
            if seq <= last:
                return f"seq {seq} of {recording} after {last}"
        if before is None:
            return ""
        if values[0] < before[0]:
            if self._table not in {"raw", "depth"}:
                return f"{TIME_OF[self._table]} {values[0]} after {before[0]}"
            self.falls += 1
            self.fall_row = self.fall_row or self._row
        if self._table in STEPPED and values[0] == before[0]:
            return f"a second bar of {values[0]}"
        if self._table == "depth":
            return _wrong_depth(before, values)
        return ""


def _wrong_depth(before: tuple[Any, ...], values: tuple[Any, ...]) -> str:
    """Return whether a level's message neither is the one before nor continues it."""
    _, _, epoch, seq_prev, seq, is_snapshot = values[:6]
    is_same = values[:6] == before[:6]
    if is_same or is_snapshot or (epoch == before[2] and seq_prev == before[4]):
        return ""
    return f"seq {seq} continues {seq_prev}, but {before[4]} came before it"


def _holes(recording: StoredRecording, report: StoreReport) -> Iterator[Fault]:
    """Yield where the numbers of a recording have a hole that no manifest tells."""
    told = _told(recording)
    report.told += [
        f"{recording.name}: {_rows(each)} "
        f"missing from {each.ts_from_ns} to {each.ts_to_ns}: {each.reason}"
        for each in told
    ]
    told_rows = sum(each.rows or 0 for each in told)
    last = 0
    position = None
    for at, row in recording.rows():
        hole = row.seq - last - 1
        if hole and hole <= told_rows:
            told_rows -= hole
        elif hole and (last or recording.name.startswith(IMPORTED)):
            where = position or at
            after = f"follows {last}" if last else "is the first"
            yield Fault(
                str(where.file),
                where.row,
                f"{counted(hole, 'row')} of {recording.name} missing after it: "
                f"seq {row.seq} {after}",
            )
            return
        last, position = row.seq, at


def _rows(lost: Missing) -> str:
    return "an unknown number of rows" if lost.rows is None else counted(lost.rows, "row")


def _told(recording: StoredRecording) -> list[Missing]:
    return [
        missing
        for file, _ in recording.files
        for missing in read_manifest(file).missing
        if missing.recording == recording.name
    ]


def _breaks(recording: StoredRecording, report: StoreReport) -> Iterator[Fault]:
    """Yield where the venues' own rules find a recording's books broken."""
    lines = Lines({recording.name: recording})
    is_imported = recording.name.startswith(IMPORTED)
    # An import says by its lines whose it is, a recorder by where it put them.
    parts = {None: lines.paths} if is_imported else lines.by_venue()
    known_ns = min((each.ts_from_ns for each in _told(recording)), default=None)
    for venue, paths in parts.items():
        verdict = _verdict(lines, paths, venue, report)
        if verdict is None:
            continue
        report.books += verdict.books
        for path, line, reason in _entries(verdict):
            position = lines.position_of(path, line)
            if position is None:
                yield Fault(path, line, reason)
            elif known_ns is None or _time_of(position.file, position.row) < known_ns:
                yield Fault(str(position.file), position.row, reason)
            else:
                where = f"{position.file}: row {position.row}"
                report.told.append(f"{where}: {reason}, after rows were missing")
        file = str(recording.files[0][0])
        for book in verdict.books:
            text = f"{recording.name}: {book.venue} {book.instrument}: "
            if book.state is State.NOT_SYNCED and not book.gaps_total:
                text += "saw no snapshot that joins"
                if is_imported:
                    yield Fault(file, 0, text)
                else:
                    report.told.append(text)
            elif book.crossed or book.oracle.equal != book.oracle.checked:
                text += f"crossed {book.crossed} times, equal to the venue's own quotes in "
                yield Fault(file, 0, text + f"{book.oracle.equal} of {book.oracle.checked}")


def _verdict(
    lines: Lines, paths: list[str], venue: str | None, report: StoreReport
) -> VerifyReport | None:
    try:
        capture = Capture(paths, venue, lines.read)
        verifier = Verifier(capture)
        for item in capture:
            verifier.take(item)
        return verifier.finish()
    except ConfigError as error:
        report.told.append(str(error))
        return None


def _entries(verdict: VerifyReport) -> Iterator[tuple[str, int, str]]:
    for book in verdict.books:
        name = f"{book.venue} {book.instrument}"
        for gap in book.gaps:
            yield gap.path, gap.line, f"{name} expected {gap.expected}, got {gap.got}"
        for at in book.checksums.failed_at:
            yield at.path, at.line, f"{name} is not the venue's book (checksum)"
    for problem in verdict.parse_errors:
        yield problem.path, problem.line, problem.reason


def _time_of(file: Path, row: int) -> int:
    return next(int(values[0]) for number, values in read_rows(file, "raw") if number == row)
