"""Which segment is turned into Parquet next, and how long a stop waits for that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RETRY_NS = 10_000_000_000
STOP_NS = 8_000_000_000
"""How long a stop goes on; the next start finishes the rest. Below the drain timeout."""


class Finishing:
    """Segments that are over, one after the other."""

    def __init__(self) -> None:
        self._due_ns: dict[str, int] = {}
        self._under_way = ""
        self._until_ns: int | None = None
        self.is_given_up = False
        """Whether a stop has taken too long; what is left is for the next start."""

    @property
    def names(self) -> Sequence[str]:
        """Segments that wait, and the one that is being finished."""
        return [*self._due_ns, *filter(None, [self._under_way])]

    @property
    def due_ns(self) -> int | None:
        """When ``next`` must be called (UNIX ns)."""
        if self.is_given_up:
            return None
        waiting = () if self._under_way else self._due_ns.values()
        stop = () if self._until_ns is None else (self._until_ns,)
        return min((*waiting, *stop), default=None)

    def add(self, segments: Iterable[str], now_ns: int) -> None:
        """Take segments that are over."""
        self._due_ns.update(dict.fromkeys(segments, now_ns))

    def stop(self, now_ns: int) -> None:
        """Go on for ``STOP_NS`` and no longer."""
        self._until_ns = now_ns + STOP_NS

    def next(self, now_ns: int) -> str:
        """Begin with the next that is due, and return it; empty where there is none."""
        if self._until_ns is not None and now_ns >= self._until_ns:
            self.is_given_up = True
        due = [name for name, due_ns in self._due_ns.items() if due_ns <= now_ns]
        if self.is_given_up or self._under_way or not due:
            return ""
        self._under_way = due[0]
        del self._due_ns[due[0]]
        return due[0]

    def done(self) -> None:
        """Note that the one under way is finished."""
        self._under_way = ""

    def failed(self, segment: str, now_ns: int) -> None:
        """Note that it could not be: it is tried again later."""
        self._under_way = ""
        self._due_ns[segment] = now_ns + RETRY_NS
