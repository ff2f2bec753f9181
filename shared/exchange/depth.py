"""Taking from books: the walk that every fill is, and books of which only the depth is known. Pure.

A matching book knows each order in it. Of a real venue's book a client sees levels only; what it
would take of them is then computed here, the same way, and remembered: our own impact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

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


class _Gap(NamedTuple):
    """What was taken of one side, at prices up to ``worst``: ``qty`` base units at ``ts_ns``."""

    qty: Decimal
    worst: Decimal
    ts_ns: int


class ShownDepth:
    """The depth that a venue shows of one book, less what was taken of it here.

    What was taken of a level stays gone until the venue changes that level: a level left alone
    still shows our part, which another order cannot have again. Where levels change, the venue
    shows what it would have without our order, which took part of that. So what was taken is
    withheld from the best levels too, up to the worst price that was taken; half of it is there
    again after each ``half_life_ns``, as others quote.

    Args:
        half_life_ns: Of what is withheld; 0: only levels that have not changed remember.
    """

    def __init__(self, half_life_ns: int = 0) -> None:
        self._half_life_ns = half_life_ns
        self._bids: Sequence[Level] = ()
        self._asks: Sequence[Level] = ()
        self._taken: dict[tuple[Side, float], tuple[float, Decimal]] = {}
        self._gaps: dict[Side, _Gap] = {}
        self._withheld: dict[Side, Decimal] = {}
        self._now_ns = 0

    def show(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Take the newest depth, best levels first."""
        self._bids, self._asks = bids, asks
        if not self._taken:
            return
        shown = {(Side.BUY, price): qty for price, qty in bids}
        shown |= {(Side.SELL, price): qty for price, qty in asks}
        self._taken = {
            level: (qty, part)
            for level, (qty, part) in self._taken.items()
            if shown.get(level) == qty
        }

    @property
    def withholds(self) -> bool:
        """Whether others have not quoted all again that was taken: see :meth:`recover`."""
        return bool(self._gaps)

    def recover(self, now_ns: int, lot: Decimal) -> None:
        """Withhold, in whole lots, what others have not quoted again by now."""
        self._now_ns = now_ns
        for side, gap in tuple(self._gaps.items()):
            age_ns = max(0, now_ns - gap.ts_ns)
            share = Decimal(0.5 ** (age_ns / self._half_life_ns))
            self._withheld[side] = gap.qty * share // lot * lot
            if not self._withheld[side]:
                del self._gaps[side], self._withheld[side]

    def reachable(self, side: Side, limit: Decimal, qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Return (price, quantity) of what a taker of ``side`` would get, without taking."""
        return reachable(self._left(side.opposite), side, limit, qty)

    def take(self, side: Side, limit: Decimal, qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Take it: what a taker of ``side`` gets, which is gone then."""
        pieces = self.meet(side, limit, qty)
        if pieces and self._half_life_ns:
            other, worst = side.opposite, pieces[-1][0]
            gap = self._gaps.get(other)
            if gap is not None and is_within_limit(worst, side, gap.worst):
                worst = gap.worst
            taken = sum((part for _, part in pieces), self._withheld.get(other, Decimal(0)))
            self._gaps[other] = _Gap(taken, worst, self._now_ns)
            self._withheld[other] = taken
        return pieces

    def meet(self, side: Side, limit: Decimal, qty: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Take what an order of ``side`` that rests gets: only that itself is gone then.

        The levels that it meets came to it; others are not fewer for it.
        """
        pieces = self.reachable(side, limit, qty)
        shown = dict(self._shown(side.opposite))
        for price, part in pieces:
            level = side.opposite, float(price)
            _, before = self._taken.get(level, (0.0, Decimal(0)))
            self._taken[level] = shown[level[1]], before + part
        return pieces

    def _shown(self, side: Side) -> Sequence[Level]:
        return self._bids if side is Side.BUY else self._asks

    def _left(self, side: Side) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield what is left of each level, best first."""
        withheld, gap = self._withheld.get(side, Decimal(0)), self._gaps.get(side)
        for price, qty in self._shown(side):
            at, shown = exact(price), exact(qty)
            _, gone = self._taken.get((side, price), (0.0, Decimal(0)))
            if withheld and gap is not None and is_within_limit(at, side.opposite, gap.worst):
                part = min(shown, withheld)
                withheld -= part
                gone = max(gone, part)
            yield at, shown - gone
