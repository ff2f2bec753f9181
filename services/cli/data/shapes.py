"""The shapes of tables that we know, a row each, and how a file's own columns and name tell one.

A shape is told, never guessed: by the columns of the heading, or by the name of an archive's file.
What could be two shapes, or is none, is one line that says what to give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.data.archives import Archive, archive_of
from services.cli.data.files import (
    Cells,
    Line,
    cells_of,
    is_parquet,
    named_lines,
    parquet_lines,
    parquet_names,
)
from shared.errors import ConfigError

COLUMNS_SHOWN = 6


OHLC = ("time", "open", "high", "low", "close")
KLINES = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)


class Shape(NamedTuple):
    """One row of the table.

    Attributes:
        name: What ``--as`` calls it.
        table: Of the store.
        needs: Our names of the columns that make it.
        archive: What the names of archives' files call it.
        columns: Of an archive's file without a heading.
    """

    name: str
    table: str
    needs: tuple[str, ...]
    archive: str = ""
    columns: tuple[str, ...] = ()


SHAPES = (
    Shape("candles", "bar", OHLC, "klines", KLINES),
    Shape(
        "trades",
        "trade",
        ("trade_time", "price", "qty", "side"),
        "trades",
        ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    ),
    Shape(
        "aggTrades",
        "trade",
        ("trade_time", "price", "qty", "side", "trade_id", "trade_first", "trade_last"),
        "aggTrades",
        (
            *("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id"),
            *("transact_time", "is_buyer_maker", "is_best_match"),
        ),
    ),
    Shape(
        "funding",
        "funding",
        ("funding_time", "rate"),
        "fundingRate",
        ("calc_time", "funding_interval_hours", "last_funding_rate"),
    ),
    Shape(
        "quotes",
        "depth",
        ("quote_time", "bid_price", "bid_qty", "ask_price", "ask_qty"),
        "bookTicker",
        (
            *("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty"),
            *("transaction_time", "event_time"),
        ),
    ),
    Shape("books", "depth", ("quote_time", "levels")),
    Shape("markPriceKlines", "mark", OHLC, "markPriceKlines", KLINES),
    Shape("indexPriceKlines", "index", OHLC, "indexPriceKlines", KLINES),
    Shape("premiumIndexKlines", "premium", OHLC, "premiumIndexKlines", KLINES),
)
BY_NAME = {shape.name: shape for shape in SHAPES}
NOT_TAKEN = (
    ({"percentage", "depth", "notional"}, "bookDepth", "sums of bands of a book, no prices"),
    ({"sum_open_interest"}, "metrics", "open interest and ratios, no prices"),
    ({"average_price", "original_quantity"}, "liquidationSnapshot", "liquidations, not all trades"),
)
"""Columns, what archives call them, and why the store has no table for them."""
NOT_TRADED = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
"""Folders of archives whose files are named as those of klines: shapes that the folder tells."""

ALIASES = {
    "time": (
        *("ts_open_ns", "open_time", "start", "datetime", "timestamp", "date", "time", "ts"),
        *("unix",),
    ),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume", "vol"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "turnover"),
    "trades": ("trades", "count", "number_of_trades", "tradecount"),
    "buy_volume": (
        *("buy_volume", "taker_buy_volume", "taker_buy_base", "taker_buy_base_asset_volume"),
    ),
    "rate": ("rate", "funding_rate", "last_funding_rate", "fundingrate"),
    "funding_time": (
        *("ts_funding_ns", "calc_time", "funding_time", "fundingtime", "datetime", "timestamp"),
        *("date", "time", "open_time", "start", "ts", "unix"),
    ),
    "interval_hours": ("funding_interval_hours",),
    "mark_price": ("mark_price", "markprice"),
    "trade_time": ("ts_venue_ns", "transact_time", "timestamp", "time", "datetime", "date", "ts"),
    "quote_time": (
        *("ts_venue_ns", "transaction_time", "event_time", "timestamp", "time", "datetime"),
        *("date", "ts"),
    ),
    "recv_time": ("ts_recv_ns", "local_timestamp"),
    "price": ("price",),
    "qty": ("qty", "quantity", "amount", "size"),
    "side": ("side", "is_buyer_maker", "isbuyermaker", "is_buy"),
    "trade_id": ("trade_id", "agg_trade_id", "id"),
    "trade_first": ("first_trade_id",),
    "trade_last": ("last_trade_id",),
    "update_id": ("update_id",),
    "bid_price": ("best_bid_price", "bid_price"),
    "bid_qty": ("best_bid_qty", "bid_qty", "bid_amount", "bid_size"),
    "ask_price": ("best_ask_price", "ask_price"),
    "ask_qty": ("best_ask_qty", "ask_qty", "ask_amount", "ask_size"),
    "symbol": ("symbol",),
    "exchange": ("exchange",),
    "is_buy": ("is_buy",),
    "is_buyer_maker": ("is_buyer_maker", "isbuyermaker"),
}
"""What we call a column -> what it is called, the surest first; case and blanks do not count."""
_LEVEL = re.compile(
    r"(?P<side>ask|bid)s?(?:_(?P<a>\d+)_|\[(?P<b>\d+)\]\.)(?P<what>price|qty|amount|size)"
)


class Levels(NamedTuple):
    """Where the levels of a book stand: names of price and quantity, the best first."""

    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """A file whose shape is known.

    Attributes:
        columns: Our names of columns -> those of the file.
        levels: Of a book; empty for all else.
        archive: What the file's name says, if it is one of an archive.
        is_forced: The user said the shape.
    """

    path: Path
    shape: Shape
    columns: Mapping[str, str]
    levels: Levels
    archive: Archive | None
    is_forced: bool
    heading: tuple[str, ...]


def tell(path: Path, forced: str, suffix: str) -> Told:
    """Return what a file is.

    Raises:
        ConfigError: It cannot be told, or is nothing that the store has a table for.
    """
    archive = archive_of(path)
    named_by = forced or next((p for p in path.absolute().parts[:-1] if p in NOT_TRADED), "")
    heading = parquet_names(path) if is_parquet(path) else _heading_of(path, archive, named_by)
    if suffix and not any(_key_of(name).endswith(f"_{suffix.lower()}") for name in heading):
        raise ConfigError(
            f"{path}: no column ends in _{suffix}; there are: {_shown(heading)}"
            f"{_suffix_hint({_key_of(name) for name in heading})}"
        )
    columns, levels = named(heading, suffix)
    have = {*columns, *(["levels"] if levels.bids and levels.asks else [])}
    shape = _shape_of(path, have, heading, archive, named_by)
    return Told(path, shape, columns, levels, archive, bool(forced), heading)


def lines_of(told: Told) -> Iterator[Line]:
    """Yield the rows of a file.

    Raises:
        ConfigError: It cannot be read, or a row has not the columns of its heading.
    """
    if is_parquet(told.path):
        yield from parquet_lines(told.path)
        return
    rows = cells_of(told.path)
    first = next(rows, None)
    if first is None:
        return
    begin = () if is_heading(first.cells) else (first,)
    yield from named_lines(told.path, told.heading, chain(begin, rows))


def is_heading(cells: list[str]) -> bool:
    """Tell whether a row names columns: rows of values begin with a number or a time."""
    return not (cells[0][:1].isdecimal() or cells[0][:1] == "-")


def _key_of(name: str) -> str:
    """Return a column's name without what does not count: case and blanks."""
    return name.strip().lower().replace(" ", "_")


