"""Checkpoints of the shards that an instance owns, taken part by part between two batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from shared.bus.port import Bus
from shared.clock import Clock
from shared.engine import ShardedEngine
from shared.errors import BusUnavailable, CodecError
from shared.observe import Observer
from shared.streams import StreamSpec

log = logging.getLogger(__name__)

SAVED_BYTES_PER_S_MAX = 500_000
"""Large states are saved less often than configured: every save goes through Redis and its AOF."""


class _Round:
    """One shard's parts, taken one after the other."""

    def __init__(self, shard: int, engine: ShardedEngine) -> None:
        self.shard, self._engine = shard, engine
        self.due_s = 0.0
        self.size = 1
        self._entry_id = ""
        self._left: list[tuple[str, ...]] = []
        self._taken: list[bytes] = []

    @property
    def is_complete(self) -> bool:
        """Tell whether every part was taken."""
        return not self._left

    def begin(self, entry_id: str) -> None:
        """Start a round at this position."""
        self._entry_id = entry_id
        self._left, self._taken = self._engine.names(self.shard), []
        self.size = max(1, len(self._left))

    def take_one(self) -> None:
        """Take the next part, if there is one left."""
        if self._left:
            self._taken.append(self._engine.save_part(self._left.pop()))

    def joined(self) -> bytes:
        """Return the shard's checkpoint, and let the parts go."""
        state = self._engine.join_parts(self._entry_id, self._taken)
        self._taken = []
        return state


class SavedShards:
    """Restores and saves the shards of one instance.

    Between two batches everything of the batch before has been decided and sent: only then do the
    engine's state and the position in the stream belong together. Parts are taken one at a time, so
    that the pause on the hot path stays short; when all of a shard are there, they are saved with
    the position at which the first was taken.

    Args:
        service: Shards are saved under ``<service>-<shard>``.
        stream: What the state of a shard is made of, read on from the position saved with it.
        engine: Whose state is saved.
        bus: Where it is saved.
        clock: Time for the engine.
        observer: Counts what could not be saved.
        interval_s: Every shard is saved this often.
    """

    def __init__(  # noqa: PLR0917 - what it works with
        self,
        service: str,
        stream: StreamSpec,
        engine: ShardedEngine,
        bus: Bus,
        clock: Clock,
        observer: Observer,
        *,
        interval_s: float,
    ) -> None:
        self._service, self._stream, self._engine = service, stream, engine
        self._bus, self._clock, self._observer = bus, clock, observer
        self._interval_s = interval_s
        self.positions: dict[int, str] = {}
        """Owned shard -> the entry of the stream its state stands at."""
        self._shards: dict[str, int] = {}
        self._rounds: list[_Round] = []

    async def own(self, owned: Sequence[int]) -> None:
        """Give up what is not in ``owned`` and restore what is new in it.

        Raises:
            BusUnavailable: Redis was lost meanwhile; may be tried again.
        """
        for shard in sorted(set(self.positions) - set(owned)):
            self._engine.drop_shard(shard)
            del self.positions[shard]
        for shard in owned:
            if shard not in self.positions:
                self.positions[shard] = await self._restore(shard)
        self._shards = {self._stream.key(shard): shard for shard in owned}
        self._rounds = [_Round(shard, self._engine) for shard in owned]

    async def _restore(self, shard: int) -> str:
        """Take back a shard's state; return where to read on.

        Without a checkpoint everything kept is read: what it takes may still be there.
        """
        state = await self._bus.load_checkpoint(self._name(shard))
        try:
            entry_id = self._engine.own(shard, state, self._clock.now_ns())
        except CodecError as error:
            log.warning("checkpoint_refused", extra={"shard": shard, "reason": str(error)})
            entry_id = None
        log.info("shard_opened", extra={"shard": shard, "after": entry_id})
        return entry_id or "first"

    def note_read(self, last_ids: Mapping[str, str]) -> None:
        """Note how far a batch went that has been decided and sent."""
        for key, entry_id in last_ids.items():
            if key in self._shards:
                self.positions[self._shards[key]] = entry_id

    async def advance(self) -> None:
        """Take the next parts if it is time; called between two batches."""
        now_s = asyncio.get_running_loop().time()
        for turn in self._rounds:
            if now_s >= turn.due_s:
                await self._advance(turn, now_s)

    async def save_all(self) -> None:
        """Save every shard now."""
        for turn in self._rounds:
            turn.begin(self.positions[turn.shard])
            while not turn.is_complete:
                turn.take_one()
            await self._save(turn)

    async def _advance(self, turn: _Round, now_s: float) -> None:
        if turn.is_complete:
            turn.begin(self.positions[turn.shard])
        turn.take_one()
        turn.due_s = now_s + self._interval_s / turn.size
        if turn.is_complete:
            saved_bytes = await self._save(turn)
            turn.due_s = max(turn.due_s, now_s + saved_bytes / SAVED_BYTES_PER_S_MAX)

    async def _save(self, turn: _Round) -> int:
        state = turn.joined()
        self._observer.gauge("checkpoint_bytes", len(state))
        try:
            await self._bus.save_checkpoint(self._name(turn.shard), state)
        except BusUnavailable:
            # The state goes on; the next round saves a newer one.
            self._observer.count("checkpoints_failed")
        return len(state)

    def _name(self, shard: int) -> str:
        return f"{self._service}-{shard}"
