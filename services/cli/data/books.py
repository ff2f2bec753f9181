"""Books that others wrote row by row, as a snapshot and what changes from row to row.

A row has the best levels only: what is below them is not known, and a level that leaves them counts
as gone. Best prices with quantities are books of one level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.cli.data.files import Line
from services.cli.data.order import is_numbered
from services.cli.data.rows import Found, Reader, Wanted, is_nothing, number
from services.cli.data.shapes import Levels, Told, lines_of, values_of
from shared.errors import ConfigError

Side = dict[float, float]


class BookReader(Reader):
    """Reads the rows of one file of books."""

    def __init__(self, told: Told, wanted: Wanted, numbers: Numbers) -> None:
        super().__init__(told, wanted)
        self._numbers = numbers

    def rows(self) -> Iterator[Found]:
        """Yield one row a level that is new or changed, continuing the file before.

        Raises:
            ConfigError: A row is wrong.
        """
        levels = _levels_of(self.told)
        update = -1
        for line in lines_of(self.told):
            have = values_of(line, self.told.columns)
            self.check_whose(line, have)
            if not is_nothing(have.get("update_id")):
                update = _rising(line, have, update)
            venue_ns = self.time(line, have, "quote_time")
            recv_ns = self.time(line, have, "recv_time") if "recv_time" in have else venue_ns
            bids, asks = (_side(line, each) for each in levels)
            _check_book(line, bids, asks)
            for row in self._numbers.rows(recv_ns, venue_ns, bids, asks):
                yield Found(line.where, row)


class Numbers:
    """Numbers the messages of a book all along, and tells what each changes."""

    def __init__(self) -> None:
        self.seq = self._epoch = 0
        self._before: tuple[Side, Side] | None = None

    def rows(
        self, recv_ns: int, venue_ns: int, bids: Side, asks: Side
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the next book."""
        before, self._before = self._before, (bids, asks)
        seq, self.seq = self.seq, self.seq + 1
        is_snapshot = before is None
        self._epoch = self._epoch or recv_ns
        head = (
            recv_ns,
            venue_ns,
            self._epoch,
            self.seq if is_snapshot else seq,
            self.seq,
            is_snapshot,
        )
        changed = False
        for is_bid, now, then in zip((True, False), (bids, asks), before or ({}, {}), strict=True):
            for price in sorted(then.keys() - now.keys()):
                changed = True
                yield (*head, is_bid, price, 0.0)
            for price, qty in now.items():
                if then.get(price) != qty:
                    changed = True
                    yield (*head, is_bid, price, qty)
        if not changed:
            yield (*head, None, None, None)  # it was told that nothing changed


def _levels_of(told: Told) -> Levels:
    if told.levels.bids:
        return told.levels
    names = told.columns
    return Levels(
        ((names["bid_price"], names["bid_qty"]),), ((names["ask_price"], names["ask_qty"]),)
    )


def _rising(line: Line, have: Mapping[str, Any], before: int) -> int:
    """Return the number of an update, which is never below the one before."""
    text = str(have["update_id"]).strip()
    if not is_numbered(text):
        raise ConfigError(f"{line.where}: the update {text[:40]!r} is not a whole number")
    if int(text) < before:
        raise ConfigError(
            f"{line.where}: the update {text} after {before}: rows are not in order of their "
            "numbers; sort them by update_id"
        )
    return int(text)


def _side(line: Line, names: tuple[tuple[str, str], ...]) -> Side:
    """Return the levels of a side; a book may have fewer than its table."""
    found: Side = {}
    for price_name, qty_name in names:
        values = line.values
        if is_nothing(values[price_name]) and is_nothing(values[qty_name]):
            continue
        have = {"price": values[price_name], "qty": values[qty_name]}
        price = number(line, have, "price", positive=True)
        if price in found:
            raise ConfigError(f"{line.where}: the price {price} is there twice on one side")
        found[price] = number(line, have, "qty", positive=True)
    return found


def _check_book(line: Line, bids: Side, asks: Side) -> None:
    if list(bids) != sorted(bids, reverse=True) or list(asks) != sorted(asks):
        raise ConfigError(
            f"{line.where}: levels are not in order; bids highest first, asks lowest first is right"
        )
    if bids and asks and max(bids) >= min(asks):
        raise ConfigError(
            f"{line.where}: bid {max(bids)} is not below ask {min(asks)}; a book is never crossed"
        )
