"""The folder of a report: written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigError


def check_out(out: Path) -> None:
    """See that a folder can be written, and leave nothing behind.

    Raises:
        ConfigError: It cannot be written to.
    """
    there = next(each for each in (out, *out.absolute().parents) if each.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, "Not a directory")
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=there):
            pass
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from error


def write_out(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report: a new folder appears with all of them.

    In a folder that is there each file is replaced as a whole; what else is in it stays.

    Raises:
        ConfigError: They cannot be written.
    """
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
        try:
            for name, content in files.items():
                (beside / name).write_bytes(content)
            if not out.exists():
                beside.chmod(0o777 & ~_umask())
                beside.rename(out.absolute())
                return
            for name in files:
                (beside / name).replace(out / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
