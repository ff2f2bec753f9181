"""Candles of a store (docs/data.md): the bars of one market, as they were imported or derived."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as arrow
from pyarrow import parquet

from services.research.candle_files import ROWS_MAX, DataConfig, Loaded, manifest_of
from services.research.candles import Table, length_s, length_text, make_candles
from shared.errors import ConfigError
from shared.store.manifest import Manifest, StoreFault, files_in, part_of, read_manifest

SECOND_NS = 1_000_000_000
PRICES = ("open", "high", "low", "close")


class _File(NamedTuple):
    """One file of bars."""

    venue: str
    instrument: str
    path: Path
    manifest: Manifest

    @property
    def market(self) -> tuple[str, str]:
        """Whose bars they are."""
        return self.venue, self.instrument


def load_stored(root: Path, config: DataConfig) -> Loaded:
    """Read the bars of one market and one length from a store.

    Bars that were recorded in part are holes.

    Raises:
        ConfigError: There are none, there are several to choose from, or a bar is not right.
    """
    if config.holes not in {"refuse", "keep"}:
        raise ConfigError(f"data.holes = {config.holes!r}: it is 'refuse' or 'keep'")
    try:
        files = _chosen(root, config)
        venue, instrument = files[0].market
        where = f"{root}: {venue} {instrument}"
        if sum(each.manifest.rows for each in files) > ROWS_MAX:
            raise ConfigError(f"{where}: over {ROWS_MAX} rows; give a store with a part of it")
        times, prices = _rows(files)
    except StoreFault as error:
        raise ConfigError(f"{error}; arb data verify says more") from error
    rows = np.arange(1, len(times) + 1, dtype=np.int64)
    candles = make_candles(
        Table(where, rows, times, prices),
        bar=length_text(files[0].manifest.step_ns // SECOND_NS),
        begin=config.begin,
        keep_holes=config.holes == "keep",
    )
    named = "".join(each.manifest.sha256 for each in files)
    manifest = manifest_of(
        f"{venue} {instrument}",
        sha256(named.encode()).hexdigest(),
        sum(each.manifest.bytes for each in files),
        candles,
    )
    return Loaded(candles, manifest)


def _chosen(root: Path, config: DataConfig) -> list[_File]:
    """Return the files of the one market and length that are meant, in order of time."""
    found = [
        _File(part_of(path, "venue"), part_of(path, "instrument"), path, read_manifest(path))
        for path in files_in(root, ("bar",))
    ]
    files = [
        each
        for each in found
        if config.venue in {"", each.venue} and config.instrument in {"", each.instrument}
    ]
    markets = sorted({each.market for each in files})
    if len(markets) != 1:
        there = sorted({each.market for each in found})
        shown = "; ".join(f"venue = '{v}', instrument = '{i}'" for v, i in there) or "none"
        which = "which bars" if markets or not there else "others: there are no such bars"
        raise ConfigError(f"{root}: say under [data] {which}; there are: {shown}")
    steps = sorted({each.manifest.step_ns for each in files})
    wanted = length_s(config.bar, "data.bar") * SECOND_NS if config.bar else steps[0]
    if wanted not in steps or (len(steps) > 1 and not config.bar):
        lengths = " or ".join(f"bar = '{length_text(step // SECOND_NS)}'" for step in steps)
        raise ConfigError(f"{root}: say under [data] how long bars are: {lengths}")
    files = [each for each in files if each.manifest.step_ns == wanted]
    return sorted(files, key=lambda each: (each.manifest.ts_first_ns, each.path.name))


def _rows(files: list[_File]) -> tuple[Any, Any]:
    """Return the times in seconds and the prices; NaN where a bar is not complete."""
    times, prices = [], []
    for each in files:
        try:
            table = parquet.read_table(
                arrow.BufferReader(each.path.read_bytes()),
                columns=["ts_open_ns", "is_complete", *PRICES],
            )
        except (arrow.ArrowException, OSError, KeyError) as error:
            reason = str(error).splitlines()[0][:120]
            raise StoreFault(f"{each.path}: cannot be read: {reason}") from error
        whole = table.column("is_complete").to_numpy().astype(bool)
        columns = np.array([table.column(name).to_numpy() for name in PRICES], dtype=np.float64)
        columns[:, ~whole] = np.nan
        times.append(table.column("ts_open_ns").to_numpy().astype(np.int64) // SECOND_NS)
        prices.append(columns)
    return np.concatenate(times), np.concatenate(prices, axis=1)
