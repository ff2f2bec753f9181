"""What `arb verify` reports: the JSON is these fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """A book at the end of the recording.

    OUTSIDE: continuous, but the price is beyond the levels of the snapshot: what rests there is not
    known, so the best price is not known either.
    UNPROVED: nothing shows that it is out of step, nor that no change was lost; ``why`` says more.
    """

    LIVE = "LIVE"
    GAP = "GAP"
    NOT_SYNCED = "NOT_SYNCED"
    OUTSIDE = "OUTSIDE"
    UNPROVED = "UNPROVED"


@dataclass(slots=True)
class LineRef:
    """A line of a file."""

    path: str
    line: int


@dataclass(slots=True)
class Checksums:
    """Checksums compared; ``unchecked`` had none, or no book to compare with."""

    ok: int = 0
    failed: int = 0
    unchecked: int = 0
    failed_at: list[LineRef] = field(default_factory=list)


@dataclass(slots=True)
class Oracle:
    """Depth updates whose id a best quote also carries, and how many agree with it.

    ``failed_at`` are the lines at which one did not: of the update or of the quote, whichever came
    later. What is wrong came there or before, since the last one that agreed.
    """

    checked: int = 0
    equal: int = 0
    failed_at: list[LineRef] = field(default_factory=list)


@dataclass(slots=True)
class GapEntry:
    """Where continuity broke."""

    path: str
    line: int
    expected: int
    got: int


@dataclass(slots=True)
class ParseProblem:
    """A line that could not be read."""

    path: str
    line: int
    reason: str


@dataclass(slots=True)
class BookReport:
    """What became of one book; prices only where it is LIVE or UNPROVED at the end.

    ``outside`` counts the updates after which the best bid or ask was beyond the snapshot's levels,
    ``outside_from`` is the line of the first.
    """

    venue: str
    instrument: str
    frames: int = 0
    snapshots: int = 0
    deltas: int = 0
    applied: int = 0
    dropped_stale: int = 0
    gaps: list[GapEntry] = field(default_factory=list)
    gaps_total: int = 0
    checksums: Checksums = field(default_factory=Checksums)
    crossed: int = 0
    state: State = State.NOT_SYNCED
    best_bid: float | None = None
    best_ask: float | None = None
    best_bid_qty: float | None = None
    best_ask_qty: float | None = None
    oracle: Oracle = field(default_factory=Oracle)
    outside: int = 0
    outside_from: LineRef | None = None
    why: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether the recording of it is whole; that its price went OUTSIDE is only a warning."""
        return (
            self.state in (State.LIVE, State.OUTSIDE, State.UNPROVED)
            and not self.gaps_total
            and not self.checksums.failed
            and not self.crossed
            and self.oracle.equal == self.oracle.checked
        )


@dataclass(slots=True)
class VerifyReport:
    """The verdict."""

    ok: bool = False
    books: list[BookReport] = field(default_factory=list)
    parse_errors: list[ParseProblem] = field(default_factory=list)
    parse_errors_total: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values for the JSON encoder."""
        return asdict(self)
