"""Growing delays between attempts. Pure; ``shared/backoff.py`` has the machine's random source."""

from __future__ import annotations

from collections.abc import Callable

Uniform = Callable[[float, float], float]
"""Returns a random number between two, like ``random.Random(seed).uniform``."""


DOUBLINGS_MAX = 16


def doubled(first: int, cap: int, attempt: int) -> int:
    """Return ``first`` doubled ``attempt`` times, at most ``cap``: without jitter, in any unit."""
    return min(cap, first << min(attempt, DOUBLINGS_MAX))


class GrowingDelay:
    """Delays that double from ``initial_s`` to ``cap_s``, each cut by up to half.

    The jitter keeps processes that failed together from coming back together. Attempts are not
    limited here: the caller decides when to give up.
    """

    def __init__(self, initial_s: float, cap_s: float, uniform: Uniform) -> None:
        assert 0 < initial_s <= cap_s, "a backoff grows from a positive delay"
        self._initial_s, self._cap_s, self._uniform = initial_s, cap_s, uniform
        self._ceiling_s = initial_s
        self.attempts = 0

    def next_s(self) -> float:
        """Return the delay before the next attempt, in seconds."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self._cap_s, ceiling_s * 2)
        self.attempts += 1
        return self._uniform(ceiling_s / 2, ceiling_s)

    def reset(self) -> None:
        """Start again from the shortest delay: an attempt succeeded."""
        self._ceiling_s = self._initial_s
        self.attempts = 0
