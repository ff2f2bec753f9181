"""Kraken's way of writing times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rfc1123(now_ns: int) -> str:
    """Write UNIX ns as HTTP does, in English whatever the machine's language."""
    time = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    day, month = DAYS[time.weekday()], MONTHS[time.month - 1]
    return f"{day}, {time.day:02d} {month} {time.year} {time:%H:%M:%S} GMT"


def rfc3339(now_ns: int) -> str:
    """Write UNIX ns as the venue does: microseconds and Z."""
    seconds, ns = divmod(now_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ns // 1_000:06d}Z"