def named(heading: tuple[str, ...], suffix: str) -> tuple[dict[str, str], Levels]:
    """Return the columns by the names that we give to them, and those of a book's levels."""
    theirs: dict[str, str] = {}
    levels: dict[tuple[str, int], dict[str, str]] = {}
    for name in heading:
        key = _key_of(name)
        if suffix:
            key = key.removesuffix(f"_{suffix.lower()}")
        theirs.setdefault(key, name)
        if match := _LEVEL.fullmatch(key):
            what = "price" if match["what"] == "price" else "qty"
            number = int(match["a"] or match["b"])
            levels.setdefault((match["side"], number), {})[what] = name
    found = {
        ours: theirs[alias]
        for ours, names in ALIASES.items()
        for alias in reversed(names)
        if alias in theirs
    }
    sides = {
        side: tuple(
            (each["price"], each["qty"])
            for (of, _), each in sorted(levels.items())
            if of == side and len(each) == len(("price", "qty"))
        )
        for side in ("bid", "ask")
    }
    return found, Levels(sides["bid"], sides["ask"])


def _heading_of(path: Path, archive: Archive | None, forced: str) -> tuple[str, ...]:
    """Return the columns of a CSV: as its first line says, else as its shape has them."""
    rows = cells_of(path)
    first: Cells | None = next(rows, None)
    if first is None:
        raise ConfigError(f"{path}: there is no row in it")
    cells = first.cells
    if is_heading(cells):
        if twice := next((each for each in cells if each and cells.count(each) > 1), ""):
            raise ConfigError(
                f"{first.where}: two columns are named {twice}; keep one, or rename it"
            )
        if len(cells) == 1 and (mark := next((m for m in ";\t|" if m in cells[0]), "")):
            raise ConfigError(f"{first.where}: columns are parted by {mark!r}; a comma is right")
        return tuple(cells)
    kind = archive.kind if archive is not None else ""
    shape = BY_NAME.get(forced) or next((s for s in SHAPES if kind and s.archive == kind), None)
    if shape is not None and shape.columns:
        return shape.columns[: len(cells)]
    headless = ", ".join(each.name for each in SHAPES if each.columns)
    raise ConfigError(
        f"{first.where}: there is no heading; name the columns, like "
        f"open_time,open,high,low,close,volume, or give --as for what archives have without: "
        f"{headless}"
    )


