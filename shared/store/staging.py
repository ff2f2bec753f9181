"""Files that come into a store together: all of them, or none.

They are written below ``.staging-NAME`` first. Once all are there a mark says so, and they are
moved to where they belong; after a crash the next process finds the mark and moves the rest.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ConfigError
from shared.store.manifest import manifest_path, write_whole

PREFIX = ".staging-"
READY = "ready"
REMOVE = "remove"
"""The files that are replaced, one a line."""


@contextmanager
def staged(root: Path, name: str, instead_of: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a directory to write into; after the body all that is in it appears in ``root``.

    Args:
        root: Of the store.
        name: Of the directory.
        instead_of: Parquet files that go at that moment, with their manifests.

    Raises:
        ConfigError: A file that is to appear is there already; nothing has changed.
    """
    with locked(root, "writes"):
        recover(root)
        yield from _staged(root, name, instead_of)


@contextmanager
def locked(root: Path, what: str) -> Iterator[None]:
    """Keep every other process of this machine from the same.

    Raises:
        ConfigError: Another one is at it, or there is a file where the directory should be.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file, no directory; give another with --dir DIR")
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{what}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{root}: another process {what} there; wait until it has ended, "
                "or give another directory"
            ) from None
        yield


def _staged(root: Path, name: str, instead_of: Sequence[Path]) -> Iterator[Path]:
    stage = root / f"{PREFIX}{name}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        yield stage
        both = (each for path in instead_of for each in (path, manifest_path(path)))
        old = [path.relative_to(root) for path in both]
        (stage / REMOVE).write_text("".join(f"{path}\n" for path in old), encoding="utf-8")
        for file in _files(stage):
            if (root / file.relative_to(stage)).exists() and file.relative_to(stage) not in old:
                raise ConfigError(f"{root / file.relative_to(stage)} is there already")
        os.sync()  # once, for all of them
        write_whole(stage / READY, b"")
        _move(root, stage)
    finally:
        if not (stage / READY).exists():
            shutil.rmtree(stage, ignore_errors=True)


def recover(root: Path) -> None:
    """Finish what was ready when a process ended, and remove what was not."""
    for stage in sorted(root.glob(f"{PREFIX}*")):
        if (stage / READY).exists():
            _move(root, stage)
        else:
            shutil.rmtree(stage)


def _files(stage: Path) -> list[Path]:
    own = {stage / READY, stage / REMOVE}
    found = [path for path in sorted(stage.rglob("*")) if path.is_file() and path not in own]
    # A manifest says that its file is whole, so it comes after it.
    return sorted(found, key=lambda path: (path.suffix == ".json", str(path)))


def _move(root: Path, stage: Path) -> None:
    for line in (stage / REMOVE).read_text(encoding="utf-8").splitlines():
        (root / line).unlink(missing_ok=True)
    (stage / REMOVE).write_text("", encoding="utf-8")  # what is moved there now is not to go
    for file in _files(stage):
        place = root / file.relative_to(stage)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    os.sync()
    (stage / READY).unlink()
    shutil.rmtree(stage)
