"""Files of tables, read line by line: CSV (plain, gzip, in a zip) and Parquet, within bounds.

Nothing is ever unpacked to disk, and no more than a line is held.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from shared.errors import ConfigError
from shared.store.extra import need
from shared.wording import counted

LINE_MAX = 65_536
"""Characters of a line."""
RATIO_MAX = 250
"""No table is more times longer than its compressed file."""
UNPACKED_MIN = 64 * 1024 * 1024
"""Characters up to which the ratio is not looked at."""
BATCH_ROWS = 10_000
ENCRYPTED = 0x1
BESIDE = ("__MACOSX/",)
"""Folders that archive programs add to a zip."""


class Cells(NamedTuple):
    """One row of a CSV: its place as text, for messages, and its cells."""

    where: str
    cells: list[str]


class Line(NamedTuple):
    """One row of a table: its place as text, for messages, and its values by name."""

    where: str
    values: Mapping[str, Any]


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet, by its name."""
    return path.name.endswith(".parquet")


def is_table(path: Path) -> bool:
    """Tell whether a file is a table rather than a recording, by its name and first line."""
    if is_parquet(path):
        return True
    if path.name.endswith(".zip"):
        try:
            with zipfile.ZipFile(path) as packed:
                return any(name.endswith(".csv") for name in packed.namelist())
        except (OSError, zipfile.BadZipFile):
            return True  # reading it will say what is wrong
    return path.name.removesuffix(".gz").endswith(".csv") and not _has_frames(path)


def _has_frames(path: Path) -> bool:
    """Tell whether lines hold JSON: then it is a recording, whatever its name."""
    try:
        with _opened(path) as text:
            return "{" in text.readline(LINE_MAX)
    except ConfigError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Open the text of a CSV, wherever it is packed.

    Raises:
        ConfigError: It cannot be read, or holds what no table does.
    """
    try:
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as packed, packed.open(_member(path, packed)) as file:
                yield io.TextIOWrapper(file, "utf-8-sig", newline="")
        elif path.name.endswith(".gz"):
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
                yield text
        else:
            with path.open(encoding="utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: cannot be read: it is not in UTF-8 ({error.reason}); save it as CSV in UTF-8"
        ) from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{path}: cannot be read: {reason}; is it whole? download it again"
        ) from error


def _member(path: Path, packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one CSV of a zip.

    Raises:
        ConfigError: There are several or none, or it is not what it should be.
    """
    found = [
        each
        for each in packed.infolist()
        if each.filename.endswith(".csv") and not each.filename.startswith(BESIDE)
    ]
    if len(found) != 1:
        raise ConfigError(f"{path}: {len(found)} CSV files in it; one is right")
    (member,) = found
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0]:
        raise ConfigError(
            f"{path}: the file in it is named {member.filename!r}, which leads outside; a plain "
            "name is right: get it from where it was made"
        )
    if member.flag_bits & ENCRYPTED:
        raise ConfigError(f"{path}: {member.filename} is encrypted; unpack it first")
    if member.file_size > max(UNPACKED_MIN, RATIO_MAX * path.stat().st_size):
        raise ConfigError(
            f"{path}: {member.filename} says to be {member.file_size:,} bytes, over {RATIO_MAX} "
            "times the zip: no table of prices is; nothing was unpacked"
        )
    return member


def cells_of(path: Path) -> Iterator[Cells]:
    """Yield the rows of a CSV that are not empty.

    Raises:
        ConfigError: The file cannot be read, or a line is not a row of a table.
    """
    with _opened(path) as text:
        rows = csv.reader(_lines(path, text))
        try:
            for cells in rows:
                if cells:
                    yield Cells(f"{path}:{rows.line_num}", cells)
        except csv.Error as error:
            raise ConfigError(f"{path}:{rows.line_num}: is not CSV: {error}") from error


def _lines(path: Path, text: IO[str]) -> Iterator[str]:
    """Yield the lines; a line, or all of them together, longer than a table has is refused."""
    number = length = 0
    most = max(UNPACKED_MIN, RATIO_MAX * path.stat().st_size)
    while line := text.readline(LINE_MAX + 1):
        number += 1
        length += len(line)
        if len(line) > LINE_MAX:
            raise ConfigError(f"{path}:{number}: a line of over {LINE_MAX:,} characters: no table")
        if "\x00" in line:
            raise ConfigError(f"{path}:{number}: a zero byte in it: no text; download it again")
        if length > most:
            raise ConfigError(
                f"{path}:{number}: over {RATIO_MAX} times longer than its file: no table of prices"
            )
        yield line


def named_lines(path: Path, heading: tuple[str, ...], rows: Iterator[Cells]) -> Iterator[Line]:
    """Yield rows of a CSV with their values by name.

    Raises:
        ConfigError: A row has more or fewer columns than the heading.
    """
    for where, cells in rows:
        if len(cells) != len(heading):
            raise ConfigError(
                f"{where}: {counted(len(cells), 'column')}, the heading has {len(heading)}; "
                "a comma within a number or text must stand in quotes"
            )
        yield Line(where, dict(zip(heading, cells, strict=True)))


def parquet_names(path: Path) -> tuple[str, ...]:
    """Return the columns of a Parquet file.

    Raises:
        ConfigError: It cannot be read.
    """
    pa, pq = need("pyarrow"), need("pyarrow.parquet")
    try:
        return tuple(pq.read_schema(str(path)).names)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def parquet_lines(path: Path) -> Iterator[Line]:
    """Yield the rows of a Parquet file, a batch at a time.

    Raises:
        ConfigError: It cannot be read; the text says from which row on.
    """
    pa, pq = need("pyarrow"), need("pyarrow.parquet")
    number = 0
    try:
        for batch in pq.ParquetFile(str(path)).iter_batches(BATCH_ROWS):
            columns = {
                name: _exact(pa, column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for values in zip(*columns.values(), strict=True):
                number += 1
                yield Line(f"{path}: row {number}", dict(zip(columns, values, strict=True)))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error, number + 1) from error


def _unreadable(path: Path, error: Exception, row: int = 0) -> ConfigError:
    reason = str(error).split("\n")[0][:200]
    place = f"{path}: row {row}" if row else f"{path}"
    return ConfigError(f"{place}: cannot be read: {reason}; is it whole?")


def _exact(pa: Any, column: Any) -> list[Any]:
    """Return the values; times as UNIX ns with the word of a zone, if they have one."""
    kind = column.type
    if not pa.types.is_timestamp(kind):
        return list(column.to_pylist())
    factor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    zone = "" if kind.tz is None else "Z"
    return [
        None if value is None else f"{value * factor}{zone or '?'}"
        for value in column.cast(pa.int64()).to_pylist()
    ]
