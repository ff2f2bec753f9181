"""The ledger of trials: every parameter set ever tried, so that nobody forgets how many there were.

One JSON object per line, appended and made durable before a report is written; nothing is ever
rewritten. The same trial (same data, rule, parameters, costs) counts once however often it is run.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from shared.errors import ConfigError
from shared.store.manifest import sync_directory

LINE_BYTES_MAX = 10_000


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter set on one set of data."""

    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    data: str
    rule: str
    params: dict[str, float]
    fee_bps: float
    period_s: Annotated[float, Meta(gt=0)]
    periods: Annotated[int, Meta(ge=0)]
    sharpe: Annotated[float, Meta(ge=-1e6, le=1e6)]
    """Per period of ``period_s``."""


class Tried(NamedTuple):
    """What the ledger says of all trials."""

    trials: int
    variance: float
    """Of their Sharpe ratios, per period of the length asked for; sample variance."""
    digest_input: bytes
    """The trials' ids in order: two runs that saw the same trials report the same."""


class TrialsLedger:
    """The file; every call opens it again and holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, trials: Iterable[Trial]) -> list[Trial]:
        """Append what is new, make it durable, and return everything there is now.

        Raises:
            ConfigError: A line is damaged, or the file cannot be written; nothing was added.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with self.path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                known = parse(file.read(), str(self.path))
                ids = {trial.id for trial in known}
                fresh = [t for t in {t.id: t for t in trials}.values() if t.id not in ids]
                file.write(b"".join(msgspec.json.encode(trial) + b"\n" for trial in fresh))
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_directory(self.path.parent)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error
        return known + fresh

    def read(self) -> list[Trial]:
        """Return the trials so far; none if there is no file yet.

        Raises:
            ConfigError: A line is damaged, or the file cannot be read.
        """
        try:
            return parse(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error


def parse(content: bytes, where: str) -> list[Trial]:
    """Return the trials of a ledger, each once.

    Raises:
        ConfigError: A line is no trial. Passing over it would make the count too small.
    """
    if not content:
        return []
    decoder = msgspec.json.Decoder(Trial)
    found: dict[str, Trial] = {}
    lines = content.split(b"\n")
    if lines[-1] != b"":
        raise ConfigError(
            f"{where}:{len(lines)}: the last line was not written to its end; remove that line, "
            "and run again what it was to record"
        )
    for number, line in enumerate(lines[:-1], 1):
        try:
            if len(line) > LINE_BYTES_MAX:
                raise msgspec.ValidationError(f"{len(line)} bytes, at most {LINE_BYTES_MAX}")
            trial = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{where}:{number}: not a trial: {error}; restore that line from a copy, or begin "
                "a new ledger: trials that are not counted make results look better than they are"
            ) from error
        found.setdefault(trial.id, trial)
    return list(found.values())


def tried(trials: Sequence[Trial], period_s: float) -> Tried:
    """Count trials and measure how far their Sharpe ratios lie apart, per period given."""
    ratios = np.array([t.sharpe * (period_s / t.period_s) ** 0.5 for t in trials])
    variance = float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0
    return Tried(len(trials), variance, "".join(sorted(t.id for t in trials)).encode())
