"""Times of venues that leave their unit to the request: recognised by magnitude. Pure.

A venue may send milliseconds, or microseconds to clients that ask for them.
"""

from __future__ import annotations

MILLIS_MAX = 4 * 10**12
"""The year 2096; the same number in microseconds is in 1970."""
MICROS_MAX = 1_000 * MILLIS_MAX
NANOS_MAX = 1_000 * MICROS_MAX


def unix_ns(time: int) -> int:
    """Return UNIX ns from ms, us or ns."""
    if time <= MILLIS_MAX:
        return time * 1_000_000
    return time * 1_000 if time <= MICROS_MAX else time
