"""`arb data import` of tables: candles, trades, funding and books of others, checked row by row.

What is wrong is one line with file and row, and nothing is imported: rows out of order or twice, a
price that is none, times without a zone or off their grid. Holes are no fault of the file's maker
(nothing may have been traded): they stay holes, and are told and noted in the manifest.

Rows are read and written as they come; a file that was imported before changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from services.cli.data.archives import CHECKSUM, check_checksum, check_symbol
from services.cli.data.books import BookReader, Numbers
from services.cli.data.files import is_table
from services.cli.data.order import (
    BarCheck,
    BookCheck,
    Check,
    FundingCheck,
    TradeCheck,
    checked_step,
    step_of,
)
from services.cli.data.rows import Found, Reader, Wanted
from services.cli.data.shapes import BY_NAME, Told, tell
from services.cli.data.times import check_zone
from shared.errors import ConfigError
from shared.store.manifest import Manifest, Source, folder_of, read_manifest, sha256_of
from shared.store.parquet import STEPPED, Made, write_table
from shared.store.rows import SECOND_NS, partition_of
from shared.store.staging import staged

ID_LENGTH = 12
YEARLY_NS = 3_600 * SECOND_NS
"""Bars of an hour or longer, and settlements, have a file a year: a day has a few rows."""
STEP_ROWS = 10_000
"""Bars that say how far apart bars are, where a file's name does not."""


@dataclass(slots=True)
class _Import:
    """What one import brings."""

    wanted: Wanted
    table: str
    told: list[Told] = field(default_factory=list)
    digests: dict[str, Path] = field(default_factory=dict)
    step_ns: int = 0
    notes: list[str] = field(default_factory=list)
    """Those that no file's manifest has yet."""

    @property
    def name(self) -> str:
        """Of its files: the same for the same files read the same way."""
        text = "".join(self.digests) + self.wanted.how
        return f"import-{hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]}"

    @property
    def is_yearly(self) -> bool:
        """Whether its rows have a file a year."""
        return self.table == "funding" or self.step_ns >= YEARLY_NS

    def folder(self, root: Path, date: str) -> Path:
        """Return where its rows of a date lie."""
        wanted = self.wanted
        return folder_of(
            root, self.table, venue=wanted.venue, instrument=wanted.instrument, date=date
        )


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant: tables in folders, without the checksums beside them."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir() and (tables := [p for p in sorted(path.rglob("*")) if _is_data(p)]):
            found += tables
        elif not (path.name.endswith(CHECKSUM) and path.with_suffix("").exists()):
            found.append(path)
    return found


