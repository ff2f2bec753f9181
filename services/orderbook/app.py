"""The orderbook's shell: owned shards, their checkpoints, and the pump between."""

from __future__ import annotations

import asyncio
import logging

from services.orderbook.engine import OrderbookEngine, join_checkpoint
from shared import streams
from shared.backoff import Backoff
from shared.bus.port import Batch, Bus, Inbox, Input
from shared.clock import Clock
from shared.config_sections import OrderbookConfig
from shared.errors import BusUnavailable, CodecError
from shared.lease import ShardOwner
from shared.messages.market import DepthView
from shared.observe import Observer
from shared.process import own_id
from shared.shell import Pump
from shared.stoppable import StoppableInbox, Stopped

log = logging.getLogger(__name__)

STAND_BY_S = 0.5
SAVED_BYTES_PER_S_MAX = 500_000
"""Deep books are saved less often than configured: every save goes through Redis and its AOF."""


def checkpoint_name(shard: int) -> str:
    """Return the name a shard's books are saved under."""
    return f"orderbook-{shard}"


class CheckpointRound:
    """One shard's books, taken one after the other."""

    def __init__(self, shard: int, engine: OrderbookEngine) -> None:
        self.shard, self._engine = shard, engine
        self.due_s = 0.0
        self.size = 1
        self._entry_id = ""
        self._left: list[tuple[str, str]] = []
        self._taken: list[bytes] = []

    @property
    def is_complete(self) -> bool:
        """Tell whether every book was taken."""
        return not self._left

    def begin(self, entry_id: str) -> None:
        """Start a round at this position."""
        self._entry_id = entry_id
        self._left, self._taken = self._engine.names(self.shard), []
        self.size = max(1, len(self._left))

    def take_one(self) -> None:
        """Take the next book, if there is one left."""
        if self._left:
            self._taken.append(self._engine.save_book(self._left.pop()))

    def joined(self) -> bytes:
        """Return the shard's checkpoint, and let the parts go."""
        state = join_checkpoint(self._entry_id, self._taken)
        self._taken = []
        return state


class CheckpointedInbox(StoppableInbox):
    """An inbox that saves the books it fed, between two batches.

    When ``read`` is called, everything of the batch before has been decided and sent: that is the
    moment at which the engine's state and the position in ``md.book`` belong together. Books are
    taken one at a time, so that the pause on the hot path stays short; when all of a shard are
    there, they are saved with the position at which the first was taken.

    Args:
        inbox: Where batches come from.
        engine: Whose books are saved.
        bus: Where they are saved.
        positions: Shard -> the ``md.book`` entry its books stand at.
        interval_s: Every shard is saved this often.
    """

    def __init__(
        self,
        inbox: Inbox,
        engine: OrderbookEngine,
        bus: Bus,
        observer: Observer,
        *,
        positions: dict[int, str],
        interval_s: float,
    ) -> None:
        super().__init__(inbox)
        self._engine, self._bus, self._observer = engine, bus, observer
        self._positions = positions
        self._keys = {streams.MD_BOOK.key(shard): shard for shard in positions}
        self._read: dict[int, str] = {}
        self._rounds = [CheckpointRound(shard, engine) for shard in positions]
        self._interval_s = interval_s

    async def read(self, timeout_s: float | None = None) -> Batch:
        """Return the next batch, after what is due for the one before.

        Raises:
            Stopped: ``stopping`` was set.
        """
        self._positions.update(self._read)
        self._read.clear()
        batch = await super().read(timeout_s)
        for key, entry_id in batch.last_ids.items():
            if key in self._keys:
                self._read[self._keys[key]] = entry_id
        return batch

    async def between_batches(self) -> None:
        """Take the next books for the checkpoints."""
        for turn in self._rounds:
            await self._advance(turn)

    async def save_all(self) -> None:
        """Save every shard now."""
        for turn in self._rounds:
            turn.begin(self._positions[turn.shard])
            while not turn.is_complete:
                turn.take_one()
            await self._save(turn)

    async def _advance(self, turn: CheckpointRound) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < turn.due_s:
            return
        if turn.is_complete:
            turn.begin(self._positions[turn.shard])
        turn.take_one()
        turn.due_s = now_s + self._interval_s / turn.size
        if turn.is_complete:
            saved_bytes = await self._save(turn)
            turn.due_s = max(turn.due_s, now_s + saved_bytes / SAVED_BYTES_PER_S_MAX)

    async def _save(self, turn: CheckpointRound) -> int:
        state = turn.joined()
        self._observer.gauge("checkpoint_bytes", len(state))
        try:
            await self._bus.save_checkpoint(checkpoint_name(turn.shard), state)
        except BusUnavailable:
            # The books go on; the next round saves newer ones.
            self._observer.count("checkpoints_failed")
        return len(state)


