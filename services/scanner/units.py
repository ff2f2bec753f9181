"""What several scanners share out: shards, and strategies that only one may run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.scanner.roster import Share
from shared.strategies.port import Instance


class Units:
    """What scanners share: shards, and after them the strategies that only one may run.

    Args:
        instances: As configured.
        shards: How many there are.
    """

    def __init__(self, instances: Sequence[Instance], shards: int) -> None:
        self.shards = shards
        by_base = [each.id for each in instances if each.strategy and each.strategy.by_base]
        self._by_base = frozenset(by_base)
        self._whole = sorted(each.id for each in instances if each.id not in self._by_base)
        self.leases = [f"strategy:{each}" for each in self._whole]

    def share_of(self, owned: Sequence[int]) -> Share:
        """Return what a scanner runs that owns these."""
        shards = frozenset(each for each in owned if each < self.shards)
        whole = [self._whole[each - self.shards] for each in owned if each >= self.shards]
        return Share(
            frozenset(whole) | (self._by_base if shards else frozenset()), shards, self.shards
        )

    def number_of(self, strategy_id: str) -> int:
        """Return the lease number of a strategy that only one scanner may run."""
        return self.shards + self._whole.index(strategy_id)

    def is_saved(self, strategy_id: str) -> bool:
        """Tell whether a strategy's state is saved: only if a single scanner runs it."""
        return strategy_id not in self._by_base
