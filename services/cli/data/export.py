"""`arb data export`: what is stored as CSV, JSON lines, or recordings that `arb replay` takes."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from shared.errors import ConfigError
from shared.store.manifest import files_in, part_of
from shared.store.parquet import COLUMNS, read_rows
from shared.store.reading import Lines, StoredRecording, recordings_in

FORMATS = ("recording", "csv", "jsonl")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def export_recordings(root: Path, out: Path, only: str | None) -> dict[str, Any]:
    """Write recordings as files of lines, a directory each; return what was written.

    Raises:
        ConfigError: No such recording, or ``out`` is there already.
    """
    chosen = choose(recordings_in(root), only)
    if out.exists():
        raise ConfigError(f"{out} is there already; give a directory that is not")
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    written: dict[str, int] = {}
    try:
        lines = Lines(chosen)
        for path in lines.paths:
            name = _safe(path)
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            with (fresh / name).open("wb") as file:
                count = 0
                for line in lines.read(Path(path)):
                    file.write(line + b"\n")
                    count += 1
            written[str(out / name)] = count
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return {"files": written, "lines": sum(written.values())}


def choose(found: dict[str, StoredRecording], only: str | None) -> dict[str, StoredRecording]:
    """Return the recording of a name, or all.

    Raises:
        ConfigError: There is none of this name.
    """
    if only is None:
        return found
    if only not in found:
        raise ConfigError(f"no recording {only!r}; there are: {', '.join(found) or 'none'}")
    return {only: found[only]}


def _safe(path: str) -> Path:
    return Path(*(_UNSAFE.sub("_", part) for part in path.split("/")))


def export_rows(
    root: Path, table: str, form: str, file: IO[str], where: dict[str, str]
) -> dict[str, Any]:
    """Write the rows of a table in order of their files; return how many.

    Args:
        root: Of the store.
        table: Which.
        form: ``csv`` or ``jsonl``.
        file: Where to.
        where: Parts of paths that must be equal, like ``venue``.
    """
    parts = ("venue",) if table == "raw" else ("venue", "instrument")
    names = [*parts, *(name for name, _ in COLUMNS[table])]
    rows = _chosen_rows(root, table, parts, where)
    counted = _Counted(rows)
    if form == "csv":
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(["" if value is None else value for value in row] for row in counted)
    else:
        for row in counted:
            file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    return {"table": table, "rows": counted.count}


class _Counted:
    """Passes rows on and counts them."""

    def __init__(self, rows: Iterator[list[Any]]) -> None:
        self._rows, self.count = rows, 0

    def __iter__(self) -> Iterator[list[Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _chosen_rows(
    root: Path, table: str, parts: tuple[str, ...], where: dict[str, str]
) -> Iterator[list[Any]]:
    for file in files_in(root, (table,)):
        own = [part_of(file, name) for name in parts]
        known = dict(zip(parts, own, strict=True))
        if any(known.get(name) != value for name, value in where.items()):
            continue
        for _, values in read_rows(file, table):
            yield [*own, *(_plain(value) for value in values)]


def _plain(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode("ascii")
