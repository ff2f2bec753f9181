"""Cache warming: decisions made in between and thrown away, so that one that counts finds its code.

Opportunities are rare. What decides on one has been pushed out of the processor's caches by the
other processes when the next one comes, and then takes two to three times as long. So a service may
name a function that takes the same way with what came last and keeps nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from shared.clock import Clock

SHARE_MAX: Final = 20
"""Warming takes at most one part in so many of a processor, however long one round of it takes."""


class CacheWarming:
    """Calls a function every few milliseconds, never while a step is under way.

    A round that raises ends it: asyncio logs why, and the service goes on without.

    Args:
        work: Must change nothing; it is given UNIX ns.
        interval_s: From one round to the next.
        is_busy: Whether a step is under way.
    """

    def __init__(
        self,
        work: Callable[[int], None],
        interval_s: float,
        clock: Clock,
        is_busy: Callable[[], bool],
    ) -> None:
        self._work, self._interval_s = work, interval_s
        self._clock, self._is_busy = clock, is_busy
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = 0

    def start(self) -> None:
        """Begin, from within the event loop."""
        self._wait(self._interval_s)

    def stop(self) -> None:
        """End it for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def after_step(self) -> None:
        """Work now if it is time: right after a message the next one is furthest away."""
        if self._clock.monotonic_ns() >= self._due_ns:
            self._due_ns = self._clock.monotonic_ns() + int(self._work_once() * 1e9)

    def _wait(self, pause_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._round)

    def _round(self) -> None:
        self._timer = None
        self._wait(self._interval_s if self._is_busy() else self._work_once())

    def _work_once(self) -> float:
        """Work, and return how long to pause, in seconds."""
        began_ns = self._clock.monotonic_ns()
        self._work(self._clock.now_ns())
        took_s = (self._clock.monotonic_ns() - began_ns) / 1e9
        return max(self._interval_s, took_s * SHARE_MAX)
