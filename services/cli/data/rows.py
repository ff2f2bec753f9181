"""Converts rows of foreign tables into rows of the store; an error names the row it is in.

A time without a zone needs one from the user: its text alone does not tell the zone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from services.cli.data.archives import check_moment
from services.cli.data.files import Line
from services.cli.data.instrument import is_of, spellings_of
from services.cli.data.shapes import NOT_TRADED, Told, lines_of, values_of
from services.cli.data.times import Times
from shared.errors import ConfigError

HOUR_NS = 3_600_000_000_000
PRICES = ("open", "high", "low", "close")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}([ ,._' ]\d{3})+([.,]\d+)?")
_TRUE, _FALSE = {"true", "1", "1.0", "t"}, {"false", "0", "0.0", "f"}


class Wanted(NamedTuple):
    """What is imported, by the user's options; empty ones are detected."""

    venue: str
    instrument: str
    shape: str = ""
    zone: str = ""
    suffix: str = ""

    @property
    def how(self) -> str:
        """Return the options that say how to read the file."""
        options = (("--as", self.shape), ("--zone", self.zone), ("--suffix", self.suffix))
        return " ".join(f"{name} {value}" for name, value in options if value)


class Found(NamedTuple):
    """A row of the store, and the place in the file that it comes from."""

    where: str
    row: tuple[Any, ...]


