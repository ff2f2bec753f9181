"""Parquet files of the store: zstd, written whole or not at all, the same bytes for the same rows.

The library is of the extra ``[research]``: see ``extra.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shared.store.extra import need
from shared.store.manifest import (
    Manifest,
    Source,
    Span,
    StoreFault,
    code_version,
    sha256_of,
    sync_directory,
    write_manifest,
)
from shared.store.rows import Missing, RawRow

ROWS_PER_GROUP = 65_536
LEVEL = 9
"""Of zstd."""

TEXT, WHOLE, NUMBER, YES_NO = "text", "whole", "number", "yes_no"
_PRICE: tuple[tuple[str, str], ...] = (
    ("ts_open_ns", WHOLE),
    ("step_ns", WHOLE),
    ("open", NUMBER),
    ("high", NUMBER),
    ("low", NUMBER),
    ("close", NUMBER),
)
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "raw": (
        ("ts_recv_ns", WHOLE),
        ("recording", TEXT),
        ("seq", WHOLE),
        ("connection", TEXT),
        ("kind", TEXT),
        ("url", TEXT),
        ("frame", "bytes"),
    ),
    # One row a level; the rows of one message share its numbers.
    "depth": (
        ("ts_recv_ns", WHOLE),
        ("ts_venue_ns", WHOLE),
        ("epoch", WHOLE),
        ("seq_prev", WHOLE),
        ("seq", WHOLE),
        ("is_snapshot", YES_NO),
        ("is_bid", YES_NO),
        ("price", NUMBER),
        ("qty", NUMBER),
    ),
    "trade": (
        ("ts_recv_ns", WHOLE),
        ("ts_venue_ns", WHOLE),
        ("trade_id", TEXT),
        ("is_buy", YES_NO),
        ("price", NUMBER),
        ("qty", NUMBER),
        ("trades", WHOLE),
    ),
    "funding": (
        ("ts_recv_ns", WHOLE),
        ("ts_venue_ns", WHOLE),
        ("ts_funding_ns", WHOLE),
        ("rate", NUMBER),
        ("mark_price", NUMBER),
        ("index_price", NUMBER),
        ("interval_ns", WHOLE),
        ("rate_cap", NUMBER),
        ("rate_floor", NUMBER),
        ("is_settled", YES_NO),
    ),
    "bar": (
        *_PRICE,
        ("volume", NUMBER),
        ("buy_volume", NUMBER),
        ("quote_volume", NUMBER),
        ("trades", WHOLE),
        ("is_empty", YES_NO),
        ("is_complete", YES_NO),
    ),
    # Bars of what was not traded: a perpetual's mark, its index, and how far it is above that.
    "mark": _PRICE,
    "index": _PRICE,
    "premium": _PRICE,
}
STEPPED = ("bar", "mark", "index", "premium")
"""Tables whose rows each stand for a length of time."""
TIME_OF = {name: columns[0][0] for name, columns in COLUMNS.items()}
"""The column by which a table is in order."""


class Made(msgspec.Struct, kw_only=True):
    """What goes into a manifest beside what the rows themselves show."""

    spans: list[Span] = []
    missing: list[Missing] = []
    sources: list[Source] = []
    torn_bytes: int = 0
    step_ns: int = 0
    notes: list[str] = []
    how: str = ""


def schema_of(table: str) -> Any:
    """Return the schema of a table."""
    pa = need("pyarrow")
    kinds = {
        TEXT: pa.dictionary(pa.int32(), pa.string()) if table == "raw" else pa.string(),
        WHOLE: pa.int64(),
        NUMBER: pa.float64(),
        YES_NO: pa.bool_(),
        "bytes": pa.binary(),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS[table]])


def write_table(
    file: Path, table: str, rows: Iterable[tuple[Any, ...]], made: Made, *, is_staged: bool = False
) -> Manifest:
    """Write rows and their manifest, each whole or not at all, the manifest last.

    Args:
        file: Where to.
        table: Its name; a row has a value for each of its columns, in their order.
        rows: In order of time; no more than a group of them is held.
        made: What else the manifest says, once the last row was taken.
        is_staged: Whoever moves it to its place makes it durable, with all the others.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    counted = _write_groups(fresh, table, rows)
    if not is_staged:
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
    manifest = Manifest(
        file=file.name,
        sha256=sha256_of(fresh),
        bytes=fresh.stat().st_size,
        rows=counted.rows,
        ts_first_ns=counted.first_ns,
        ts_last_ns=counted.last_ns,
        columns=list(COLUMNS[table]),
        code=code_version(),
        time_falls=counted.falls,
        **msgspec.structs.asdict(made),
    )
    fresh.replace(file)
    if not is_staged:
        sync_directory(file.parent)
    write_manifest(file, manifest, is_staged=is_staged)
    return manifest


class _Written(NamedTuple):
    """What rows were written."""

    rows: int = 0
    first_ns: int = 0
    last_ns: int = 0
    falls: int = 0


