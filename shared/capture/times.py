"""Times as recorders write them, to UNIX ns. Pure; digits are moved, a float would lose some."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_TIME_DIGITS_MAX = 19
_UNITS = ((11, 9), (14, 6), (17, 3), (_TIME_DIGITS_MAX, 0))
"""Digits of the whole part at most, and the power of ten that makes nanoseconds: s, ms, us, ns."""
_ISO = re.compile(
    rb"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?\s?(?:([Zz]|UTC)|([+-])(\d\d):?(\d\d)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LineError(ValueError):
    """A line is of no known format."""


def parse_time_ns(text: bytes) -> int:
    """Return UNIX ns from s, ms, us or ns with or without a fraction, or an ISO 8601 time.

    An ISO time without a zone is UTC.

    Raises:
        LineError: Neither, or longer than any time.
    """
    whole, _, fraction = text.partition(b".")
    if whole.isdigit() and len(whole) <= _TIME_DIGITS_MAX and (not fraction or fraction.isdigit()):
        for digits_max, power in _UNITS:
            if len(whole) <= digits_max:
                moved = fraction[:power].ljust(power, b"0")
                return int(whole + moved)
    time_ns = _iso_ns(text)
    if time_ns is None:
        raise LineError(f"{text[:40]!r} is not a time")
    return time_ns


def _iso_ns(text: bytes) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    date, clock, fraction, _, sign, hours, minutes = match.groups(b"")
    try:
        moment = datetime.fromisoformat(f"{date.decode()}T{clock.decode()}+00:00")
    except ValueError:
        return None
    since = moment - _EPOCH
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    since += offset if sign == b"-" else -offset
    seconds = since.days * 86_400 + since.seconds
    return seconds * 10**9 + int(fraction[:9].ljust(9, b"0")) if seconds >= 0 else None
