"""What a chart shows: values of the last while, with holes where nothing was known. Pure."""

from __future__ import annotations

from collections import deque


class Window:
    """A sliding window of samples, bounded.

    Args:
        seconds: How far it reaches back.
        every_s: Between two samples.
    """

    def __init__(self, seconds: float, every_s: float) -> None:
        self.seconds = seconds
        self.samples: deque[tuple[int, float | None]] = deque(maxlen=int(seconds / every_s) + 2)
        """UNIX ns and value; ``None``: not known then."""

    def add(self, ts_ns: int, value: float | None) -> None:
        """Take a sample in, newer than those before."""
        self.samples.append((ts_ns, value))

    def known(self, now_ns: int) -> list[float]:
        """Return the values within the window, oldest first."""
        start_ns = now_ns - int(self.seconds * 1e9)
        return [value for ts_ns, value in self.samples if value is not None and ts_ns >= start_ns]

    def columns(self, count: int, now_ns: int) -> list[float | None]:
        """Return the last value of each of ``count`` equal parts of the window.

        A part in which something was not known is a hole, also where it is shorter than a sample's
        distance: then the part goes on as the one before.
        """
        width_ns = self.seconds * 1e9 / count
        found: dict[int, float | None] = {}
        for ts_ns, value in self.samples:
            place = count - 1 - int((now_ns - ts_ns) / width_ns)
            if 0 <= place < count and (place not in found or found[place] is not None):
                found[place] = value
        first, last = min(found, default=count), max(found, default=-1)
        columns: list[float | None] = []
        for place in range(count):
            between = first < place < last and place not in found
            columns.append(columns[-1] if between else found.get(place))
        return columns
