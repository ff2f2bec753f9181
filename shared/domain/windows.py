"""Windows of time in which a venue is maintained, all in UTC: every day, every week, or once. Pure.

``06:00-08:00`` is every day, ``Thu 06:00-08:00`` every Thursday, and
``2026-12-01T06:00Z/2026-12-01T08:30Z`` once. The end is not part of it. A daily or weekly one whose
end is not after its begin ends on the next day.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

MINUTE_NS: Final = 60_000_000_000
DAY_MINUTES: Final = 1_440
WEEK_MINUTES: Final = 7 * DAY_MINUTES
DAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
"""UNIX time began on a Thursday."""
_CLOCK: Final = r"([01]\d|2[0-3]):([0-5]\d)"
_REPEATED: Final = re.compile(rf"(?:({'|'.join(DAYS)}) )?{_CLOCK}-{_CLOCK}")
_MOMENT: Final = rf"(\d{{4}})-(\d\d)-(\d\d)T{_CLOCK}Z"
_ONCE: Final = re.compile(rf"{_MOMENT}/{_MOMENT}")


class Window(NamedTuple):
    """``begin`` and ``length`` in minutes, from the begin of every ``period`` of UNIX time.

    A ``period`` of 0 minutes: it is only once. ``text`` is how it was written.
    """

    text: str
    begin: int
    length: int
    period: int

    def left_ns(self, now_ns: int) -> int:
        """Return how long it still lasts at a time (UNIX ns); 0 outside of it."""
        since_ns = now_ns - self.begin * MINUTE_NS
        if self.period:
            since_ns %= self.period * MINUTE_NS
        left_ns = self.length * MINUTE_NS - since_ns
        return left_ns if since_ns >= 0 and left_ns > 0 else 0


def window_of(text: str) -> Window:
    """Return what a text says.

    Raises:
        ValueError: It is no window; the text says what would be one.
    """
    if found := _REPEATED.fullmatch(text):
        day, *clock = found.groups()
        hour, minute, hour_end, minute_end = map(int, clock)
        begin = hour * 60 + minute
        length = (hour_end * 60 + minute_end - begin) % DAY_MINUTES or DAY_MINUTES
        if day is None:
            return Window(text, begin, length, DAY_MINUTES)
        return Window(text, DAYS.index(day) * DAY_MINUTES + begin, length, WEEK_MINUTES)
    if found := _ONCE.fullmatch(text):
        numbers = [int(number) for number in found.groups()]
        first, end = _minutes(*numbers[:5]), _minutes(*numbers[5:])
        if first is not None and end is not None and 0 <= first < end:
            return Window(text, first, end - first, 0)
    raise ValueError(
        f"{text!r} is no window of time in UTC; give one like 06:00-08:00, Thu 06:00-08:00 or "
        "2026-12-01T06:00Z/2026-12-01T08:30Z"
    )


def _minutes(year: int, month: int, day: int, hour: int, minute: int) -> int | None:
    """Return a moment in minutes of UNIX time; ``None`` where there is no such day."""
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) // 60
