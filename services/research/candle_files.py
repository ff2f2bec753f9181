"""Reads candles from CSV (plain or .gz) and Parquet, by the names of their columns.

Times may be text with a zone, whole numbers (seconds to nanoseconds), or instants of Parquet. A
time without a zone names no instant: the configuration must say which zone is meant.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as arrow
from pyarrow import parquet

from services.research.arrays import Floats, Ints
from services.research.candles import Candles, Table, length_text, make_candles, offset_s
from shared.errors import ConfigError
from shared.wording import counted

TIME_NAMES = ("open_time", "timestamp", "datetime", "time", "date", "start")
PRICE_NAMES = ("open", "high", "low", "close")
BYTES_MAX = 2 * 1024**3
ROWS_MAX = 20_000_000
EARLIEST_S, LATEST_S = 1_230_768_000, 4_102_444_800  # 2009 to 2100


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[data]``: how to read the file.

    Attributes:
        zone: Of times that name none, like UTC or UTC+3; empty refuses such times.
        suffix: Of the price columns, like ``_spot`` for ``open_spot``.
        time: Name of the column of times; empty takes the first of the usual names.
        bar: Length of a bar, like 1h; empty takes the commonest distance.
        begin: How long after 00:00 UTC bars begin, like 3h; empty is at 00:00 and multiples.
        holes: ``refuse`` or ``keep`` missing bars.
        venue: Of a store: whose bars; empty where it has those of one market only.
        instrument: Of a store.
    """

    zone: str = ""
    suffix: str = ""
    time: str = ""
    bar: str = ""
    begin: str = ""
    holes: str = "refuse"
    venue: str = ""
    instrument: str = ""


class Loaded(NamedTuple):
    """Candles and what identifies them: the bytes of the file, and how it was read."""

    candles: Candles
    manifest: dict[str, Any]


def load_candles(path: Path, config: DataConfig) -> Loaded:
    """Read a file of candles.

    Raises:
        ConfigError: It cannot be read, or a row is not right; one line says which.
    """
    if config.holes not in {"refuse", "keep"}:
        raise ConfigError(f"data.holes = {config.holes!r}: it is 'refuse' or 'keep'")
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise ConfigError(f"{path}: over {BYTES_MAX} bytes; give a part of it")
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            file.seek(0)
            is_parquet = file.read(4) == b"PAR1"
            file.seek(0)
            table = (_read_parquet if is_parquet else _read_csv)(file, path.name, config)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    candles = make_candles(
        table, bar=config.bar, begin=config.begin, keep_holes=config.holes == "keep"
    )
    return Loaded(candles, manifest_of(path.name, digest, size, candles))


def manifest_of(name: str, digest: str, size: int, candles: Candles) -> dict[str, Any]:
    """Return what identifies candles."""
    return {
        "file": name,
        "sha256": digest,
        "bytes": size,
        "bars": len(candles.closes),
        "bar": length_text(candles.bar_s),
        "holes": candles.holes,
        "first": _iso(int(candles.times_s[0])),
        "last": _iso(int(candles.closes_s[-1])),
    }


def _iso(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _columns(names: Sequence[str], where: str, config: DataConfig) -> tuple[str, list[str]]:
    """Return the name of the time column and those of the prices.

    Raises:
        ConfigError: One is not there, or there twice; the text names those that are.
    """
    if not any(names):
        raise ConfigError(f"{where}: empty; the first row names the columns, the rows are below it")
    times = [config.time] if config.time else [n for n in TIME_NAMES if n in names]
    if not times or times[0] not in names:
        wanted = config.time or f"one of {', '.join(TIME_NAMES)}"
        raise ConfigError(f"{where}: no column of times ({wanted}); there are: {_some(names)}")
    prices = [f"{name}{config.suffix}" for name in PRICE_NAMES]
    missing = [name for name in prices if name not in names]
    if not missing:
        for name in (times[0], *prices):
            if names.count(name) > 1:
                raise ConfigError(f"{where}: two columns are named {name}; keep one, or rename it")
        return times[0], prices
    suffixes = [n.removeprefix("close") for n in names if n.startswith("close") and n != times[0]]
    offered = [s for s in suffixes if s and all(f"{n}{s}" in names for n in PRICE_NAMES)]
    if offered:
        choice = " or ".join(f"suffix = {suffix!r}" for suffix in offered)
        raise ConfigError(f"{where}: no column {missing[0]}; say under [data] which: {choice}")
    raise ConfigError(f"{where}: no column {missing[0]}; there are: {_some(names)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _read_csv(file: IO[bytes], where: str, config: DataConfig) -> Table:
    """Read row by row into arrays: 48 bytes a row, whatever its text takes."""
    with _text_of(file, where) as text:
        lines = csv.reader(text)
        try:
            return _rows_of(lines, where, config)
        except csv.Error as error:
            raise ConfigError(f"{where}:{lines.line_num}: not CSV: {error}") from error


@contextmanager
def _text_of(file: IO[bytes], where: str) -> Iterator[IO[str]]:
    """Unpack and decode as it is read.

    Raises:
        ConfigError: It is damaged, or no text.
    """
    is_packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if is_packed else file
    try:
        with io.TextIOWrapper(cast("IO[bytes]", stream), "utf-8-sig", newline="") as text:
            yield text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"{where}: damaged gzip: {error}; copy the file again") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: neither Parquet nor CSV in UTF-8: {error.reason}") from error


def _rows_of(lines: Any, where: str, config: DataConfig) -> Table:
    rows, times, prices = array("q"), array("q"), array("d")
    header: list[str] = next(lines, [])
    time_name, price_names = _columns(header, where, config)
    at_time, at_prices = header.index(time_name), [header.index(n) for n in price_names]
    for cells in lines:
        if not cells:
            continue
        place = f"{where}:{lines.line_num}"
        if len(cells) != len(header):
            values = counted(len(cells), "value")
            raise ConfigError(f"{place}: {values}; the head has {len(header)}")
        if len(rows) == ROWS_MAX:
            raise ConfigError(f"{where}: over {ROWS_MAX} rows; give a part of it")
        times.append(_time_s(cells[at_time], config, place))
        prices.extend(_price(cells[at], place) for at in at_prices)
        rows.append(lines.line_num)
    if not rows:
        raise ConfigError(f"{where}: no rows below the head")
    columns: Floats = np.asarray(prices, dtype=np.float64).reshape(-1, len(PRICE_NAMES)).T
    return Table(where, np.asarray(rows), np.asarray(times), columns)


def _price(text: str, place: str) -> float:
    if not text.strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{place}: {text[:40]!r} is no number") from None
    if math.isnan(value):
        return math.nan
    return value


def _time_s(text: str, config: DataConfig, place: str) -> int:
    """Return UTC seconds of a cell.

    Raises:
        ConfigError: It is no time, not a whole second, or names no zone.
    """
    if text.isascii() and text.isdigit():
        return _epoch_s(int(text), place)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{place}: {text[:40]!r} is no time; write 2026-11-26T07:30:00+00:00, or seconds"
        ) from None
    if found.microsecond:
        raise ConfigError(f"{place}: {text[:40]!r}: a bar begins at a whole second")
    if found.tzinfo is not None:
        return int(found.timestamp())
    return int(found.replace(tzinfo=UTC).timestamp()) - _zone_s(text, config, place)


