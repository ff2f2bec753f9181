"""The L2 order book: prices to quantities, best first. Pure.

Most changes of a full-depth feed are far from the top, where no view reaches, and a dict of
thousands of levels is slow because it is cold. So each side has three tiers: *near*, a small dict
beside a sorted list of its prices; *mid*, a plain dict of the next hundreds; and *far*, all the
others. Only the near tier is kept in order; a tier that runs short takes the best of the one
beyond, one that grows long gives its worst to it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from shared.messages.market import Level

NEAR_MIN = 24
"""Levels of a side that are kept in order at least, if there are as many; deeper views raise it."""
NEAR_FILL = 4
NEAR_MAX = 8
"""How many times as many there are after filling up, and at most."""
MID_FILL = 384
MID_MAX = 1_024
MID_SLACK = 256
"""Levels of the middle tier after filling up and at most; what sweeping it must make room for."""
DEAD_MAX = 4_096
"""Removed far levels stay as zeros until they might outnumber the others by this many."""

_INFINITY = float("inf")


def _alive(tier: dict[float, float]) -> dict[float, float]:
    return {price: qty for price, qty in tier.items() if qty}


class _Side:
    """One side. Prices are listed rising: the best bid is the last, the best ask the first.

    ``floor`` is the worst near price and ``mid_floor`` the worst middle one; ``nowhere`` (worse
    than any price) where nothing is beyond. ``edge`` is the worst price the last view shows,
    ``nowhere`` where any change shows.
    """

    __slots__ = (
        "edge",
        "far",
        "far_max",
        "floor",
        "is_bids",
        "mid",
        "mid_floor",
        "near",
        "nowhere",
        "prices",
    )

    def __init__(self, *, is_bids: bool) -> None:
        self.is_bids = is_bids
        self.nowhere = -_INFINITY if is_bids else _INFINITY
        self.replace(())

    def replace(self, levels: Iterable[Level]) -> None:
        """Start over with everything near."""
        self.near: dict[float, float] = {price: qty for price, qty in levels if qty}
        self.mid: dict[float, float] = {}
        self.far: dict[float, float] = {}
        self.far_max = DEAD_MAX
        self.prices = sorted(self.near)
        self.floor = self.mid_floor = self.edge = self.nowhere

    def settle(self, least: int) -> None:
        """Keep the tiers within their bounds."""
        near = len(self.prices)
        if near > least * NEAR_MAX:
            self._spill_near(least * NEAR_FILL)
        elif near < least and (self.mid or self.far):
            self._fill_near(least * NEAR_FILL - near)
        if len(self.mid) > MID_MAX:
            self._spill_mid()
        if len(self.far) > self.far_max:
            self._sweep_far()

    def _spill_near(self, keep: int) -> None:
        worst = self.prices[:-keep] if self.is_bids else self.prices[keep:]
        for price in worst:
            self.mid[price] = self.near.pop(price)
        self.prices = self.prices[-keep:] if self.is_bids else self.prices[:keep]
        self.floor = self.prices[0 if self.is_bids else -1]

    def _fill_near(self, count: int) -> None:
        self.mid = _alive(self.mid)
        levels = self._take(self.mid, count)
        while len(levels) < count and self.far:  # and then the middle is empty
            self._sweep_far()
            self.mid = dict(self._take(self.far, MID_FILL))
            self.mid_floor = next(reversed(self.mid)) if self.far else self.nowhere
            levels += self._take(self.mid, count - len(levels))
        self.near.update(levels)
        self.prices = sorted(self.near)
        worst = self.prices[0 if self.is_bids else -1] if self.prices else self.nowhere
        self.floor = worst if self.mid or self.far else self.nowhere

    def _spill_mid(self) -> None:
        self.mid = mid = _alive(self.mid)
        if len(mid) <= MID_MAX - MID_SLACK:
            return  # most of it was dead
        keep = self._take(mid, MID_FILL)
        self.far.update(mid)
        self.mid = dict(keep)
        self.mid_floor = keep[-1][0]

    def _take(self, tier: dict[float, float], count: int) -> list[Level]:
        """Take the best levels out of a tier without dead ones, best first."""
        return [(price, tier.pop(price)) for price in sorted(tier, reverse=self.is_bids)[:count]]

    def _sweep_far(self) -> None:
        self.far = _alive(self.far)
        self.far_max = 2 * len(self.far) + DEAD_MAX

    def truncate(self, depth: int) -> None:
        """Let everything beyond the best ``depth`` levels go; all must be near."""
        if len(self.prices) > depth:
            for price in self.prices[:-depth] if self.is_bids else self.prices[depth:]:
                del self.near[price]
            self.prices = self.prices[-depth:] if self.is_bids else self.prices[:depth]

    def best(self) -> Level | None:
        """Return the best level."""
        if not self.prices:
            return None
        price = self.prices[-1 if self.is_bids else 0]
        return price, self.near[price]

    def top(self, depth: int) -> list[Level]:
        """Return at most ``depth`` levels, best first."""
        near = self.near
        prices = self.prices[: -depth - 1 : -1] if self.is_bids else self.prices[:depth]
        levels = [(price, near[price]) for price in prices]
        for tier in (self.mid, self.far):
            if len(levels) < depth and tier:
                more = sorted((level for level in tier.items() if level[1]), reverse=self.is_bids)
                levels += more[: depth - len(levels)]
        return levels

    def show(self, depth: int) -> list[Level]:
        """Return the same, and remember what it shows."""
        near = self.near
        prices = self.prices[: -depth - 1 : -1] if self.is_bids else self.prices[:depth]
        if len(prices) == depth:  # nearly always
            self.edge = prices[-1]
            return [(price, near[price]) for price in prices]
        self.edge = self.nowhere
        return self.top(depth)

    def all(self) -> dict[float, float]:
        """Return price -> quantity unordered, zeros maybe."""
        return self.far | self.mid | self.near


class Book:
    """One instrument's book on one venue; prices must be positive and finite.

    ``touched`` tells whether anything that the last ``view`` showed may have changed since; it is
    true until the first view. ``depth_max`` truncates both sides after every change, ``None`` keeps
    everything.

    ``bid_floor`` and ``ask_ceiling`` end the range of the snapshot: beyond them only levels
    that changed since are known, so a view stops there.
    """

    __slots__ = ("_asks", "_bids", "_near_min", "ask_ceiling", "bid_floor", "depth_max", "touched")

    def __init__(self, depth_max: int | None = None) -> None:
        self.depth_max = depth_max
        self._near_min = NEAR_MIN
        self.clear()

    def clear(self) -> None:
        """Forget every level."""
        self._bids, self._asks = _Side(is_bids=True), _Side(is_bids=False)
        self.bid_floor, self.ask_ceiling = -_INFINITY, _INFINITY
        self.touched = True

    def replace(
        self,
        bids: Iterable[Level],
        asks: Iterable[Level],
        bid_floor: float | None = None,
        ask_ceiling: float | None = None,
    ) -> None:
        """Start over from a snapshot; levels in any order, zero quantities are left out."""
        self.bid_floor = -_INFINITY if bid_floor is None else bid_floor
        self.ask_ceiling = _INFINITY if ask_ceiling is None else ask_ceiling
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
        near, prices, floor, edge = side.near, side.prices, side.floor, side.edge
        mid, far, mid_floor = side.mid, side.far, side.mid_floor
        for price, qty in bids:
            if price < floor:
                if price < mid_floor:
                    far[price] = qty
                else:
                    mid[price] = qty
            elif qty > 0.0:
                if price >= edge:
                    touched = True
                if price not in near:
                    insort(prices, price)
                near[price] = qty
            elif price in near:
                if price >= edge:
                    touched = True
                del near[price]
                del prices[bisect_left(prices, price)]
        side = self._asks
        near, prices, floor, edge = side.near, side.prices, side.floor, side.edge
        mid, far, mid_floor = side.mid, side.far, side.mid_floor
        for price, qty in asks:
            if price > floor:
                if price > mid_floor:
                    far[price] = qty
                else:
                    mid[price] = qty
            elif qty > 0.0:
                if price <= edge:
                    touched = True
                if price not in near:
                    insort(prices, price)
                near[price] = qty
            elif price in near:
                if price <= edge:
                    touched = True
                del near[price]
                del prices[bisect_left(prices, price)]
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
            if (
                not least <= len(side.prices) <= most
                or len(side.mid) > MID_MAX
                or len(side.far) > side.far_max
            ):
                side.settle(least)

    def best_bid(self) -> Level | None:
        """Return the highest bid, ``None`` where there is none."""
        return self._bids.best()

    def best_ask(self) -> Level | None:
        """Return the lowest ask, ``None`` where there is none."""
        return self._asks.best()

    def is_crossed(self) -> bool:
        """Tell whether the best bid is at or above the best ask."""
        bids, asks = self._bids.prices, self._asks.prices
        return bool(bids and asks and bids[-1] >= asks[0])

    def is_outside(self) -> bool:
        """Tell whether the best bid or ask is beyond the snapshot's range, so not surely best."""
        bids, asks = self._bids.prices, self._asks.prices
        if bids and asks:
            return bids[-1] < self.bid_floor or asks[0] > self.ask_ceiling
        return (not bids and self.bid_floor > 0.0) or (not asks and self.ask_ceiling < _INFINITY)

    def room(self) -> tuple[float, float]:
        """Return how far the best bid and ask are from the end of the snapshot's range."""
        bids, asks = self._bids.prices, self._asks.prices
        return (
            (bids[-1] if bids else self.bid_floor) - self.bid_floor,
            self.ask_ceiling - (asks[0] if asks else self.ask_ceiling),
        )

    def bids(self, depth: int) -> list[Level]:
        """Return at most ``depth`` bids, highest price first."""
        return self._bids.top(depth)

    def asks(self, depth: int) -> list[Level]:
        """Return at most ``depth`` asks, lowest price first."""
        return self._asks.top(depth)

    def view(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Return the known top of both sides, best first, and start watching it for changes."""
        assert depth > 0, "a view shows at least one level"
        if depth > self._near_min:
            self._near_min = depth
            self._settle()
        self.touched = False
        bids, asks = self._bids.show(depth), self._asks.show(depth)
        if bids and bids[-1][0] < self.bid_floor:
            bids = [level for level in bids if level[0] >= self.bid_floor]
        if asks and asks[-1][0] > self.ask_ceiling:
            asks = [level for level in asks if level[0] <= self.ask_ceiling]
        return bids, asks

    def sides(self) -> tuple[dict[float, float], dict[float, float]]:
        """Return bids and asks, price -> quantity unordered, zeros maybe: a cheap copy to save."""
        return self._bids.all(), self._asks.all()

    def depth(self) -> tuple[int, int]:
        """Return the number of bid and of ask levels."""
        bids, asks = (sum(1 for qty in side.values() if qty) for side in self.sides())
        return bids, asks
