"""Rows of tables that others wrote, as rows of ours: what is wrong with one is said with its place.

A time must say its zone, or the user does: nobody can see in a time which one it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from services.cli.data_shapes import Line, lines_of, named
from shared.capture.times import LineError, parse_time_ns
from shared.errors import ConfigError

HOUR_NS = 3_600_000_000_000
_ZONED = re.compile(r".*(Z|UTC|[+-]\d\d:?\d\d)\s*", re.IGNORECASE)


class Wanted(NamedTuple):
    """What is imported, as the user said; empty texts are found out."""

    venue: str
    instrument: str
    table: str = ""
    zone: str = ""
    suffix: str = ""


class Found(NamedTuple):
    """A row of a table of ours, and where it comes from."""

    where: str
    row: tuple[Any, ...]


def rows_of(path: Path, table: str, wanted: Wanted) -> Iterator[Found]:
    """Yield a file's rows as those of a table.

    Raises:
        ConfigError: One is wrong.
    """
    read = {"bar": _bar, "trade": _trade, "funding": _funding}[table]
    for line in lines_of(path):
        row = read(line, named(line, wanted.suffix), wanted)
        if row is not None:
            yield Found(line.where, row)


def _bar(line: Line, have: dict[str, Any], wanted: Wanted) -> tuple[Any, ...] | None:
    prices = [have.get(name) for name in ("open", "high", "low", "close")]
    if all(_is_nothing(price) for price in prices):
        return None  # a panel of several markets has rows where this one has nothing: a hole
    first, high, low, last = (
        _number(line, have, name, positive=True) for name in ("open", "high", "low", "close")
    )
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ConfigError(f"{line.where}: high {high} and low {low} do not hold {first} and {last}")
    volume = _number(line, have, "volume", missing=0.0)
    trades = int(_number(line, have, "trades", missing=0.0))
    bought = have.get("buy_volume")
    return (
        _agreed_time(line, have, wanted),
        0,
        first,
        high,
        low,
        last,
        volume,
        None if _is_nothing(bought) else _number(line, have, "buy_volume"),
        None if _is_nothing(have.get("quote_volume")) else _number(line, have, "quote_volume"),
        trades if "trades" in have else None,
        volume == 0,
        True,
    )


def _trade(line: Line, have: dict[str, Any], wanted: Wanted) -> tuple[Any, ...]:
    ts_ns = _time(line, have, "trade_time", wanted)
    recv_ns = _time(line, have, "recv_time", wanted) if "recv_time" in have else ts_ns
    side = str(have.get("side", "")).strip().lower()
    if "is_buyer_maker" in have:
        side = "sell" if str(have["is_buyer_maker"]).strip().lower() in {"true", "1"} else "buy"
    if side not in {"buy", "sell"}:
        raise ConfigError(f"{line.where}: the side is {side!r}; buy or sell is right")
    return (
        recv_ns,
        ts_ns,
        str(have.get("trade_id", "")),
        side == "buy",
        _number(line, have, "price", positive=True),
        _number(line, have, "qty", positive=True),
        1,
    )


def _funding(line: Line, have: dict[str, Any], wanted: Wanted) -> tuple[Any, ...] | None:
    if _is_nothing(have.get("rate")):
        return None
    rate = _number(line, have, "rate", signed=True)
    if abs(rate) >= 1:
        raise ConfigError(f"{line.where}: a funding rate of {rate}; 0.0001 is one basis point")
    ts_ns = _time(line, have, "funding_time", wanted)
    hours = have.get("interval_hours")
    interval_ns = None if _is_nothing(hours) else int(float(str(hours)) * HOUR_NS)
    mark = have.get("mark_price")
    price = None if _is_nothing(mark) else _number(line, have, "mark_price", positive=True)
    return (ts_ns, ts_ns, ts_ns, rate, price, None, interval_ns, None, None, True)


def _is_nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _number(
    line: Line,
    have: dict[str, Any],
    name: str,
    *,
    positive: bool = False,
    signed: bool = False,
    missing: float | None = None,
) -> float:
    value = have.get(name)
    if _is_nothing(value):
        if missing is not None:
            return missing
        raise ConfigError(f"{line.where}: there is no {name}")
    try:
        number = float(str(value))
    except ValueError:
        raise ConfigError(f"{line.where}: {name} {value!r} is not a number") from None
    is_wrong = not math.isfinite(number) or (number < 0 and not signed)
    if is_wrong or (positive and number == 0):
        wanted = "a number" if signed else "a number above 0" if positive else "a number from 0 on"
        raise ConfigError(f"{line.where}: {name} is {value}; {wanted} is right")
    return number


def _agreed_time(line: Line, have: dict[str, Any], wanted: Wanted) -> int:
    """Return the time of a bar, of which all columns of its opening must say the same."""
    ts_ns = _time(line, have, "time", wanted)
    for name in ("timestamp", "datetime", "open_time"):
        other = line.values.get(name)
        if not _is_nothing(other) and not _is_nothing(have.get("time")):
            other_ns = _time_ns(line, name, str(other), wanted)
            if other_ns != ts_ns:
                raise ConfigError(
                    f"{line.where}: {name} is {other}, which is not the time {have['time']} that "
                    "another column says; is one of them of another zone?"
                )
    return ts_ns


def _time(line: Line, have: dict[str, Any], name: str, wanted: Wanted) -> int:
    value = have.get(name)
    if _is_nothing(value):
        raise ConfigError(f"{line.where}: there is no {name.replace('_', ' ')}")
    return _time_ns(line, name, str(value), wanted)


def _time_ns(line: Line, name: str, text: str, wanted: Wanted) -> int:
    """Return UNIX ns; a time that says no zone is of the one that the user gave."""
    naive = text.endswith("?")  # from a column of times without a zone
    plain = text.rstrip("?Z") if text.rstrip("?Z").isdigit() else text.strip()
    is_number = plain.replace(".", "", 1).isdigit()
    zone = ""
    if naive or not (is_number or _ZONED.fullmatch(plain)):
        if not wanted.zone:
            raise ConfigError(
                f"{line.where}: {name.replace('_', ' ')} {_shown(text)} says no zone; give "
                "--zone UTC, or --zone +03:00 as its maker wrote it"
            )
        zone = "Z" if wanted.zone.upper() in {"UTC", "Z"} else wanted.zone
    try:
        if naive:
            return int(plain) - _offset_ns(zone)
        return parse_time_ns((plain + (zone if not is_number else "")).encode())
    except LineError:
        raise ConfigError(
            f"{line.where}: {name.replace('_', ' ')} {text!r} is not a time"
        ) from None


def _shown(text: str) -> str:
    if not text.endswith("?"):
        return text
    seconds = int(text.rstrip("?")) // 10**9
    return str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))


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
    if zone and zone.upper() not in {"UTC", "Z"} and not re.fullmatch(r"[+-]\d\d:\d\d", zone):
        raise ConfigError(f"--zone {zone}: UTC, or an offset like +03:00")
