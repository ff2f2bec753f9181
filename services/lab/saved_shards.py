"""State of the shards of a process in the lab, kept as ``shared/runtime/saved_shards.py`` does."""

from __future__ import annotations

from collections.abc import Mapping

from services.lab.lease import LabShards
from shared.bus.memory import MemoryBus
from shared.engine import Engine, ShardedEngine
from shared.errors import BusUnavailable
from shared.services import ServiceSpec
from shared.streams import BY_NAME

SAVE_NS = 1_000_000_000


class SavedShards:
    """Restores, saves and releases shards; does nothing for an engine without state of shards."""

    def __init__(self, row: ServiceSpec, engine: Engine, bus: MemoryBus, shards: LabShards) -> None:
        self._service, self._bus, self._shards = row.name, bus, shards
        self._engine = engine if isinstance(engine, ShardedEngine) else None
        self._stream = next((read.stream for read in row.reads if read.from_first), "")
        self._is_first = True
        self.owned: tuple[int, ...] = ()
        self.positions: dict[str, dict[int, str]] = {self._stream: {}} if self._engine else {}
        """Stream -> shard -> the entry that the shard's state stands at."""
        self._save_ns = 0

    def refresh(self, now_ns: int) -> bool:
        """Save what is due, and tell whether the shards have changed."""
        if now_ns >= self._save_ns:
            self._save_ns = now_ns + SAVE_NS
            self._save()
        owned = self._shards.refresh()
        if owned == self.owned and not self._is_first:
            return False
        if self._engine is not None:
            positions = self.positions[self._stream]
            for shard in sorted(set(self.owned) - set(owned)):
                self._engine.drop_shard(shard)
                del positions[shard]
            for shard in owned:
                if shard not in positions:
                    state = self._bus.reach().values.get(self._name(shard))
                    positions[shard] = self._engine.own(shard, state, now_ns) or "first"
        self.owned, self._is_first = owned, False
        return True

    def note_read(self, last_ids: Mapping[str, str]) -> None:
        """Note how far a batch went that has been decided and sent."""
        if self._engine is not None:
            for shard in self.owned:
                at = last_ids.get(BY_NAME[self._stream].key(shard))
                if at is not None:
                    self.positions[self._stream][shard] = at

    def _save(self) -> None:
        if self._engine is None:
            return
        for shard, at in self.positions[self._stream].items():
            parts = [self._engine.save_part(name) for name in self._engine.names(shard)]
            try:
                self._bus.reach().values[self._name(shard)] = self._engine.join_parts(at, parts)
            except BusUnavailable:
                return

    def _name(self, shard: int) -> str:
        return f"{self._service}-{shard}"
