"""A bounded memory by key. Pure."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

IDS_MAX = 100_000
"""Plans, orders and fills remembered one by one; older ones stay in the totals only."""

V = TypeVar("V")


class Remembered(Generic[V]):
    """A dictionary that forgets its oldest entries beyond a bound, and counts them."""

    def __init__(self, bound: int = IDS_MAX) -> None:
        self._bound = bound
        self.items: dict[Any, V] = {}
        self.forgotten = 0

    def put(self, key: Any, value: V) -> V | None:
        """Store and return what was there before."""
        before = self.items.get(key)
        self.items[key] = value
        if len(self.items) > self._bound:
            del self.items[next(iter(self.items))]
            self.forgotten += 1
        return before

    def __contains__(self, key: object) -> bool:
        return key in self.items

    def __len__(self) -> int:
        return len(self.items) + self.forgotten