def _is_data(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(CHECKSUM) and is_table(path)


def import_tables(paths: Sequence[Path], root: Path, wanted: Wanted) -> dict[str, Any]:
    """Import tables of one instrument; return what was.

    Raises:
        ConfigError: Something is wrong with a row, or other rows of that time are there; nothing
            has changed.
    """
    check_zone(wanted.zone)
    if wanted.shape and wanted.shape not in BY_NAME:
        raise ConfigError(f"--as {wanted.shape}: one of {', '.join(BY_NAME)}")
    checked = sum(check_checksum(path) for path in paths)
    told = [_told(path, wanted) for path in paths]
    for each in told:
        if each.shape != told[0].shape:
            raise ConfigError(
                f"{each.path} is {each.shape.name}, but {told[0].path} {told[0].shape.name}; "
                "import one shape at a time"
            )
    shape = told[0].shape
    made = _Import(wanted, shape.table)
    notes = _leave_out_known(told, root, made)
    done: dict[str, Any] = {"table": shape.table, "shape": shape.name, "rows": 0, "files": 0}
    done |= {"unchanged": len(notes), "checksums": checked}
    if not made.told:
        return done | {"notes": notes}
    made.told = _in_order(made)
    found = _with_step(_rows(made), made)
    check = _check_of(made)
    with staged(root, made.name) as stage:
        done["files"] = _write(stage, root, made, _checked(made, found, check))
    return done | {"rows": check.rows, "notes": [*notes, *check.notes]}


def _told(path: Path, wanted: Wanted) -> Told:
    told = tell(path, wanted.shape, wanted.suffix)
    if told.archive is not None:
        check_symbol(path, told.archive, wanted.venue, wanted.instrument)
    return told


def _leave_out_known(told: Sequence[Told], root: Path, made: _Import) -> list[str]:
    """Keep the files that were not imported before; say which were.

    Raises:
        ConfigError: One was, but read in another way.
    """
    folder = made.folder(root, "*")
    known: dict[str, tuple[Path, str]] = {}
    for file in sorted(folder.parent.glob("*/*.parquet")):
        manifest = read_manifest(file)
        for source in manifest.sources:
            known.setdefault(source.sha256, (file, manifest.how))
    notes = []
    for each in told:
        digest = sha256_of(each.path)
        if digest in made.digests:
            notes.append(f"{each.path}: is given twice; it is taken once")
        elif digest not in known:
            made.digests[digest] = each.path
            made.told.append(each)
        elif known[digest][1] == made.wanted.how:
            notes.append(f"{each.path}: imported before, as {known[digest][0].stem}; no change")
        else:
            file, how = known[digest]
            raise ConfigError(
                f"{each.path}: imported before, with {how or 'no options'}; remove the files "
                f"{file.stem}.* below {folder.parent} first, to take it otherwise"
            )
    return notes


def _reader_of(told: Told, wanted: Wanted, numbers: Numbers) -> Reader:
    if told.shape.table == "depth":
        return BookReader(told, wanted, numbers)
    return Reader(told, wanted)


def _in_order(made: _Import) -> list[Told]:
    """Return the files by their first row.

    Raises:
        ConfigError: There is no row in one.
    """
    firsts: list[tuple[int, int, Told]] = []
    for index, told in enumerate(made.told):
        first = next(_reader_of(told, made.wanted, Numbers()).rows(), None)
        if first is None:
            raise ConfigError(f"{told.path}: there is no row in it")
        firsts.append((first.row[0], index, told))
    return [told for _, _, told in sorted(firsts, key=lambda each: each[:2])]


def _rows(made: _Import) -> Iterator[Found]:
    numbers = Numbers()
    for told in made.told:
        yield from _reader_of(told, made.wanted, numbers).rows()


def _with_step(rows: Iterator[Found], made: _Import) -> Iterator[Found]:
    """Find out how long bars are: as names of files say, else as most of the first ones are."""
    if made.table not in STEPPED:
        return rows
    steps = {each.archive.step_s for each in made.told if each.archive is not None}
    if len(steps) > 1:
        raise ConfigError(
            f"{made.told[0].path}: bars of {' and of '.join(f'{s} s' for s in sorted(steps))}; "
            "import one length at a time"
        )
    if steps:
        made.step_ns = checked_step(str(made.told[0].path), steps.pop() * SECOND_NS)
        return rows
    first = list(islice(rows, STEP_ROWS))
    made.step_ns = step_of(first)
    return chain(first, rows)


def _check_of(made: _Import) -> Check:
    if made.table in STEPPED:
        return BarCheck(made.step_ns)
    if made.table == "trade":
        return TradeCheck(is_numbered=made.told[0].shape.name == "aggTrades")
    return FundingCheck() if made.table == "funding" else BookCheck()


def _checked(made: _Import, rows: Iterator[Found], check: Check) -> Iterator[tuple[Any, ...]]:
    """Yield rows that passed; what is to be noted goes to the manifest of the next file."""
    notes = made.notes

    def named_by(note: str) -> str:
        # A manifest does not depend on where a file lay.
        for told in made.told:
            note = note.replace(str(told.path), told.path.name)
        return note

    for each in rows:
        told = len(check.notes)
        check.take(each)
        notes += map(named_by, check.notes[told:])
        yield each.row
    told = len(check.notes)
    check.finish()
    notes += map(named_by, check.notes[told:])


def _write(stage: Path, root: Path, made: _Import, rows: Iterator[tuple[Any, ...]]) -> int:
    """Write a file a day or a year; return how many."""

    def date_of(row: tuple[Any, ...]) -> str:
        date = partition_of(row[0])[0]
        return f"{date[:4]}-01-01" if made.is_yearly else date

    files = 0
    sources = [Source(name=path.name, sha256=digest) for digest, path in made.digests.items()]
    for date, of_date in groupby(rows, key=date_of):
        told = Made(sources=sources, step_ns=made.step_ns, notes=made.notes, how=made.wanted.how)
        file = made.folder(stage, date) / f"{made.name}.parquet"
        manifest = write_table(
            file, made.table, _stepped(of_date, made.step_ns), told, is_staged=True
        )
        made.notes.clear()
        files += 1
        for other in _of_that_time(root, made, date):
            if _overlaps(read_manifest(other), manifest, made):
                raise ConfigError(f"{other} has rows of that time already; nothing was imported")
    return files


def _stepped(rows: Iterator[tuple[Any, ...]], step_ns: int) -> Iterator[tuple[Any, ...]]:
    return ((row[0], step_ns, *row[2:]) for row in rows) if step_ns else rows


def _of_that_time(root: Path, made: _Import, date: str) -> list[Path]:
    """Return the files that may have rows of the same time: earlier ones have a day each."""
    folder = made.folder(root, date)
    if not made.is_yearly:
        return sorted(folder.glob("*.parquet"))
    return sorted(folder.parent.glob(f"date={date[:4]}-*/*.parquet"))


def _overlaps(other: Manifest, mine: Manifest, made: _Import) -> bool:
    if made.table in STEPPED and other.step_ns != made.step_ns:
        return False
    return other.ts_first_ns <= mine.ts_last_ns and mine.ts_first_ns <= other.ts_last_ns
