"""How far a strategy has caught up with trades from before its inputs were opened. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.domain.instrument import MarketKey


class CatchUp:
    """How far a strategy is with what was traded before its inputs were opened."""

    __slots__ = ("at_ns", "firsts", "opened_ns", "seen")

    def __init__(self, opened_ns: int, seen: Mapping[MarketKey, int]) -> None:
        self.opened_ns = opened_ns
        self.at_ns = 0
        self.seen = dict(seen)
        """Instrument -> when the newest trade was received that its state knows."""
        self.firsts: dict[int, int] = {}
        """Shard -> when the oldest trade kept in its stream was received."""

    def has_hole(self, shard_of: Callable[[str], int]) -> bool:
        """Tell whether trades may be missing between what is known and what the streams keep."""
        newest: dict[int, int] = {}
        for (_, instrument), ts_ns in self.seen.items():
            shard = shard_of(instrument)
            newest[shard] = max(ts_ns, newest.get(shard, 0))
        return any(
            shard not in self.firsts or self.firsts[shard] > ts_ns
            for shard, ts_ns in newest.items()
        )