class Reader:
    """Reads the rows of one file."""

    def __init__(self, told: Told, wanted: Wanted) -> None:
        self.told, self.wanted = told, wanted
        self.times = Times(wanted.zone)
        self._spellings = spellings_of(wanted.venue, wanted.instrument)
        self._exchange = ""

    def rows(self) -> Iterator[Found]:
        """Yield rows of the store's table.

        Raises:
            ConfigError: One is wrong.
        """
        read = {
            "bar": self._bar,
            "trade": self._trade,
            "funding": self._funding,
        }.get(self.told.shape.table, self._price)
        for line in lines_of(self.told):
            have = values_of(line, self.told.columns)
            self.check_whose(line, have)
            row = read(line, have)
            if row is not None:
                yield Found(line.where, row)

    def check_whose(self, line: Line, have: dict[str, Any]) -> None:
        """Refuse a row of another instrument, or of another exchange than those before it."""
        symbol, exchange = have.get("symbol"), have.get("exchange")
        if not is_nothing(symbol) and not is_of(str(symbol), self._spellings):
            raise ConfigError(
                f"{line.where}: the symbol is {symbol}, but {self.wanted.instrument} is "
                f"{self._spellings[0]}; one instrument a file is right"
            )
        if not is_nothing(exchange):
            self._exchange = self._exchange or str(exchange)
            if exchange != self._exchange:
                raise ConfigError(
                    f"{line.where}: the exchange is {exchange}, in the rows before it "
                    f"{self._exchange}; one exchange a file is right"
                )

    def time(self, line: Line, have: dict[str, Any], name: str) -> int:
        """Return a time; one of an archive is within the file's day or month."""
        value = have.get(name)
        if is_nothing(value):
            raise ConfigError(f"{line.where}: there is no {name.replace('_', ' ')}")
        ts_ns = self.times.ns(line.where, name, str(value))
        told = self.told
        if told.archive is not None and not told.is_forced:
            check_moment(line.where, told.archive, ts_ns, str(value), self.wanted.instrument)
        return ts_ns

    def _bar(self, line: Line, have: dict[str, Any]) -> tuple[Any, ...] | None:
        if all(is_nothing(have[name]) for name in PRICES):
            return None  # a panel of several markets has rows where this one has nothing: a hole
        volume = None if is_nothing(have.get("volume")) else number(line, have, "volume")
        trades = None if is_nothing(have.get("trades")) else int(number(line, have, "trades"))
        if trades and volume == 0:
            raise ConfigError(
                f"{line.where}: {trades} trades and no volume: prices of marks or of an index, at "
                f"which nothing was traded; give --as {' or '.join(NOT_TRADED)}, or klines"
            )
        first, high, low, last = _prices(line, have, signed=False)
        bought = _optional(line, have, "buy_volume")
        if bought is not None and volume is not None and bought > volume * (1 + 1e-9):
            raise ConfigError(f"{line.where}: buy volume {bought} is over the volume {volume}")
        archive = self.told.archive
        turnover = _optional(line, have, "quote_volume")
        if archive is not None and archive.is_inverse:
            turnover = None  # what stands there is in the base asset
        return (
            self._agreed_time(line, have),
            0,
            first,
            high,
            low,
            last,
            volume,
            bought,
            turnover,
            trades,
            volume == 0,
            True,
        )

    def _price(self, line: Line, have: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return a bar of what was not traded; a premium is a share, of either sign."""
        if all(is_nothing(have[name]) for name in PRICES):
            return None
        volume = _optional(line, have, "volume")
        if volume:
            raise ConfigError(
                f"{line.where}: a volume of {volume}: at these prices was traded; give --as "
                "candles, or the file of a folder of the right name"
            )
        is_premium = self.told.shape.table == "premium"
        found = _prices(line, have, signed=is_premium)
        if is_premium and max(map(abs, found)) >= 1:
            raise ConfigError(
                f"{line.where}: a premium of {max(found, key=abs)}; 0.0001 is one basis point"
            )
        return (self._agreed_time(line, have), 0, *found)

    def _agreed_time(self, line: Line, have: dict[str, Any]) -> int:
        """Return the time of a bar, of which all columns of its opening must say the same."""
        ts_ns = self.time(line, have, "time")
        for name in ("timestamp", "datetime", "open_time"):
            other = line.values.get(name)
            if not is_nothing(other) and name != self.told.columns["time"]:
                other_ns = self.times.ns(line.where, name, str(other))
                if other_ns != ts_ns:
                    raise ConfigError(
                        f"{line.where}: {name} is {other}, which is not the time {have['time']} "
                        "that another column says; is one of them of another zone?"
                    )
        return ts_ns

    def _trade(self, line: Line, have: dict[str, Any]) -> tuple[Any, ...]:
        ts_ns = self.time(line, have, "trade_time")
        recv_ns = self.time(line, have, "recv_time") if "recv_time" in have else ts_ns
        first, last = have.get("trade_first"), have.get("trade_last")
        trades = 1
        if not (is_nothing(first) or is_nothing(last)):
            trades = int(number(line, have, "trade_last") - number(line, have, "trade_first")) + 1
            if trades < 1:
                raise ConfigError(
                    f"{line.where}: the last trade {last} is before the first {first}"
                )
        return (
            recv_ns,
            ts_ns,
            "" if is_nothing(have.get("trade_id")) else str(have["trade_id"]),
            _is_buy(line, have),
            number(line, have, "price", positive=True),
            number(line, have, "qty", positive=True),
            trades,
        )

    def _funding(self, line: Line, have: dict[str, Any]) -> tuple[Any, ...] | None:
        if is_nothing(have["rate"]):
            return None
        rate = number(line, have, "rate", signed=True)
        if abs(rate) >= 1:
            raise ConfigError(f"{line.where}: a funding rate of {rate}; 0.0001 is one basis point")
        ts_ns = self.time(line, have, "funding_time")
        hours = _optional(line, have, "interval_hours")
        interval_ns = None if hours is None else int(hours * HOUR_NS)
        mark = have.get("mark_price")
        price = None if is_nothing(mark) else number(line, have, "mark_price", positive=True)
        return (ts_ns, ts_ns, ts_ns, rate, price, None, interval_ns, None, None, True)


def _prices(line: Line, have: dict[str, Any], *, signed: bool) -> tuple[float, ...]:
    """Return open, high, low and close.

    Raises:
        ConfigError: One is not possible, or high and low do not hold the others.
    """
    first, high, low, last = (
        number(line, have, name, positive=not signed, signed=signed) for name in PRICES
    )
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ConfigError(
            f"{line.where}: high {high} and low {low} do not hold {first} and {last}; "
            "low <= open, close <= high is right"
        )
    return first, high, low, last


def _is_buy(line: Line, have: dict[str, Any]) -> bool:
    """Tell whether the taker bought; a buyer who was the maker was sold to."""
    for name, means_buy in (("is_buyer_maker", False), ("is_buy", True)):
        if name in have:
            text = str(have[name]).strip().lower()
            if text not in _TRUE | _FALSE:
                raise ConfigError(
                    f"{line.where}: {name.replace('_', ' ')} is {have[name]!r}; true or false is "
                    "right"
                )
            return (text in _TRUE) is means_buy
    side = str(have["side"]).strip().lower()
    if side not in {"buy", "sell"}:
        raise ConfigError(f"{line.where}: the side is {side!r}; buy or sell is right")
    return side == "buy"


def is_nothing(value: Any) -> bool:
    """Tell whether a cell is empty."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _optional(line: Line, have: dict[str, Any], name: str) -> float | None:
    return None if is_nothing(have.get(name)) else number(line, have, name)


def number(
    line: Line, have: dict[str, Any], name: str, *, positive: bool = False, signed: bool = False
) -> float:
    """Return the number of a cell.

    Raises:
        ConfigError: The cell is empty, no number, or a number that is not possible there.
    """
    value = have.get(name)
    if is_nothing(value):
        raise ConfigError(f"{line.where}: there is no {name.replace('_', ' ')}")
    found = plain_number(line.where, name.replace("_", " "), value)
    is_wrong = not math.isfinite(found) or (found < 0 and not signed)
    if is_wrong or (positive and found == 0):
        wanted = "a number" if signed else "a number above 0" if positive else "a number from 0 on"
        raise ConfigError(f"{line.where}: {name.replace('_', ' ')} is {value}; {wanted} is right")
    return found


def plain_number(where: str, name: str, value: Any) -> float:
    """Return a number that is written plainly.

    Raises:
        ConfigError: It is no number, or written for people.
    """
    if isinstance(value, float | int) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if _NUMBER.fullmatch(text) or text.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return float(text)
    if _GROUPED.fullmatch(text):
        raise ConfigError(
            f"{where}: {name} {text!r} has separators in it; digits and a point are right, "
            "like 1234.5"
        )
    raise ConfigError(f"{where}: {name} {text!r} is not a number")
