"""Taking from books: the walk that every fill is, and books of which only the depth is known. Pure.

A matching book knows each order in it. Of a real venue's book a client sees levels only; what it
would take of them is then computed here, the same way, and remembered: our own impact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from shared.domain.rounding import exact
from shared.messages.base import Side
from shared.messages.market import Level

Number = TypeVar("Number", int, Decimal)


def reachable(
    levels: Iterable[tuple[Number, Number]], side: Side, limit: Number | None, qty: Number
) -> list[tuple[Number, Number]]:
    """Return (price, quantity) of each level that a taker gets a part of.

    Args:
        levels: Of the other side, best first; a level may be empty.
        side: The taker's.
        limit: Its worst price; ``None`` takes any.
        qty: What it wants.
    """
    found: list[tuple[Number, Number]] = []
    for price, available in levels:
        if qty <= 0 or not is_within_limit(price, side, limit):
            break
        part = min(qty, available)
        if part > 0:
            found.append((price, part))
            qty -= part
    return found


def is_within_limit(price: Number, side: Side, limit: Number | None) -> bool:
    """Tell whether a taker may trade at a price."""
    if limit is None:
        return True
    return price <= limit if side is Side.BUY else price >= limit


class ShownDepth:
    """The depth that a venue shows of one book, less what was taken of it here.

    What was taken of a level stays gone until the venue changes that level: then others have quoted
    again. A level left alone still shows our part, which another order cannot have again.
    """

    def __init__(self) -> None:
        self._levels: dict[Side, Sequence[Level]] = {Side.BUY: (), Side.SELL: ()}
        self._taken: dict[tuple[Side, float], tuple[float, Decimal]] = {}

    def show(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Take the newest depth, best levels first."""
        self._levels = {Side.BUY: bids, Side.SELL: asks}
        if not self._taken:
            return
        shown = {(side, price): qty for side, all_ in self._levels.items() for price, qty in all_}
        self._taken = {
            level: (qty, part)
            for level, (qty, part) in self._taken.items()
            if shown.get(level) == qty
        }

    def reachable(self, side: Side, limit: Decimal, qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Return (price, quantity) of what a taker of ``side`` would get, without taking."""
        other = side.opposite
        left = ((exact(p), self._left(other, p, shown)) for p, shown in self._levels[other])
        return reachable(left, side, limit, qty)

    def take(self, side: Side, limit: Decimal, qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Take it: what a taker of ``side`` gets, which is gone then."""
        pieces = self.reachable(side, limit, qty)
        shown = dict(self._levels[side.opposite])
        for price, part in pieces:
            level = side.opposite, float(price)
            _, before = self._taken.get(level, (0.0, Decimal(0)))
            self._taken[level] = shown[level[1]], before + part
        return pieces

    def _left(self, side: Side, price: float, shown: float) -> Decimal:
        _, taken = self._taken.get((side, price), (0.0, Decimal(0)))
        return exact(shown) - taken
