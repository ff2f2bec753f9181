"""Tables that others write, as lines of named texts: CSV, CSV in a zip, and Parquet.

Files of exchanges' public archives often have no heading: what their columns are is known by the
name of the file, like ``BTCUSDT-1m-2024-08.zip``.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shared.errors import ConfigError
from shared.store.extra import need
from shared.wording import counted

KLINES = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
AGGREGATED = (
    *("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time"),
    *("is_buyer_maker", "is_best_match"),
)
TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")
_ARCHIVE = re.compile(
    r"(?P<symbol>[A-Z0-9_]+)-(?P<what>\d+(?:s|m|h|d|w|mo)|aggTrades|trades|fundingRate)"
    r"-\d{4}-\d\d(?:-\d\d)?\.(?:zip|csv)(?:\.gz)?"
)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_BATCH_ROWS = 10_000
ALIASES = {
    "time": ("ts_open_ns", "open_time", "start", "datetime", "timestamp", "date", "time", "ts"),
    "volume": ("volume", "vol"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "turnover"),
    "trades": ("trades", "count", "number_of_trades"),
    "buy_volume": ("buy_volume", "taker_buy_volume", "taker_buy_base"),
    "rate": ("rate", "funding_rate", "last_funding_rate", "fundingrate"),
    "funding_time": (
        *("ts_funding_ns", "calc_time", "funding_time", "fundingtime", "datetime", "timestamp"),
        *("date", "time"),
    ),
    "interval_hours": ("funding_interval_hours",),
    "mark_price": ("mark_price",),
    "trade_time": ("ts_venue_ns", "transact_time", "timestamp", "time"),
    "recv_time": ("ts_recv_ns", "local_timestamp"),
    "price": ("price",),
    "qty": ("qty", "quantity", "amount", "size"),
    "side": ("side",),
    "is_buyer_maker": ("is_buyer_maker",),
    "trade_id": ("trade_id", "agg_trade_id", "id"),
    "symbol": ("symbol",),
}
"""What we call a column -> what it is called, the surest first; case and blanks do not count."""


class Line(NamedTuple):
    """One row of a table: where it stands, for a person, and its values by name."""

    where: str
    values: Mapping[str, Any]


class Archive(NamedTuple):
    """What the name of an archive's file says."""

    symbol: str
    columns: tuple[str, ...]
    step_s: int


def archive_of(path: Path) -> Archive | None:
    """Return what a file's name says, ``None`` where it is none of an archive."""
    match = _ARCHIVE.fullmatch(path.name)
    if match is None:
        return None
    what = match["what"]
    named = {"aggTrades": AGGREGATED, "trades": TRADES, "fundingRate": FUNDING}
    if what in named:
        return Archive(match["symbol"], named[what], 0)
    number, unit = re.fullmatch(r"(\d+)(\w+)", what).groups()  # type: ignore[union-attr]
    return Archive(match["symbol"], KLINES, int(number) * _SECONDS.get(unit, 0))


def is_table(path: Path) -> bool:
    """Tell whether a file is a table rather than a recording, by its name."""
    name = path.name.removesuffix(".gz")
    return name.endswith((".csv", ".parquet", ".zip"))


def lines_of(path: Path) -> Iterator[Line]:
    """Yield the rows of a table.

    Raises:
        ConfigError: It cannot be read, or a row has not the columns of its heading.
    """
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet(path)
        elif path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as packed:
                names = [name for name in packed.namelist() if name.endswith(".csv")]
                if len(names) != 1:
                    raise ConfigError(f"{path}: {len(names)} CSV files in it; one is right")
                with packed.open(names[0]) as file:
                    yield from _csv(path, io.TextIOWrapper(file, "utf-8-sig", newline=""))
        elif path.name.endswith(".gz"):
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
                yield from _csv(path, text)
        else:
            with path.open(encoding="utf-8-sig", newline="") as text:
                yield from _csv(path, text)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
        text_ = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read: {text_}") from error


def _csv(path: Path, text: Any) -> Iterator[Line]:
    archive = archive_of(path)
    heading: tuple[str, ...] | None = None
    rows = csv.reader(text)
    for cells in rows:
        if not cells:
            continue
        if heading is None:
            is_heading = not cells[0][:1].isdigit() and cells[0][:1] != "-"
            if is_heading:
                heading = tuple(cells)
                if twice := next((c for c in cells if c and cells.count(c) > 1), ""):
                    raise ConfigError(
                        f"{path}:1: two columns are named {twice}; keep one, or rename it"
                    )
                continue
            if archive is None:
                raise ConfigError(
                    f"{path}:1: there is no heading; name the columns, like "
                    "open_time,open,high,low,close,volume"
                )
            heading = archive.columns[: len(cells)]
        if len(cells) != len(heading):
            raise ConfigError(
                f"{path}:{rows.line_num}: {counted(len(cells), 'column')}, "
                f"the heading has {len(heading)}"
            )
        yield Line(f"{path}:{rows.line_num}", dict(zip(heading, cells, strict=True)))


def _parquet(path: Path) -> Iterator[Line]:
    pa, pq = need("pyarrow"), need("pyarrow.parquet")
    number = 0
    try:
        file = pq.ParquetFile(str(path))
        for batch in file.iter_batches(_BATCH_ROWS):
            columns = {
                name: _exact(pa, column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for values in zip(*columns.values(), strict=True):
                number += 1
                yield Line(f"{path}: row {number}", dict(zip(columns, values, strict=True)))
    except pa.ArrowException as error:
        reason = str(error).split("\n")[0][:200]
        raise ConfigError(f"{path}: row {number + 1}: cannot be read: {reason}") from error


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


def named(line: Line, suffix: str) -> dict[str, Any]:
    """Return a row by the names that we give to its columns."""
    values = {}
    for name, value in line.values.items():
        key = name.strip().lower().replace(" ", "_")
        values[key.removesuffix(f"_{suffix.lower()}") if suffix else key] = value
    found = {
        ours: values[theirs]
        for ours, names in ALIASES.items()
        for theirs in reversed(names)
        if theirs in values
    }
    for name in ("open", "high", "low", "close", "is_empty"):
        if name in values:
            found[name] = values[name]
    return found
