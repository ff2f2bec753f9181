"""Times of tables that others wrote, as UNIX ns: of one unit all along, and of a known zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shared.capture.times import LineError, parse_time_ns
from shared.errors import ConfigError

EARLIEST_NS, LATEST_NS = 1_230_768_000 * 10**9, 4_102_444_800 * 10**9
"""2009 to 2100."""
_ZONED = re.compile(r".*(Z|UTC|[+-]\d\d:?\d\d)\s*", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNITS = ((11, "seconds"), (14, "milliseconds"), (17, "microseconds"), (19, "nanoseconds"))


class Times:
    """Reads the times of one file."""

    def __init__(self, zone: str) -> None:
        self._zone = "Z" if zone.upper() in {"UTC", "Z"} else zone
        self._units: dict[str, tuple[str, str]] = {}

    def ns(self, where: str, name: str, text: str) -> int:
        """Return UNIX ns; a time without a zone is in the zone that the user gave.

        Raises:
            ConfigError: No market has such a time, its unit differs from the times before, or
                neither the file nor the user gives its zone.
        """
        spoken = name.replace("_", " ")
        naive = text.endswith("?")  # from a column of times without a zone
        exact = text.rstrip("?Z")
        if exact.isdecimal() and exact != text:
            if naive and not self._zone:
                raise ConfigError(_no_zone(where, spoken, _shown(exact)))
            ts_ns = int(exact) - (_offset_ns(self._zone) if naive else 0)
            return _checked(where, spoken, _shown(exact), ts_ns)
        plain = text.strip()
        is_number = plain.replace(".", "", 1).isdecimal()
        if is_number:
            self._check_unit(where, spoken, plain)
        elif _DATE.fullmatch(plain):
            plain += " 00:00:00"
        try:
            ts_ns = parse_time_ns(plain.encode())
        except LineError:
            raise ConfigError(
                f"{where}: {spoken} {text!r} is not a time; UNIX time in s, ms, us or ns, or like "
                "2024-08-01 00:00:00+00:00, is right"
            ) from None
        if not is_number and not _ZONED.fullmatch(plain):
            if not self._zone:
                raise ConfigError(_no_zone(where, spoken, text))
            ts_ns -= _offset_ns(self._zone)
        return _checked(where, spoken, text, ts_ns)

    def _check_unit(self, where: str, name: str, text: str) -> None:
        digits = len(text.partition(".")[0])
        unit = next((unit for most, unit in _UNITS if digits <= most), _UNITS[-1][1])
        first, example = self._units.setdefault(name, (unit, text))
        if unit != first:
            raise ConfigError(
                f"{where}: {name} {text} is in {unit}, but {example} before it in {first}; "
                "one unit a file is right"
            )


def _checked(where: str, name: str, text: str, ts_ns: int) -> int:
    if not EARLIEST_NS <= ts_ns < LATEST_NS:
        shown = datetime.fromtimestamp(ts_ns // 10**9, UTC).replace(tzinfo=None)
        raise ConfigError(
            f"{where}: {name} {text} is {shown}, no time of a market; 2009 to 2100 in s, ms, us "
            "or ns since 1970 is right"
        )
    return ts_ns


def _no_zone(where: str, name: str, text: str) -> str:
    return (
        f"{where}: {name} {text} says no zone; give --zone UTC, or --zone +03:00 as its maker "
        "wrote it"
    )


def _shown(exact_ns: str) -> str:
    return str(datetime.fromtimestamp(int(exact_ns) // 10**9, UTC).replace(tzinfo=None))


def _offset_ns(zone: str) -> int:
    """Return how far a zone is ahead of UTC."""
    return parse_time_ns(b"2000-01-01 00:00:00Z") - parse_time_ns(
        f"2000-01-01 00:00:00{zone}".encode()
    )


def check_zone(zone: str) -> None:
    """Refuse what is no zone.

    Raises:
        ConfigError: Neither UTC nor an offset.
    """
    if not zone or zone.upper() in {"UTC", "Z"}:
        return
    if not re.fullmatch(r"[+-]\d\d:\d\d", zone) or zone[1:] > "14:00" or zone[4:] > "59":
        raise ConfigError(f"--zone {zone}: UTC, or an offset like +03:00")
