"""How often a book usually changes, and so when its silence is suspicious. Pure.

A stream may die on a live connection, and the venue and the ingestor notice nothing. A book that is
silent for ``FACTOR`` times the longest pause it had lately is suspected; one that never changed
twice is given ``UNKNOWN_PAUSE_NS`` for a pause. Each suspicion in a row waits twice as long as the
one before, so that a market that has really gone quiet is not asked for over and over.
"""

from __future__ import annotations

FACTOR = 10
DECAY = 0.999
"""Per delta: a longest pause is half forgotten after about 700 deltas."""
UNKNOWN_PAUSE_NS = 6_000_000_000
DOUBLINGS_MAX = 8


class DeltaPauses:
    """The pauses between the deltas of one book.

    Args:
        silence_ns_min: Never suspect a silence shorter than this.
        longest_ns: The longest pause lately; 0 if unknown.
    """

    def __init__(self, silence_ns_min: int, longest_ns: float = 0.0) -> None:
        self._silence_ns_min = silence_ns_min
        self.longest_ns = longest_ns
        self._last_ns = 0
        self._suspicions = 0
        self.suspected = False

    def on_delta(self, ts_recv_ns: int) -> None:
        """A delta was received."""
        if self._last_ns:
            pause_ns, longest_ns = ts_recv_ns - self._last_ns, self.longest_ns * DECAY
            self.longest_ns = pause_ns if pause_ns > longest_ns else longest_ns
        self._last_ns = ts_recv_ns
        self.suspected = False
        self._suspicions = 0

    def on_snapshot(self) -> None:
        """A new epoch began: the pause before it says nothing."""
        self._last_ns = 0
        self.suspected = False

    def suspect(self, silence_ns: int) -> bool:
        """Judge a silence; true if it has just become suspicious."""
        pause_ns = self.longest_ns or UNKNOWN_PAUSE_NS
        limit_ns = max(self._silence_ns_min, FACTOR * pause_ns)
        if self.suspected or silence_ns <= limit_ns * 2 ** min(self._suspicions, DOUBLINGS_MAX):
            return False
        self.suspected = True
        self._suspicions += 1
        return True