def _zone_s(text: object, config: DataConfig, place: str) -> int:
    if not config.zone:
        raise ConfigError(
            f"{place}: {str(text)[:40]} has no zone; write it like {str(text)[:19]}+00:00, or say "
            "under [data] which zone is meant: zone = 'UTC'"
        )
    return offset_s(config.zone, "data.zone")


def _epoch_s(value: int, place: str) -> int:
    """Return the seconds of a whole number of s, ms, us or ns since 1970.

    Raises:
        ConfigError: It lies in none of them between 2009 and 2100, or on no whole second.
    """
    for per_second in (1, 10**3, 10**6, 10**9):
        if EARLIEST_S * per_second <= value < LATEST_S * per_second:
            if value % per_second:
                raise ConfigError(f"{place}: {value}: a bar begins at a whole second")
            return value // per_second
    raise ConfigError(
        f"{place}: {value} is no time between 2009 and 2100 in seconds, ms, us or ns since 1970"
    )


def _read_parquet(file: IO[bytes], where: str, config: DataConfig) -> Table:
    try:
        content = parquet.ParquetFile(file)
        if content.metadata.num_rows > ROWS_MAX:
            raise ConfigError(f"{where}: over {ROWS_MAX} rows; give a part of it")
        names = list(content.schema_arrow.names)
        time_name, price_names = _columns(names, where, config)
        table = content.read(columns=[time_name, *price_names])
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"{where}: damaged Parquet: {reason}; copy the file again") from error
    if not table.num_rows:
        raise ConfigError(f"{where}: no rows")
    prices = [_numbers(table.column(name), f"{where}: column {name}") for name in price_names]
    rows = np.arange(1, table.num_rows + 1, dtype=np.int64)
    times = _times(table.column(time_name), where, config)
    return Table(where, rows, times, np.array(prices))


def _numbers(column: Any, what: str) -> Floats:
    kind = column.type
    if not (arrow.types.is_floating(kind) or arrow.types.is_integer(kind)):
        raise ConfigError(f"{what} holds {kind}, not numbers")
    out: Floats = column.cast(arrow.float64()).to_numpy().astype(np.float64)
    return out


def _times(column: Any, where: str, config: DataConfig) -> Ints:
    if column.null_count:
        empty = next(n for n, value in enumerate(column.to_pylist(), 1) if value is None)
        raise ConfigError(f"{where}:{empty}: no time")
    kind = column.type
    if not arrow.types.is_timestamp(kind):
        cells = (str(value) for value in column.to_pylist())
        found = [_time_s(text, config, f"{where}:{n}") for n, text in enumerate(cells, 1)]
        return np.array(found, dtype=np.int64)
    stamps = column.cast(arrow.timestamp("ns")).to_numpy().astype(np.int64)
    if (stamps % 10**9).any():
        at = int((stamps % 10**9 != 0).argmax())
        raise ConfigError(f"{where}:{at + 1}: a bar begins at a whole second")
    shift = 0
    if kind.tz is None:
        first = datetime.fromtimestamp(int(stamps[0]) // 10**9, UTC).replace(tzinfo=None)
        shift = _zone_s(first, config, f"{where}:1")
    out: Ints = stamps // 10**9 - shift
    return out
