"""Puts a backup back: the append-only file that Redis loads at its start, and other files."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.cli.backup.archive import AOF, CONFIG, LEDGER, Manifest
from shared.bus.tuning import LEDGER_KEY
from shared.bus.wire import pack
from shared.errors import ConfigError
from shared.ledger import lost_marks

FOLDER: Final = "appendonlydir"
NAME: Final = "appendonly.aof"
"""As Redis and Valkey name them unless they are told otherwise; arbstream.conf does not."""


def restore(
    manifest: Manifest,
    parts: dict[str, Path],
    directory: Path,
    *,
    config: Path | None = None,
    ledger: Path | None = None,
) -> list[Path]:
    """Write the data directory of a Redis that does not run, and the other files where asked.

    The services find marks in it by which risk and the executor halt with DATA_LOST: what happened
    since the backup is known to the venues alone.

    Returns:
        What was written.

    Raises:
        ConfigError: Something is there already, or the backup has no such file. Nothing is written.
        OSError: It cannot be written.
    """
    wanted = {name: path for name, path in ((CONFIG, config), (LEDGER, ledger)) if path is not None}
    for name, path in wanted.items():
        if name not in parts:
            raise ConfigError(f"the backup has no {name}: {'; '.join(manifest.left_out)}")
        if path.exists():
            raise ConfigError(f"{path} is there already; move it away first")
    if found := [
        path.name for path in (directory / FOLDER, directory / "dump.rdb") if path.exists()
    ]:
        raise ConfigError(
            f"{directory} holds data already ({', '.join(found)}); stop Redis and move it away"
        )
    written = write_data(manifest, parts[AOF], directory)
    for name, path in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy(parts[name], path)
        written.append(path)
    return written


def write_data(manifest: Manifest, commands: Path, directory: Path) -> list[Path]:
    """Write the data directory of a Redis with the backup's keys and the marks of a loss."""
    when = datetime.fromtimestamp(manifest.ts_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    loss = f"Redis was restored from the backup of {when}"
    fields = [part for pair in lost_marks(loss).items() for part in pair]
    folder = directory / FOLDER
    folder.mkdir(parents=True, mode=0o700)
    base, listing = folder / f"{NAME}.1.base.aof", folder / f"{NAME}.manifest"
    with commands.open("rb") as source, _new(base).open("r+b") as file:
        file.write(pack("SELECT", manifest.database))
        shutil.copyfileobj(source, file)
        if manifest.ledger_id:
            file.write(pack("HSET", LEDGER_KEY, *fields))
        file.flush()
        os.fsync(file.fileno())
    _new(listing).write_text(f"file {base.name} seq 1 type b\n", encoding="ascii")
    return [base, listing]


def _copy(source: Path, place: Path) -> None:
    with source.open("rb") as given, _new(place).open("r+b") as file:
        shutil.copyfileobj(given, file)
        file.flush()
        os.fsync(file.fileno())


def _new(path: Path) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    return path
