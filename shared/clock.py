"""Clocks. UNIX nanoseconds state facts; monotonic nanoseconds measure durations.

The only module that reads the machine's clock; everything else is handed the time. What the machine
says may be set back; the time that is handed on is not (``SteadyTime``, docs/adr/0027).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

STEP_NS: Final = 100_000_000
"""A clock that is behind by more than this was set back; less is held until it is right again."""
SLOWER_BY: Final = 10
"""While the machine's clock catches up, time goes slower by one part in so many."""


class Clock(Protocol):
    """Where the time comes from."""

    def now_ns(self) -> int:
        """Return UNIX time in nanoseconds: for facts; it never falls, and may jump ahead."""

    def monotonic_ns(self) -> int:
        """Return a counter that never runs backwards, in nanoseconds: for durations only."""


class SteadyTime:
    """UNIX time that neither falls nor stands still when the machine's clock is set back.

    It is the machine's clock, also where that is set ahead. Where that is set back, time goes on by
    the monotonic counter, a tenth slower, until the machine's clock has caught up. So timers go on,
    ages are right within a tenth, and all processes that ran when it happened have the same time.

    Args:
        wall: Returns the machine's UNIX time, in nanoseconds.
        monotonic: Returns its monotonic counter, in nanoseconds.
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._known = wall(), monotonic()
        """Time as it was told last, and the counter then; one value, as threads ask as well."""
        self._is_ahead = False
        self.set_back_ns = 0
        """By how much the machine's clock was behind when it was last seen to be set back."""

    def now_ns(self) -> int:
        """Return the time."""
        # First: what another thread makes known meanwhile does not belong to these readings.
        known_ns, known_counter_ns = self._known
        wall_ns, counter_ns = self._wall(), self._monotonic()
        due_ns = known_ns + counter_ns - known_counter_ns
        if self._is_ahead:
            now_ns = due_ns - (due_ns - known_ns) // SLOWER_BY
            if now_ns <= wall_ns:
                now_ns, self._is_ahead = wall_ns, False
        elif due_ns - wall_ns > STEP_NS:
            now_ns, self._is_ahead = due_ns, True
            self.set_back_ns = due_ns - wall_ns
        else:
            now_ns = wall_ns if wall_ns > known_ns else known_ns
        self._known = now_ns, counter_ns
        return now_ns

    def ahead_ns(self) -> int:
        """Return how far time is ahead of the machine's clock; 0 unless that was set back."""
        return max(0, self.now_ns() - self._wall()) if self._is_ahead else 0


STEADY: Final = SteadyTime(time.time_ns, time.monotonic_ns)
"""Of this process."""


class SystemClock:
    """The machine's clock, which is not set back."""

    now_ns = staticmethod(STEADY.now_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


def thread_cpu_ns() -> int:
    """Return the processor time that the calling thread has used, in nanoseconds: for durations.

    What other processes take meanwhile is not in it. A call costs a microsecond or two.
    """
    return time.thread_time_ns()


class ManualClock:
    """A clock that moves only by ``advance``, for tests and simulation."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the simulated UNIX time in nanoseconds."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return the same simulated counter: simulated time never jumps."""
        return self._now_ns

    def advance(self, duration_ns: int) -> int:
        """Move time forward and return the new time."""
        assert duration_ns >= 0, "time does not run backwards"
        self._now_ns += duration_ns
        return self._now_ns
