"""`arb data ls | sql`: what is in a store."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import ConfigError
from shared.store.extra import need
from shared.store.manifest import TABLES, StoreFault, files_in, part_of, read_manifest
from shared.store.parquet import schema_of
from shared.store.segments import segments_in

SECOND_NS = 1_000_000_000


def listing(root: Path) -> dict[str, Any]:
    """Return what is in a store: spans and rows per table, venue and instrument, and what is not.

    A file of which the manifest cannot be read is in ``damaged``, with the reason.

    Raises:
        ConfigError: There is none.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    missing, damaged = [], []
    for table in TABLES:
        for file in files_in(root, (table,)):
            try:
                manifest = read_manifest(file)
            except StoreFault as error:
                damaged.append({"file": str(file), "reason": str(error)})
                continue
            key = (table, part_of(file, "venue"), part_of(file, "instrument"))
            row = found.setdefault(
                key,
                {
                    **dict(zip(("table", "venue", "instrument"), key, strict=True)),
                    "files": 0,
                    "rows": 0,
                    "bytes": 0,
                    "ts_first_ns": manifest.ts_first_ns,
                    "ts_last_ns": manifest.ts_last_ns,
                    "missing": 0,
                    "notes": [],
                },
            )
            row["files"] += 1
            row["rows"] += manifest.rows
            row["bytes"] += manifest.bytes
            row["ts_first_ns"] = min(row["ts_first_ns"], manifest.ts_first_ns)
            row["ts_last_ns"] = max(row["ts_last_ns"], manifest.ts_last_ns)
            row["missing"] += len(manifest.missing)
            row["notes"] += manifest.notes
            missing += [
                {"file": str(file), **msgspec.structs.asdict(each)} for each in manifest.missing
            ]
    unfinished = [{"file": str(path), "bytes": path.stat().st_size} for path in segments_in(root)]
    return {
        "tables": list(found.values()),
        "missing": missing,
        "unfinished": unfinished,
        "damaged": damaged,
    }


def when(ts_ns: int) -> str:
    """Return a time for a person to read."""
    moment = datetime.fromtimestamp(ts_ns // SECOND_NS, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def query(root: Path, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return names and rows of a query over the views ``raw``, ``depth``, ``trade``, and so on.

    Raises:
        ConfigError: There is no store, or the query is wrong.
    """
    duckdb = need("duckdb")
    database = duckdb.connect()
    try:
        for table in TABLES:
            _add_view(database, root, table)
        answer = database.execute(text)
        names = [column[0] for column in answer.description or ()]
        return names, answer.fetchall()
    except duckdb.Error as error:
        raise ConfigError(f"sql: {str(error).strip().splitlines()[0]}") from error
    finally:
        database.close()


def _add_view(database: Any, root: Path, table: str) -> None:
    if next(files_in(root, (table,)), None) is not None:
        pattern = str(root / table / "**" / "*.parquet").replace("'", "''")
        # Parts of the paths are columns; as texts, so that they are spelled as in the paths.
        database.execute(
            f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{pattern}', "
            "hive_partitioning = true, hive_types_autocast = false)"
        )
        return
    parts = ("venue", "date", "hour") if table == "raw" else ("venue", "instrument", "date")
    pa = need("pyarrow")
    empty = pa.schema(
        [
            *(
                pa.field(f.name, pa.string() if f.type == _text(pa) else f.type)
                for f in schema_of(table)
            ),
            *((part, pa.string()) for part in parts),
        ]
    ).empty_table()
    database.register(table, empty)


def _text(pa: Any) -> Any:
    return pa.dictionary(pa.int32(), pa.string())


def write_csv(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Print rows as CSV; nothing for what is not there."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value is None else plain(value) for value in row])


def plain(value: Any) -> Any:
    """Return a value as JSON and CSV show it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return str(value)