def _write_groups(fresh: Path, table: str, rows: Iterable[tuple[Any, ...]]) -> _Written:
    """Write rows, a group at a time; return what they were."""
    pa, pq = need("pyarrow"), need("pyarrow.parquet")
    schema = schema_of(table)
    found = _Written()
    before_ns: int | None = None
    left = iter(rows)
    with pq.ParquetWriter(
        str(fresh), schema, compression="zstd", compression_level=LEVEL, store_schema=True
    ) as writer:
        while group := list(islice(left, ROWS_PER_GROUP)):
            columns = list(zip(*group, strict=True))
            arrays = [
                pa.array(column, type=field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), ROWS_PER_GROUP)
            times: tuple[int, ...] = columns[0]
            first_ns, last_ns = min(times), max(times)
            falls = sum(b < a for a, b in pairwise(times))
            if before_ns is not None and times[0] < before_ns:
                falls += 1
            before_ns = times[-1]
            found = _Written(
                found.rows + len(times),
                min(first_ns, found.first_ns if found.rows else first_ns),
                max(last_ns, found.last_ns if found.rows else last_ns),
                found.falls + falls,
            )
    return found


def write_raw(
    file: Path, rows: Sequence[RawRow], made: Made, *, is_staged: bool = False
) -> Manifest:
    """Write rows of raw frames."""
    made.spans = spans_of(rows)
    return write_table(
        file, "raw", [msgspec.structs.astuple(row) for row in rows], made, is_staged=is_staged
    )


def spans_of(rows: Iterable[RawRow]) -> list[Span]:
    """Return which part of which recording rows are."""
    seqs: dict[str, list[int]] = {}
    for row in rows:
        seqs.setdefault(row.recording, []).append(row.seq)
    return [
        Span(recording=name, rows=len(each), seq_first=min(each), seq_last=max(each))
        for name, each in sorted(seqs.items())
    ]


def open_table(file: Path, table: str) -> Any:
    """Return an open Parquet file that has the columns of a table.

    Raises:
        StoreFault: It is not Parquet, or of other columns.
    """
    pa, pq = need("pyarrow"), need("pyarrow.parquet")
    try:
        opened = pq.ParquetFile(str(file))
    except (pa.ArrowException, OSError) as error:
        raise StoreFault(f"{file}: cannot be read as Parquet: {_first_line(error)}") from error
    found = [field.name for field in opened.schema_arrow]
    wanted = [name for name, _ in COLUMNS[table]]
    if found != wanted:
        raise StoreFault(f"{file}: has the columns {found}; a table of {table} has {wanted}")
    return opened


def read_rows(file: Path, table: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield every row with its number, from 1.

    Raises:
        StoreFault: The file is damaged; the text says from which row on.
    """
    pa = need("pyarrow")
    opened = open_table(file, table)
    number = 0
    for group in range(opened.num_row_groups):
        try:
            columns = [column.to_pylist() for column in opened.read_row_group(group).columns]
        except (pa.ArrowException, OSError) as error:
            raise StoreFault(
                f"{file}: row {number + 1}: cannot be read: {_first_line(error)}"
            ) from error
        for number, values in enumerate(zip(*columns, strict=True), number + 1):  # noqa: B020
            yield number, values


def read_raw(file: Path, recording: str = "", connection: str = "") -> Iterator[tuple[int, RawRow]]:
    """Yield the rows of raw frames with their numbers, from 1; of one recording or connection.

    Raises:
        StoreFault: The file is damaged; the text says from which row on.
    """
    pa, pc = need("pyarrow"), need("pyarrow.compute")
    opened = open_table(file, "raw")
    above = 0
    for group in range(opened.num_row_groups):
        try:
            table = opened.read_row_group(group)
            numbers = range(above + 1, above + table.num_rows + 1)
            above += table.num_rows
            for name, wanted in (("recording", recording), ("connection", connection)):
                if wanted:
                    chosen = pc.indices_nonzero(pc.equal(table[name], wanted))
                    table = table.take(chosen)
                    numbers = [numbers[index] for index in chosen.to_pylist()]  # type: ignore[assignment]
            columns = [column.to_pylist() for column in table.columns]
        except (pa.ArrowException, OSError) as error:
            raise StoreFault(
                f"{file}: row {above + 1}: cannot be read: {_first_line(error)}"
            ) from error
        for number, values in zip(numbers, zip(*columns, strict=True), strict=True):
            yield number, RawRow(*values)


def connections_of(file: Path, recording: str) -> set[str]:
    """Return the connections of a recording that a file has rows of.

    Raises:
        StoreFault: The file is damaged.
    """
    pa, pc = need("pyarrow"), need("pyarrow.compute")
    opened = open_table(file, "raw")
    try:
        table = opened.read(columns=["recording", "connection"])
        found = table.filter(pc.equal(table["recording"], recording))["connection"].unique()
    except (pa.ArrowException, OSError) as error:
        raise StoreFault(f"{file}: cannot be read: {_first_line(error)}") from error
    return set(found.to_pylist())


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
