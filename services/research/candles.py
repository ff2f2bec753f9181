"""Candles that are fit to be traded on, or one line that says which row is not and what would be.

Nothing is repaired in silence: rows out of order, twice, without a price or in the wrong zone are
refused with their number. Bars that are missing are refused too, unless they are to be kept as
holes: then a decision before a hole is filled at the first open after it. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from services.research.arrays import Bools, Floats, Ints
from shared.errors import ConfigError

DAY_S = 86_400
_ZONE = re.compile(r"UTC(?:(?P<sign>[+-])(?P<hours>\d{1,2})(?::(?P<minutes>[0-5]\d))?)?")
_LENGTH = re.compile(r"(?P<count>[1-9]\d{0,3})(?P<unit>[smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
BARS_MIN = 2


class Table(NamedTuple):
    """Columns as they were read.

    Attributes:
        where: Name of the file.
        row: Number, in the file, of each row.
        times_s: When each bar began, UTC seconds.
        prices: Opens, highs, lows, closes; NaN where there is none.
    """

    where: str
    row: Ints
    times_s: Ints
    prices: Floats


class Candles(NamedTuple):
    """Bars in order, each complete.

    Attributes:
        times_s: When each bar began, UNIX seconds.
        bar_s: How long a bar is.
        holes: How many bars are missing between the first and the last.
    """

    times_s: Ints
    opens: Floats
    closes: Floats
    bar_s: int
    holes: int

    @property
    def closes_s(self) -> Ints:
        """Return when each bar closed."""
        out: Ints = self.times_s + self.bar_s
        return out


def shown(time_s: int) -> str:
    """Return a time as people write it."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def length_s(text: str, where: str) -> int:
    """Return the seconds of a length like 1m, 8h or 1d.

    Raises:
        ConfigError: It is not one.
    """
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ConfigError(f"{where}: {text!r} is not a length of time like 1m, 8h or 1d")
    return int(found["count"]) * _UNITS[found["unit"]]


def length_text(seconds: int) -> str:
    """Return the shortest way to write a length."""
    for unit in "wdhms":
        if seconds % _UNITS[unit] == 0 and (unit != "w" or seconds > 7 * DAY_S):
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def offset_s(zone: str, where: str) -> int:
    """Return how far a zone like UTC or UTC+3 is ahead of UTC.

    Raises:
        ConfigError: It is not one: zones that change in summer do not name an instant twice a year.
    """
    found = _ZONE.fullmatch(zone)
    if found is None:
        raise ConfigError(f"{where}: zone {zone!r} is not one; write UTC, or like UTC+3")
    ahead = int(found["hours"] or 0) * 3_600 + int(found["minutes"] or 0) * 60
    if ahead > 14 * 3_600:
        raise ConfigError(f"{where}: zone {zone!r} is not one; zones lie within 14 hours of UTC")
    return -ahead if found["sign"] == "-" else ahead


def make_candles(
    table: Table, *, bar: str = "", begin: str = "", keep_holes: bool = False
) -> Candles:
    """Check a table and return its candles.

    Raises:
        ConfigError: The first row that is not right, and what would be.
    """
    there = ~np.isnan(table.prices).all(axis=0)
    kept = table
    if not there.all():
        kept = Table(table.where, table.row[there], table.times_s[there], table.prices[:, there])
    if len(kept.row) < BARS_MIN:
        raise ConfigError(f"{table.where}: {_counted(len(kept.row))}; at least {BARS_MIN}")
    _check_order(kept)
    _check_prices(kept)
    bar_s = length_s(bar, "data.bar") if bar else _commonest_step(kept.times_s)
    _check_alignment(kept, bar_s, length_s(begin, "data.begin") if begin else 0)
    missing = np.diff(kept.times_s) // bar_s - 1
    holes = int(missing.sum())
    if holes and not keep_holes:
        _tell_holes(kept, missing, bar_s)
    opens, closes = kept.prices[0].copy(), kept.prices[3].copy()
    return Candles(kept.times_s, opens, closes, bar_s, holes)


def _first(bad: Bools) -> int | None:
    return int(bad.argmax()) if bad.any() else None


