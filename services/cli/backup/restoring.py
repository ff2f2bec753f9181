"""Puts a backup back: the append-only file that Redis loads at its start, and other files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from services.cli.backup.archive import AOF, CONFIG, LEDGER, Manifest
from shared.bus.tuning import LEDGER_KEY
from shared.bus.wire import pack
from shared.errors import ConfigError
from shared.ledger import lost_marks
from shared.store.manifest import sync_directory

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
        ConfigError: Something is there already, or the backup has no such file.
        OSError: It cannot be written. In either case nothing is left of it.
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
    copied: list[Path] = []
    try:
        for name, path in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _copy(parts[name], path)
            copied.append(path)
        return [*write_data(manifest, parts[AOF], directory), *copied]
    except BaseException:
        for path in copied:
            path.unlink()
        raise


def write_data(manifest: Manifest, commands: Path, directory: Path) -> list[Path]:
    """Write the data directory of a Redis with the backup's keys and the marks of a loss.

    Its folder has its name once all of it is on the disk: from half of one, or without its list of
    files, Redis would start without the marks, as if nothing were lost.
    """
    when = datetime.fromtimestamp(manifest.ts_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    loss = f"Redis was restored from the backup of {when}"
    fields = [part for pair in lost_marks(loss).items() for part in pair]
    directory.mkdir(parents=True, exist_ok=True)
    base, listing = f"{NAME}.1.base.aof", f"{NAME}.manifest"
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".{FOLDER}.") as made:
        folder = Path(made, FOLDER)
        folder.mkdir(mode=0o700)
        with commands.open("rb") as source, _new(folder / base) as file:
            file.write(pack("SELECT", manifest.database))
            shutil.copyfileobj(source, file)
            if manifest.ledger_id:
                file.write(pack("HSET", LEDGER_KEY, *fields))
        with _new(folder / listing) as file:
            file.write(f"file {base} seq 1 type b\n".encode("ascii"))
        sync_directory(folder)
        folder.rename(directory / FOLDER)
        sync_directory(directory)
    return [directory / FOLDER / name for name in (base, listing)]


def _copy(source: Path, place: Path) -> None:
    with source.open("rb") as given, _new(place) as file:
        shutil.copyfileobj(given, file)


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that only its owner can read; afterwards it is on the disk, or not there."""
    path.touch(mode=0o600, exist_ok=False)
    try:
        with path.open("r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
