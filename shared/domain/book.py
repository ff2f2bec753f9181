"""The L2 order book: prices to quantities, best first. Pure.

Each side is a dict from price to quantity beside a sorted list of keys whose **end** is the best
price, because venues change the top far more often than the depth: an insertion near the end of a
list moves few elements. Asks are listed by their negated price, so that both sides sort alike.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

Level = tuple[float, float]
"""Price and quantity (base units); a quantity of zero removes the level."""

_NOWHERE = float("-inf")


class Book:
    """One instrument's book on one venue; prices must be positive and finite.

    ``touched`` tells whether anything that the last ``view`` showed may have changed since; it is
    true until the first view. ``depth_max`` truncates both sides after every change, ``None`` keeps
    everything.
    """

    __slots__ = ("_ask_edge", "_ask_keys", "_asks", "_bid_edge", "_bid_keys", "_bids", "depth_max",
                 "touched")  # fmt: skip

    def __init__(self, depth_max: int | None = None) -> None:
        self.depth_max = depth_max
        self.clear()

    def clear(self) -> None:
        """Forget every level."""
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid_keys: list[float] = []
        self._ask_keys: list[float] = []
        # Keys at or beyond the edge are shown by the last view; -inf: any change shows.
        self._bid_edge = _NOWHERE
        self._ask_edge = _NOWHERE
        self.touched = True

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Start over from a snapshot; levels in any order, zero quantities are left out."""
        self.clear()
        self._bids = {price: qty for price, qty in bids if qty}
        self._asks = {price: qty for price, qty in asks if qty}
        self._bid_keys = sorted(self._bids)
        self._ask_keys = sorted(-price for price in self._asks)
        if self.depth_max is not None:
            self._truncate(self.depth_max)

    def apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set levels to absolute quantities, in order; zero removes, also what is not there."""
        qty_at, keys, edge = self._bids, self._bid_keys, self._bid_edge
        for price, qty in bids:
            if price >= edge:
                self.touched = True
            if qty:
                if price not in qty_at:
                    insort(keys, price)
                qty_at[price] = qty
            elif price in qty_at:
                del qty_at[price]
                del keys[bisect_left(keys, price)]
        qty_at, keys, edge = self._asks, self._ask_keys, self._ask_edge
        for price, qty in asks:
            if -price >= edge:
                self.touched = True
            if qty:
                if price not in qty_at:
                    insort(keys, -price)
                qty_at[price] = qty
            elif price in qty_at:
                del qty_at[price]
                del keys[bisect_left(keys, -price)]
        if self.depth_max is not None:
            self._truncate(self.depth_max)

    def _truncate(self, depth: int) -> None:
        excess = len(self._bid_keys) - depth
        if excess > 0:
            for key in self._bid_keys[:excess]:
                del self._bids[key]
            del self._bid_keys[:excess]
        excess = len(self._ask_keys) - depth
        if excess > 0:
            for key in self._ask_keys[:excess]:
                del self._asks[-key]
            del self._ask_keys[:excess]

    def best_bid(self) -> Level | None:
        """Return the highest bid, ``None`` where there is none."""
        if not self._bid_keys:
            return None
        price = self._bid_keys[-1]
        return price, self._bids[price]

    def best_ask(self) -> Level | None:
        """Return the lowest ask, ``None`` where there is none."""
        if not self._ask_keys:
            return None
        price = -self._ask_keys[-1]
        return price, self._asks[price]

    def is_crossed(self) -> bool:
        """Tell whether the best bid is at or above the best ask."""
        bids, asks = self._bid_keys, self._ask_keys
        return bool(bids and asks and bids[-1] >= -asks[-1])

    def bids(self, depth: int) -> list[Level]:
        """Return at most ``depth`` bids, highest price first."""
        qty_at = self._bids
        return [(price, qty_at[price]) for price in self._bid_keys[: -depth - 1 : -1]]

    def asks(self, depth: int) -> list[Level]:
        """Return at most ``depth`` asks, lowest price first."""
        qty_at = self._asks
        return [(-key, qty_at[-key]) for key in self._ask_keys[: -depth - 1 : -1]]

    def view(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Return the top of both sides, best first, and start watching it for changes."""
        assert depth > 0, "a view shows at least one level"
        bid_keys, ask_keys = self._bid_keys, self._ask_keys
        self._bid_edge = bid_keys[-depth] if len(bid_keys) >= depth else _NOWHERE
        self._ask_edge = ask_keys[-depth] if len(ask_keys) >= depth else _NOWHERE
        self.touched = False
        return self.bids(depth), self.asks(depth)

    def bid_qty(self, price: float) -> float:
        """Return the quantity bid at ``price``, zero where there is none."""
        return self._bids.get(price, 0.0)

    def ask_qty(self, price: float) -> float:
        """Return the quantity asked at ``price``, zero where there is none."""
        return self._asks.get(price, 0.0)

    def sides(self) -> tuple[dict[float, float], dict[float, float]]:
        """Return bids and asks, price -> quantity in no order, zeros maybe; read at once, not kept."""
        return self._bids, self._asks

    def depth(self) -> tuple[int, int]:
        """Return the number of bid and of ask levels."""
        return len(self._bid_keys), len(self._ask_keys)