def _refuse(table: Table, at: int, text: str) -> ConfigError:
    return ConfigError(f"{table.where}:{table.row[at]}: {text}")


def _check_order(table: Table) -> None:
    steps = np.diff(table.times_s)
    if (at := _first(steps <= 0)) is None:
        return
    now, before = shown(int(table.times_s[at + 1])), shown(int(table.times_s[at]))
    seen = np.flatnonzero(table.times_s[: at + 1] == table.times_s[at + 1])
    if len(seen):
        raise _refuse(
            table, at + 1, f"{now} is there twice, first in row {table.row[seen[0]]}; keep one"
        )
    raise _refuse(table, at + 1, f"{now} comes after {before}; sort the rows by time")


def _check_prices(table: Table) -> None:
    names = ("open", "high", "low", "close")
    problems: list[tuple[int, str]] = []
    for name, column in zip(names, table.prices, strict=True):
        if (at := _first(np.isnan(column))) is not None:
            problems.append((at, f"{name} is missing; give all four prices, or none"))
        if (at := _first(column <= 0)) is not None:
            wrong = f"{name} is {column[at]:g}; a price is above 0: take the row out, then it is"
            problems.append((at, f"{wrong} a hole"))
        if (at := _first(np.isinf(column))) is not None:
            problems.append((at, f"{name} is {column[at]:g}, which is no price"))
    opens, highs, lows, closes = table.prices
    for bad, problem in (
        (highs < np.maximum(opens, closes), "high is below open or close"),
        (lows > np.minimum(opens, closes), "low is above open or close"),
    ):
        if (at := _first(bad)) is not None:
            problems.append((at, f"{problem}; are the columns what their names say?"))
    if problems:
        raise _refuse(table, *min(problems, key=lambda problem: problem[0]))


def _commonest_step(times_s: Ints) -> int:
    steps, counts = np.unique(np.diff(times_s), return_counts=True)
    return int(steps[counts.argmax()])


def _check_alignment(table: Table, bar_s: int, begin_s: int) -> None:
    """Refuse bars that begin at odd times: all of them is a zone, some of them damage."""
    divides = bar_s <= DAY_S and DAY_S % bar_s == 0
    late = (table.times_s - (begin_s if divides else table.times_s[0])) % bar_s
    if (at := _first(late != 0)) is None:
        return
    begun, length = shown(int(table.times_s[at])), length_text(bar_s)
    shift = int(late[0])
    if divides and (late == shift).all() and shift % 900 == 0:
        raise _refuse(
            table,
            0,
            f"bars of {length} begin at {begun[11:]} UTC and not at multiples of {length} after "
            f"00:00: if the times are local, say by how much under [data], like zone = "
            f"'{_zone_text(shift)}'; if bars do begin so late, say begin = '{length_text(shift)}'",
        )
    raise _refuse(
        table,
        at,
        f"no bar of {length} begins at {begun}; leave the row out, or say how long bars are, like "
        "bar = '1m'",
    )


def _zone_text(shift_s: int) -> str:
    ahead = shift_s if shift_s <= DAY_S // 2 else shift_s - DAY_S
    hours, minutes = abs(ahead) // 3_600, abs(ahead) % 3_600 // 60
    return f"UTC{'+' if ahead >= 0 else '-'}{hours}" + (f":{minutes:02}" if minutes else "")


def _tell_holes(table: Table, missing: Ints, bar_s: int) -> None:
    gaps = np.flatnonzero(missing)
    at = int(gaps[0])
    begin, end = int(table.times_s[at]) + bar_s, int(table.times_s[at + 1])
    more = f", and {int(missing.sum() - missing[at])} more in {len(gaps) - 1} other holes"
    raise _refuse(
        table,
        at + 1,
        f"{_counted(int(missing[at]), bar_s)} missing before it, {shown(begin)} to "
        f"{shown(end)}{more if len(gaps) > 1 else ''}; fill them in, or trade on with what there "
        "is: holes = 'keep'",
    )


def _counted(count: int, bar_s: int | None = None) -> str:
    length = "" if bar_s is None else f" of {length_text(bar_s)}"
    return f"{count} bar{'' if count == 1 else 's'}{length}"