def _shape_of(
    path: Path, have: set[str], heading: tuple[str, ...], archive: Archive | None, forced: str
) -> Shape:
    """Return the one shape that a file can be.

    Raises:
        ConfigError: There are several, or none.
    """
    if forced:
        shape = BY_NAME[forced]
        if missing := [name for name in shape.needs if name not in have]:
            raise ConfigError(
                f"{path}: has no column of {_spoken(missing[0])}, so it is no {forced}; "
                f"there are: {_shown(heading)}"
            )
        return shape
    names = {name.strip().lower() for name in heading}
    for columns, kind, what in NOT_TAKEN:
        if columns <= names:
            raise ConfigError(f"{path}: is of the shape {kind}: {what}; the store has no table")
    told = [shape for shape in SHAPES if shape.name not in NOT_TRADED]
    found = [shape for shape in told if set(shape.needs) <= have]
    # Of two shapes of one table the one that needs all the other needs, and more, is the right one.
    found = [
        each
        for each in found
        if not any(set(each.needs) < set(o.needs) and o.table == each.table for o in found)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        choice = " or ".join(f"--as {each.name}" for each in found)
        raise ConfigError(f"{path}: could be {' and '.join(s.name for s in found)}; give {choice}")
    if archive is not None and archive.kind not in {each.archive for each in SHAPES}:
        raise ConfigError(f"{path}: the store has no table for {archive.kind} of archives")
    raise ConfigError(
        f"{path}: the columns {_shown(heading)} are none of "
        f"{', '.join(each.name for each in SHAPES)}{_suffix_hint(names)}"
    )


def _suffix_hint(names: set[str]) -> str:
    suffixes = sorted(
        name.removeprefix("open_")
        for name in names
        if name.startswith("open_") and f"close_{name.removeprefix('open_')}" in names
    )
    return f"; give --suffix {' or '.join(suffixes)}" if suffixes else ""


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _shown(heading: tuple[str, ...]) -> str:
    more = ", ..." if len(heading) > COLUMNS_SHOWN else ""
    return ", ".join(heading[:COLUMNS_SHOWN]) + more


def values_of(line: Line, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return a row by the names that we give to its columns."""
    return {ours: line.values[theirs] for ours, theirs in columns.items()}
