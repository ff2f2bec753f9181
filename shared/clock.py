"""Clocks. UNIX nanoseconds state facts; monotonic nanoseconds measure durations.

The only module that reads the machine's clock; everything else is handed the time.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_ns(self) -> int:
        """Return UNIX time in nanoseconds: for facts; may jump when the machine's clock is set."""

    def monotonic_ns(self) -> int:
        """Return a counter that never runs backwards, in nanoseconds: for durations only."""


class SystemClock:
    """The machine's clock."""

    now_ns = staticmethod(time.time_ns)
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
