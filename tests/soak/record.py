"""What a soak writes down: one JSON file, from which its report is made. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from shared.config_sections import BusConfig

SCHEMA = 1
SIGNS_MAX, ALERTS_MAX, SAMPLES_MAX = 5_000, 5_000, 3_000
"""Bounds of what one run keeps; ``Record.dropped`` counts what was beyond."""


class RecordError(Exception):
    """A file is no record of a soak; the text names it and what would be right."""


class ProcessSample(msgspec.Struct):
    """One process at one moment: MB of resident memory, open files, CPU seconds since its start.

    ``epoch`` changes when another process took the place.
    """

    epoch: int
    rss_mb: float
    fds: int
    cpu_s: float


class TabSample(msgspec.Struct):
    """One tab: its JavaScript heap after a collection, MB, and what it received since it loaded.

    ``epoch`` counts loads of the page. ``received`` are characters of frames, uncompressed.
    """

    epoch: int
    heap_mb: float
    received: int
    frames: int
    banner: str = ""


class Latency(msgspec.Struct):
    """Tick-to-order of the orders since the sample before, microseconds."""

    n: int = 0
    p50_us: float | None = None
    p99_us: float | None = None


class Sample(msgspec.Struct):
    """Everything measured at one moment, ``at_s`` after trading began.

    ``streams``: entries and bytes by name. Counts are totals since the start.
    """

    at_s: float
    processes: dict[str, ProcessSample] = {}
    tabs: dict[str, TabSample] = {}
    streams: dict[str, tuple[int, int]] = {}
    redis_mb: float | None = None
    dead_letters: int | None = None
    tick_to_order: Latency = msgspec.field(default_factory=Latency)
    frames: int = 0
    opportunities: int = 0
    plans: int = 0
    fills: int = 0
    denied: int = 0
    refused_orders: int = 0
    state: str = ""
    load_1m: float = 0.0
    cpu_percent: float = 0.0


class FaultSeen(msgspec.Struct):
    """One fault and what came of it; times are seconds from its beginning, or from its end.

    ``seen_s``: the first sign of it in what the system says (``seen_by``), from the beginning.
    ``told_s``: the first message of the notifier about it, from the beginning. ``healed_s``: until
    all services were ready and trading was ACTIVE, from the end. ``operator``: the cause of the
    halt where somebody had to resume.
    """

    at_s: float
    kind: str
    target: str
    lasted_s: float = 0.0
    seen_s: float | None = None
    seen_by: str = ""
    told_s: float | None = None
    healed_s: float | None = None
    operator: str = ""


class AlertSeen(msgspec.Struct):
    """One message of the notifier: ``what`` is began, still or over."""

    at_s: float
    what: str
    severity: str
    code: str
    subject: str


class Halt(msgspec.Struct):
    """Trading that stopped outside any fault until it was resumed."""

    at_s: float
    reason: str


class Record(msgspec.Struct):
    """One soak. ``is_over`` is false while it runs, and stays so where it was killed.

    ``stream_bounds``: entries and bytes that each shard of a stream may have; ``shards``: of those
    that have any.
    """

    schema: int
    machine: dict[str, Any]
    command: str
    commit: str
    started: str
    seconds_planned: float
    seed: int
    seconds: float = 0.0
    is_over: bool = False
    samples: list[Sample] = []
    faults: list[FaultSeen] = []
    alerts: list[AlertSeen] = []
    halts: list[Halt] = []
    problems: list[str] = []
    ending: dict[str, Any] = {}
    stream_bounds: dict[str, tuple[int, int]] = {}
    shards: int = BusConfig().shards
    notes: list[str] = []
    dropped: dict[str, int] = {}

    def add(self, name: str, item: Any, bound: int) -> None:
        """Append to a list of this record; beyond the bound count only."""
        items: list[Any] = getattr(self, name)
        if len(items) < bound:
            items.append(item)
        else:
            self.dropped[name] = self.dropped.get(name, 0) + 1


def read(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        RecordError: There is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordError(f"{path}: {error}; give the soak.json of a run") from error
    if found.schema != SCHEMA:
        raise RecordError(f"{path}: schema {found.schema}, not {SCHEMA}; use the code that made it")
    return found


def write(record: Record, path: Path) -> None:
    """Replace the file as a whole, so that a killed run leaves its last samples."""
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(record) + b"\n")
    beside.replace(path)
