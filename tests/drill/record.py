"""What a drill found, as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NOT_MET = "not met"


@dataclass(slots=True)
class Healed:
    """One fault at one book: ``healed_s`` from its effect until the book was trusted and right.

    ``None``: it was not within the time allowed. ``wrong_s`` is how long it was trusted and wrong
    meanwhile, ``states`` what it went through.
    """

    venue: str
    fault: str
    instrument: str
    healed_s: float | None
    wrong_s: float = 0.0
    states: list[str] = field(default_factory=list)
    note: str = ""
    ts_ns: int = 0


@dataclass(slots=True)
class Record:
    """A drill; it is good without problems."""

    seed: int
    rounds: int
    heal_s_max: float
    venues: list[str]
    unproved: list[str]
    healed: list[Healed] = field(default_factory=list)
    not_met: list[tuple[str, str]] = field(default_factory=list)
    """Venue and fault: nothing there that this fault could happen to."""
    problems: list[str] = field(default_factory=list)
    lied_to: list[str] = field(default_factory=list)
    """Opportunities priced while the venue itself told what was not so."""
    views: dict[str, int] = field(default_factory=dict)
    wrong_views: dict[str, list[str]] = field(default_factory=dict)
    opportunities: int = 0
    legs: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The record, with the summary of each fault and venue."""
        summary = {
            f"{fault} at {venue}": _times(some) for (fault, venue), some in self.grouped().items()
        }
        return {**asdict(self), "heal_s": summary}

    def grouped(self) -> dict[tuple[str, str], list[Healed]]:
        """What happened, by fault and venue."""
        found: dict[tuple[str, str], list[Healed]] = {}
        for one in self.healed:
            found.setdefault((one.fault, one.venue), []).append(one)
        return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so many are at or below; of one value that one."""
    if len(values) == 1:
        return values[0]
    if share == 0.5:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _times(some: Iterable[Healed]) -> dict[str, Any]:
    some = list(some)
    healed = [one.healed_s for one in some if one.healed_s is not None]
    return {
        "books": len(some),
        "not_healed": len(some) - len(healed),
        "p50": round(quantile(healed, 0.5), 3) if healed else None,
        "p99": round(quantile(healed, 0.99), 3) if healed else None,
        "wrong_s_max": round(max((one.wrong_s for one in some), default=0.0), 3),
    }


def table(record: Record, venues: Sequence[str], faults: Sequence[str]) -> str:
    """Return the table: a line a fault and a column a venue, p50/p99 in seconds."""
    width = max(11, *(len(name) for name in venues)) + 1
    head = f"{'heal, s: p50/p99':<17}" + "".join(f"{name:>{width}}" for name in venues)
    lines = [head]
    grouped = record.grouped()
    for fault in faults:
        cells = []
        for venue in venues:
            some = grouped.get((fault, venue), [])
            cells.append(_cell(some) if some else NOT_MET)
        lines.append(f"{fault:<17}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def notes(record: Record) -> dict[str, str]:
    """Return why faults were not noticed -> where that was."""
    found: dict[str, dict[str, None]] = {}
    for one in record.healed:
        if one.note:
            found.setdefault(one.note, {})[f"{one.fault} at {one.venue}"] = None
    return {note: ", ".join(books) for note, books in found.items()}


def _cell(some: list[Healed]) -> str:
    times = _times(some)
    if times["not_healed"]:
        return f"NEVER {times['not_healed']}/{times['books']}"
    mark = "*" if times["wrong_s_max"] > 0 else ""
    return f"{times['p50']:.1f}/{times['p99']:.1f}{mark}"
