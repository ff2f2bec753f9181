"""The L2 order book: prices to quantities, best first. Pure.

Most changes of a full-depth feed are far from the top where nobody looks. So each side keeps its
*near* levels in a small dict beside a sorted list of keys whose end is the best, and all others in
a plain dict that is neither sorted nor tidied until the near ones run short. A near part that grows
long lets its worst half go. Asks are listed by their negated price, so that both sides sort alike.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

Level = tuple[float, float]
"""Price and quantity (base units); a quantity of zero removes the level."""

NEAR_MIN = 32
"""Levels of a side that are kept sorted at least, if there are as many; deeper views raise it."""
NEAR_FILL = 4
NEAR_MAX = 8
"""How many times as many there are after filling up, and at most."""
DEAD_MAX = 4_096
"""Removed far levels stay as zeros until they might outnumber the others by this many."""

_NOWHERE = float("-inf")


class _Side:
    """One side; ``sign`` is 1 for bids and -1 for asks, a key is ``sign * price``."""

    __slots__ = ("edge", "far", "far_max", "floor", "keys", "near", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.near: dict[float, float] = {}
        self.far: dict[float, float] = {}
        self.far_max = DEAD_MAX
        self.keys: list[float] = []
        # Keys at or above the floor are near; -inf: all are, and nothing is far.
        self.floor = _NOWHERE
        # Keys at or above the edge are shown by the last view; -inf: any change shows.
        self.edge = _NOWHERE

    def replace(self, levels: Iterable[Level]) -> None:
        """Start over with everything near."""
        self.near = {price: qty for price, qty in levels if qty}
        self.far = {}
        self.keys = sorted(self.sign * price for price in self.near)
        self.floor = self.edge = _NOWHERE

    def settle(self, least: int) -> None:
        """Keep enough and not too many near levels, and few dead far ones."""
        near = len(self.keys)
        if near > least * NEAR_MAX:
            self._spill(near - least * NEAR_FILL)
        elif near < least and self.far:
            self._fill(least * NEAR_FILL - near)
        if len(self.far) > self.far_max:
            self._sweep()

    def _spill(self, count: int) -> None:
        for key in self.keys[:count]:
            price = self.sign * key
            self.far[price] = self.near.pop(price)
        del self.keys[:count]
        self.floor = self.keys[0]

    def _fill(self, count: int) -> None:
        sign, far = self.sign, self.far
        # Prices sort faster than negated ones, and only the best few are looked at.
        prices = sorted(far)
        best = []
        for price in prices[::-1] if sign > 0 else prices:
            qty = far.pop(price)
            if qty:
                self.near[price] = qty
                best.append(sign * price)
                if len(best) == count:
                    break
        best.reverse()
        self.keys[:0] = best
        self.floor = self.keys[0] if far else _NOWHERE

    def _sweep(self) -> None:
        self.far = {price: qty for price, qty in self.far.items() if qty}
        self.far_max = 2 * len(self.far) + DEAD_MAX

    def truncate(self, depth: int) -> None:
        """Let everything beyond the best ``depth`` levels go; all must be near."""
        excess = len(self.keys) - depth
        if excess > 0:
            for key in self.keys[:excess]:
                del self.near[self.sign * key]
            del self.keys[:excess]

    def best(self) -> Level | None:
        """Return the best level."""
        if not self.keys:
            return None
        price = self.sign * self.keys[-1]
        return price, self.near[price]

    def top(self, depth: int) -> list[Level]:
        """Return at most ``depth`` levels, best first."""
        sign, near = self.sign, self.near
        levels = [(sign * key, near[sign * key]) for key in self.keys[: -depth - 1 : -1]]
        if len(levels) < depth and self.far:
            far = [(sign * price, price, qty) for price, qty in self.far.items() if qty]
            far.sort(reverse=True)
            levels.extend((price, qty) for _, price, qty in far[: depth - len(levels)])
        return levels

    def watch(self, depth: int) -> None:
        """Remember what a view of this depth shows."""
        self.edge = self.keys[-depth] if len(self.keys) >= depth else _NOWHERE

    def qty(self, price: float) -> float:
        """Return the quantity at ``price``."""
        return self.near.get(price) or self.far.get(price, 0.0)

    def count(self) -> int:
        """Return the number of levels."""
        self._sweep()
        return len(self.near) + len(self.far)


class Book:
    """One instrument's book on one venue; prices must be positive and finite.

    ``touched`` tells whether anything that the last ``view`` showed may have changed since; it is
    true until the first view. ``depth_max`` truncates both sides after every change, ``None`` keeps
    everything.
    """

    __slots__ = ("_asks", "_bids", "_near_min", "depth_max", "touched")

    def __init__(self, depth_max: int | None = None) -> None:
        self.depth_max = depth_max
        self._near_min = NEAR_MIN
        self.clear()

    def clear(self) -> None:
        """Forget every level."""
        self._bids, self._asks = _Side(1), _Side(-1)
        self.touched = True

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Start over from a snapshot; levels in any order, zero quantities are left out."""
        self._bids.replace(bids)
        self._asks.replace(asks)
        self.touched = True
        self._settle()

    def apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set levels to absolute quantities, in order; zero removes, also what is not there.

        The hot path: the two loops differ in the direction of their comparisons only.
        """
        touched = self.touched
        side = self._bids
        near, far, keys, floor, edge = side.near, side.far, side.keys, side.floor, side.edge
        for price, qty in bids:
            if price < floor:
                far[price] = qty
            elif qty > 0.0:
                if price >= edge:
                    touched = True
                if price not in near:
                    insort(keys, price)
                near[price] = qty
            elif price in near:
                if price >= edge:
                    touched = True
                del near[price]
                del keys[bisect_left(keys, price)]
        side = self._asks
        near, far, keys, floor, edge = side.near, side.far, side.keys, -side.floor, -side.edge
        for price, qty in asks:
            if price > floor:
                far[price] = qty
            elif qty > 0.0:
                if price <= edge:
                    touched = True
                if price not in near:
                    insort(keys, -price)
                near[price] = qty
            elif price in near:
                if price <= edge:
                    touched = True
                del near[price]
                del keys[bisect_left(keys, -price)]
        self.touched = touched
        self._settle()

    def _settle(self) -> None:
        if self.depth_max is not None:  # a truncated book is all near
            self._bids.truncate(self.depth_max)
            self._asks.truncate(self.depth_max)
            return
        least = self._near_min
        most = least * NEAR_MAX
        for side in (self._bids, self._asks):
            if not least <= len(side.keys) <= most or len(side.far) > side.far_max:
                side.settle(least)

    def best_bid(self) -> Level | None:
        """Return the highest bid, ``None`` where there is none."""
        return self._bids.best()

    def best_ask(self) -> Level | None:
        """Return the lowest ask, ``None`` where there is none."""
        return self._asks.best()

    def is_crossed(self) -> bool:
        """Tell whether the best bid is at or above the best ask."""
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks and bids[-1] >= -asks[-1])

    def bids(self, depth: int) -> list[Level]:
        """Return at most ``depth`` bids, highest price first."""
        return self._bids.top(depth)

    def asks(self, depth: int) -> list[Level]:
        """Return at most ``depth`` asks, lowest price first."""
        return self._asks.top(depth)

    def view(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Return the top of both sides, best first, and start watching it for changes."""
        assert depth > 0, "a view shows at least one level"
        if depth > self._near_min:
            self._near_min = depth
            self._settle()
        self._bids.watch(depth)
        self._asks.watch(depth)
        self.touched = False
        return self._bids.top(depth), self._asks.top(depth)

    def bid_qty(self, price: float) -> float:
        """Return the quantity bid at ``price``, zero where there is none."""
        return self._bids.qty(price)

    def ask_qty(self, price: float) -> float:
        """Return the quantity asked at ``price``, zero where there is none."""
        return self._asks.qty(price)

    def sides(self) -> tuple[dict[float, float], dict[float, float]]:
        """Return bids and asks, price -> quantity unordered, zeros maybe: a cheap copy to save."""
        return self._bids.far | self._bids.near, self._asks.far | self._asks.near

    def depth(self) -> tuple[int, int]:
        """Return the number of bid and of ask levels."""
        return self._bids.count(), self._asks.count()
