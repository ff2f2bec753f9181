"""Reads the tables of the recorded market data, for tests only: rows as named tuples of columns."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

HOUR_S = 3_600


def parquet_columns(path: Path, *names: str) -> list[list[Any]]:
    """Return columns of a Parquet file; times are UTC seconds (floats, so that jitter survives)."""
    reader = pytest.importorskip("pyarrow.parquet", reason="pyarrow reads the recorded tables")
    table = reader.read_table(path, columns=list(names))
    return [[_plain(value) for value in table.column(name).to_pylist()] for name in names]


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a gzipped CSV file by the names of its head line."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def utc_s(text: str) -> float:
    """Return a time like ``2020-01-01 03:00:00.000``, read as UTC, in seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value


def binance_hours(data: Path) -> dict[str, list[Any]]:
    """Return the hourly panel of Binance BTC, spot and perpetual, by short column names."""
    names = {
        "t": "timestamp",
        "spot_open": "open_spot_binance",
        "spot": "close_spot_binance",
        "spot_volume": "volume_spot_binance",
        "perp_open": "open_perp_binance",
        "perp_high": "high_perp_binance",
        "perp": "close_perp_binance",
        "rate": "funding_rate_raw_binance",
    }
    path = data / "perpfunding_PietroC21" / "binance_BTC_2020-01-01_2026-03-06.parquet"
    return dict(zip(names, parquet_columns(path, *names.values()), strict=True))


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies, linear between two of them."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
