"""When to ask for a resync: at once, then again and again with growing pauses. Pure."""

from __future__ import annotations

from shared.delays import doubled

PAUSE_NS = 500_000_000
PAUSE_NS_MAX = 30_000_000_000
CALM_NS = 60_000_000_000
"""Asking starts over from the shortest pause after this long without asking."""


class ResyncTimer:
    """The requests of one book.

    Args:
        asked_ns: When it was asked last; 0 for never.
        attempt: Which of a row of requests that was.
    """

    def __init__(self, asked_ns: int = 0, attempt: int = 0) -> None:
        self._asked_ns, self._attempt = asked_ns, attempt
        self.due_ns: int | None = None
        """When to ask next; ``None`` while nothing is wanted."""

    def want(self, not_before_ns: int) -> None:
        """Ask, not before then and not too soon after the last time; a time already set stays."""
        if self.due_ns is None:
            self.want_anew(not_before_ns)

    def want_anew(self, not_before_ns: int) -> None:
        """Ask for a new reason: a time already set is set again."""
        self.due_ns = max(not_before_ns, self._next_ns())

    def cancel(self) -> None:
        """There is no need any more."""
        self.due_ns = None

    def is_due(self, now_ns: int) -> bool:
        """Tell whether to ask now."""
        return self.due_ns is not None and now_ns >= self.due_ns

    def asked(self, now_ns: int) -> None:
        """A request was made now: set the time of the next one."""
        calm = now_ns - self._asked_ns > CALM_NS
        self._attempt = 0 if calm else self._attempt + 1
        self._asked_ns = now_ns
        self.due_ns = self._next_ns()

    def save(self) -> tuple[int, int]:
        """Return the arguments that make this timer again."""
        return self._asked_ns, self._attempt

    def _next_ns(self) -> int:
        if not self._asked_ns:
            return 0
        return self._asked_ns + doubled(PAUSE_NS, PAUSE_NS_MAX, self._attempt)