class OrderbookApp:
    """Keeps the books of whatever shards this instance owns."""

    def __init__(
        self,
        config: OrderbookConfig,
        shards: int,
        bus: Bus,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._config, self._bus, self._clock, self._observer = config, bus, clock, observer
        self._engine = OrderbookEngine(config, shards)
        self._owner = ShardOwner(bus, "orderbook", str(own_id(observer.instance)), shards)
        self._inbox: CheckpointedInbox | None = None
        self._positions: dict[int, str] = {}
        """Owned shard -> the ``md.book`` entry its books stand at."""
        self._changing = asyncio.Event()
        self._owned: tuple[int, ...] | None = None

    async def run(self) -> None:
        """Serve the owned shards until cancelled."""
        serving: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            async for owned in self._owner.owned():
                if serving is not None:
                    # Not cancelled: a commit cut in half would leave the connection in the middle.
                    self._changing.set()
                    if self._inbox is not None:
                        self._inbox.stopping = True
                    await asyncio.wait({serving})
                    self._inbox = None
                self._disown(owned)
                self._owned = owned
                self._observer.gauge("shards_owned", len(owned))
                self._changing.clear()
                serving = tasks.create_task(self._serve(owned) if owned else self._stand_by())

    async def drain(self) -> None:
        """Save the books and give the shards up, so that others take over at once."""
        if self._inbox is not None:
            await self._inbox.save_all()
        await self._owner.leave()

    def readiness(self) -> tuple[bool, str]:
        """Ready: ownership is settled and every book is LIVE, or there is none to keep."""
        if self._owned is None:
            return False, "waiting for shards"
        if problem := self._owner.problem or self._bus.problem:
            return False, problem
        gauges = self._engine.gauges()
        if not self._owned:
            return True, "standby: others own all shards"
        if gauges["books_live"] < gauges["books"]:
            behind = gauges["books"] - gauges["books_live"]
            return False, f"{behind:.0f} of {gauges['books']:.0f} books are not LIVE"
        return True, ""

    def _disown(self, owned: tuple[int, ...]) -> None:
        for shard in sorted(set(self._owned or ()) - set(owned)):
            self._engine.disown(shard)
            self._positions.pop(shard, None)

    async def _stand_by(self) -> None:
        """Own nothing until that changes."""
        while not self._changing.is_set():
            self._observer.advance()
            await asyncio.sleep(STAND_BY_S)

    async def _serve(self, owned: tuple[int, ...]) -> None:
        """Keep the books of ``owned`` until that changes."""
        backoff = Backoff(0.1, 2.0)
        while not self._changing.is_set():
            try:
                inbox = await self._open(owned)
                break
            except BusUnavailable as error:
                log.warning("bus_lost", extra={"reason": str(error)})
                await asyncio.sleep(backoff.next_s())
        else:
            return
        self._inbox = CheckpointedInbox(
            inbox,
            self._engine,
            self._bus,
            self._observer,
            positions=self._positions,
            interval_s=self._config.checkpoint_interval_ms / 1_000,
        )
        pump = Pump(
            "orderbook",
            self._engine,
            self._bus,
            self._inbox,
            self._clock,
            self._observer,
            measures={DepthView: "tick_to_depth"},
        )
        try:
            await pump.run()
        except Stopped:
            pass
        finally:
            await inbox.close()

    async def _open(self, owned: tuple[int, ...]) -> Inbox:
        for shard in owned:
            if shard not in self._positions:
                self._positions[shard] = await self._restore(shard)
        inputs = [Input(streams.MD_BOOK, (s,), start=at) for s, at in self._positions.items()]
        return await self._bus.open_inbox(
            [*inputs, Input(streams.MD_STATUS)],
            service="orderbook",
            instance=self._observer.instance,
        )

    async def _restore(self, shard: int) -> str:
        """Take back a shard's books; return where to read on.

        Without a checkpoint everything kept is read: the snapshots may still be there.
        """
        state = await self._bus.load_checkpoint(checkpoint_name(shard))
        try:
            entry_id = self._engine.own(shard, state, self._clock.now_ns())
        except CodecError as error:
            log.warning("checkpoint_refused", extra={"shard": shard, "reason": str(error)})
            entry_id = None
        log.info("shard_opened", extra={"shard": shard, "after": entry_id})
        return entry_id or "first"
