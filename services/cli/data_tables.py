"""`arb data import` of tables: candles, trades and funding that others wrote, checked row by row.

What is wrong is one line with file and row, and nothing is imported: rows out of order or twice, a
price that is none, times without a zone or off their grid. Holes are no fault of the file's maker
(nothing may have been traded): they stay holes, and are told and noted in the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.data_order import checked_bars, checked_order, step_of
from services.cli.data_rows import Found, Wanted, check_zone, rows_of
from services.cli.data_shapes import archive_of, lines_of, named
from shared.errors import ConfigError
from shared.store.manifest import Source, folder_of, read_manifest, sha256_of
from shared.store.parquet import Made, write_table
from shared.store.rows import partition_of
from shared.store.staging import PREFIX, staged
from shared.venues.registry import EVERY, load_feed

TABLES = ("bar", "trade", "funding")
ID_LENGTH = 12
DAY_NS = 86_400 * 10**9
COLUMNS_SHOWN = 6


class _Import(NamedTuple):
    """What one import brings."""

    wanted: Wanted
    table: str
    found: Sequence[Found]
    sources: list[Source]
    notes: list[str]
    step_ns: int


def import_tables(paths: Sequence[Path], root: Path, wanted: Wanted) -> dict[str, Any]:
    """Import tables of one instrument; return what was.

    Raises:
        ConfigError: Something is wrong with a row, or it was imported before; nothing has changed.
    """
    check_zone(wanted.zone)
    for path in paths:
        _check_symbol(path, wanted)
    table = wanted.table or _table_of(paths[0], wanted)
    if table not in TABLES:
        raise ConfigError(f"--table {table}: one of {', '.join(TABLES)}")
    found = [found for path in paths for found in rows_of(path, table, wanted)]
    if not found:
        raise ConfigError(f"{', '.join(map(str, paths))}: there is no row in it")
    step_ns = step_of(paths, found) if table == "bar" else 0
    notes = checked_bars(found, step_ns) if step_ns else checked_order(found, table)
    sources = [Source(name=path.name, sha256=sha256_of(path)) for path in paths]
    digest = hashlib.sha256("".join(each.sha256 for each in sources).encode()).hexdigest()
    name = f"import-{digest[:ID_LENGTH]}"
    with staged(root, name) as stage:
        files = _write(stage, root, _Import(wanted, table, found, sources, notes, step_ns))
    return {"table": table, "rows": len(found), "files": files, "notes": notes}


def _write(stage: Path, root: Path, made: _Import) -> int:
    """Write a file a day, of bars of a day or longer a file a year; return how many."""
    by_date: dict[str, list[tuple[Any, ...]]] = {}
    for each in made.found:
        row = (each.row[0], made.step_ns, *each.row[2:]) if made.table == "bar" else each.row
        date = partition_of(row[0])[0]
        first = f"{date[:4]}-01-01" if made.step_ns >= DAY_NS else date
        by_date.setdefault(first, []).append(row)
    wanted, notes = made.wanted, made.notes
    for date, rows in by_date.items():
        parts = {"venue": wanted.venue, "instrument": wanted.instrument, "date": date}
        for file in _of_that_time(root, made, parts):
            if _overlaps(file, rows, made):
                raise ConfigError(f"{file} has rows of that time already; nothing was imported")
        folder = folder_of(stage, made.table, **parts)
        told = Made(sources=made.sources, step_ns=made.step_ns, notes=notes)
        write_table(
            folder / f"{stage.name.removeprefix(PREFIX)}.parquet",
            made.table,
            rows,
            told,
            is_staged=True,
        )
        notes = []  # they are of the whole import: with its first file
    return len(by_date)


def _of_that_time(root: Path, made: _Import, parts: dict[str, str]) -> list[Path]:
    """Return the files that may have rows of the same time: earlier ones have a day each."""
    folder = folder_of(root, made.table, **parts)
    if made.step_ns < DAY_NS:
        return sorted(folder.glob("*.parquet"))
    year = folder.name.removesuffix("-01-01")
    return sorted(folder.parent.glob(f"{year}-*/*.parquet"))


def _overlaps(file: Path, rows: Sequence[tuple[Any, ...]], made: _Import) -> bool:
    manifest = read_manifest(file)
    if made.table == "bar" and manifest.step_ns != made.step_ns:
        return False
    first_ns, last_ns = int(rows[0][0]), int(rows[-1][0])
    return manifest.ts_first_ns <= last_ns and first_ns <= manifest.ts_last_ns


def _check_symbol(path: Path, wanted: Wanted) -> None:
    """Refuse an archive's file of another symbol."""
    archive = archive_of(path)
    if archive is None or wanted.venue not in EVERY:
        return
    try:
        symbol = load_feed(wanted.venue).to_symbol(wanted.instrument)
    except ValueError as error:
        raise ConfigError(f"--instrument {wanted.instrument}: {error}") from error
    if symbol.upper() != archive.symbol:
        raise ConfigError(
            f"{path}: its name says {archive.symbol}, but {wanted.instrument} is {symbol.upper()}"
        )


def _table_of(path: Path, wanted: Wanted) -> str:
    """Return which table a file's columns are of."""
    first = next(lines_of(path), None)
    if first is None:
        raise ConfigError(f"{path}: there is no row in it")
    have = set(named(first, wanted.suffix))
    if {"open", "high", "low", "close"} <= have:
        return "bar"
    if {"price", "qty"} <= have:
        return "trade"
    if "rate" in have:
        return "funding"
    names = {name.lower() for name in first.values}
    suffixes = sorted(
        name.removeprefix("open_")
        for name in names
        if name.startswith("open_") and f"close_{name.removeprefix('open_')}" in names
    )
    hint = f"; give --suffix {' or '.join(suffixes)}" if suffixes else ""
    shown = ", ".join(list(first.values)[:COLUMNS_SHOWN])
    raise ConfigError(f"{path}: the columns {shown} are neither candles, trades nor funding{hint}")
