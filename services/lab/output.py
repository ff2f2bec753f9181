"""What a run of the lab writes: its report to standard output, its decisions or trace to a file."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import ArbError, ConfigError


class OutputFile:
    """A file that an option names, as do its failures.

    Args:
        option: Named in what goes wrong, like the path.
        path: Of the file; what is there is replaced.

    Raises:
        ConfigError: It cannot be written.
    """

    def __init__(self, option: str, path: Path) -> None:
        self._option, self._path = option, path
        try:
            self._raw = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from error

    def write(self, line: bytes) -> None:
        """Append one line.

        Raises:
            ArbError: The file cannot be written any more, as on a full disk.
        """
        try:
            self._raw.write(line)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write what is buffered, and close.

        Raises:
            ArbError: As for ``write``.
        """
        try:
            self._raw.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ArbError:
        return ArbError(f"{self._option} {self._path}: cannot be written: {error.strerror}")


def when(ts_ns: int) -> str:
    """Return a time as it is told: UTC, to the millisecond."""
    at = datetime.fromtimestamp(ts_ns // 1_000_000 / 1e3, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1_000:03} UTC"


def write_out(data: bytes) -> None:
    """Write to standard output; a closed pipe is no error.

    Raises:
        ArbError: It cannot be written, as to a file on a full disk.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # what is still buffered would fail once more when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ArbError(f"standard output: cannot be written: {error.strerror}") from error
