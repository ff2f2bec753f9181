"""Records into a CSV or Parquet file; amounts keep all their digits, as text."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from shared.store.extra import need

_JSON = msgspec.json.Encoder(decimal_format="string", order="deterministic")


def write_csv(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write a header and a line per record; what is a list or a table is JSON."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if records:
            table.writerow(records[0])
        table.writerows([_cell(value) for value in record.values()] for record in records)


def write_parquet(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write a column per field.

    Raises:
        ConfigError: What writes Parquet is not installed.
    """
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    columns = {
        name: arrow.array([_cell(record[name]) for record in records])
        for name in (records[0] if records else ())
    }
    parquet.write_table(arrow.table(columns), path)


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict | list):
        return _JSON.encode(value).decode()
    return value
