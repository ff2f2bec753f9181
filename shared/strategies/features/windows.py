"""Windows over values in event time: the last so many, or those of the last so long. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

ITEMS_MAX = 100_000


class LastN:
    """The last ``count`` values."""

    def __init__(self, count: int) -> None:
        if not 1 <= count <= ITEMS_MAX:
            raise ValueError(f"a window of {count} values; give 1 to {ITEMS_MAX}")
        self.count = count
        self._values: deque[float] = deque()
        self.refused = 0
        """Values that were not finite."""

    def update(self, value: float) -> float | None:
        """Take a value in, and return the one that leaves for it."""
        if not math.isfinite(value):
            self.refused += 1
            return None
        self._values.append(value)
        return self._values.popleft() if len(self._values) > self.count else None

    @property
    def is_full(self) -> bool:
        """Whether there are ``count`` values."""
        return len(self._values) == self.count

    def values(self) -> Sequence[float]:
        """Return the values, oldest first."""
        return self._values

    def __len__(self) -> int:
        return len(self._values)


class Window:
    """The values of the span ``(t - span, t]``, where t is the newest event's time.

    Args:
        span_ns: Its length.
        items_max: Bound on the values held; beyond it the oldest goes early and is counted.
    """

    def __init__(self, span_ns: int, items_max: int = ITEMS_MAX) -> None:
        if span_ns <= 0 or not 1 <= items_max <= ITEMS_MAX:
            raise ValueError(f"a window of {span_ns} ns and {items_max} values")
        self._span_ns, self._items_max = span_ns, items_max
        self._items: deque[tuple[int, float]] = deque()
        self._ts_ns = -1
        self.overflowed = self.late = self.refused = 0
        """Values that left early for lack of room, came out of order, were not finite."""

    def update(self, value: float, ts_ns: int) -> list[float]:
        """Take a value in, and return those that leave."""
        if not math.isfinite(value):
            self.refused += 1
            return self.advance(ts_ns)
        if ts_ns < self._ts_ns:
            self.late += 1
            return []
        gone = self.advance(ts_ns)
        self._items.append((ts_ns, value))
        if len(self._items) > self._items_max:
            self.overflowed += 1
            gone.append(self._items.popleft()[1])
        return gone

    def advance(self, ts_ns: int) -> list[float]:
        """Let time pass without a value, and return those that leave."""
        self._ts_ns = max(self._ts_ns, ts_ns)
        items, oldest_ns, gone = self._items, self._ts_ns - self._span_ns, []
        while items and items[0][0] <= oldest_ns:
            gone.append(items.popleft()[1])
        return gone

    @property
    def is_whole(self) -> bool:
        """Whether everything of the span is there: nothing left it early."""
        return not self.overflowed

    def values(self) -> list[float]:
        """Return the values, oldest first."""
        return [value for _, value in self._items]

    def before(self, ts_ns: int) -> float | None:
        """Return the newest value at or before a time, ``None`` if that has left already."""
        found = None
        for at_ns, value in self._items:
            if at_ns > ts_ns:
                break
            found = value
        return found

    def __len__(self) -> int:
        return len(self._items)
