"""The bus over Redis Streams: publishing, transactions, checkpoints, leases; inputs put together.

One publishing connection with many commands in flight, one blocking connection per kind of input.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence

from shared.bus.address import Endpoint
from shared.bus.alerts import AlertOutlet
from shared.bus.connection import RedisLink, ReplyError, reply_error
from shared.bus.durable import DurableReader
from shared.bus.fence import Fence
from shared.bus.insist import Insistence
from shared.bus.latest import LatestReader, ReaderContext
from shared.bus.port import NO_CHECKPOINTS, Batch, Inbox, Input
from shared.bus.redis_state import RedisState
from shared.bus.replies import Waiting
from shared.bus.signing import NO_KEYS, SigningKeys
from shared.bus.tuning import (
    COUNTERS,
    POSITION_KEY,
    TUNING,
    Tuning,
    checkpoint_key,
)
from shared.bus.upkeep import keep_bytes
from shared.bus.wire import Packer, makes_promises, pack
from shared.cancel import cancel_and_wait
from shared.clock import Clock, SystemClock
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable
from shared.logs import Throttle
from shared.messages.base import Message
from shared.streams import Delivery
from shared.turns import Turns

log = logging.getLogger(__name__)

ALERTS_S = 1.0
"""How long an alert may wait for something else to go out."""
REFUSED_SAY_S = 3.0


class RedisBus(RedisState):
    """A service's connection to Redis Streams."""

    def __init__(
        self,
        config: BusConfig,
        *,
        service: str,
        instance: str,
        keys: SigningKeys = NO_KEYS,
        tuning: Tuning = TUNING,
        clock: Clock | None = None,
    ) -> None:
        self._endpoint = Endpoint(config)
        self._service, self._instance = service, instance
        self._tuning, self._clock = tuning, clock or SystemClock()
        self._shards = config.shards
        self._makes_promises = makes_promises(service)
        self._alerts = AlertOutlet(service, self._clock)
        self._packer = Packer(config.shards, self._alerts.report, keys)
        self._out, self._control = self._link(), self._link()
        self._turn = Turns()  # tasks of one process take turns on the publishing connection
        self._counters = dict.fromkeys(COUNTERS, 0)
        self._refused: dict[str, str] = {}
        self._readers = ReaderContext(
            counters=self._counters,
            tuning=self._tuning,
            report=self._alerts.report,
            now_ns=self._clock.now_ns,
            refused=self._refused,
            keys=keys,
        )
        self._fence = Fence(self._out, self._turn)
        self._insist = Insistence(
            self._out, self._send, self._clock, fence=self._fence, insists=tuning.insists
        )
        self._refused_throttle = Throttle(REFUSED_SAY_S)
        self._tasks: list[asyncio.Task[None]] = []
        self._upkeep_link = self._link()

    def _link(self) -> RedisLink:
        return RedisLink(self._endpoint, self._tuning)

    @property
    def where(self) -> str:
        """The server's URL without its password."""
        return self._endpoint.where

    @property
    def problem(self) -> str:
        """See :class:`shared.bus.port.Bus`."""
        return self._insist.problem or next(iter(self._refused.values()), "")

    @property
    def in_flight(self) -> int:
        """Publish commands sent and not confirmed yet."""
        return self._out.awaited

    async def connect(self) -> None:
        """Connect, and fail at once if that is not possible.

        Raises:
            BusUnavailable: Redis does not answer, is loading, or refuses commands.
            ConfigError: Redis refuses the login.
        """
        await self._out.connect()
        await self._out.call("PING")
        await self._control.connect()
        if not self._tasks:
            upkeep = keep_bytes(
                self._upkeep_link, self._service, self._shards, self._tuning.measure_s
            )
            self._tasks.append(asyncio.create_task(upkeep, name="bus-upkeep"))
            self._tasks.append(asyncio.create_task(self._send_waiting(), name="bus-alerts"))
            if (sentinels := self._endpoint.sentinels) is not None:
                self._tasks.append(asyncio.create_task(sentinels.follow(), name="bus-primary"))

    async def open_inbox(
        self, inputs: Sequence[Input], *, service: str, instance: str, exclusive: bool = False
    ) -> Inbox:
        """See :class:`shared.bus.port.Bus`."""
        is_durable = any(item.spec.delivery is Delivery.DURABLE for item in inputs)
        return await self._insist.patiently(
            lambda: self._open_inbox(inputs, (service, instance), exclusive=exclusive),
            also_lost=not is_durable,
        )

    async def _open_inbox(
        self, inputs: Sequence[Input], consumer: tuple[str, str], *, exclusive: bool
    ) -> Inbox:
        wake: list[Input] = []
        sampled: list[Input] = []
        durable = [item.spec for item in inputs if item.spec.delivery is Delivery.DURABLE]
        for item in inputs:
            if item.spec.delivery is Delivery.LATEST:
                (sampled if item.interval_ms else wake).append(item)
        inbox = RedisInbox()
        if wake:
            inbox.wake = LatestReader(self._link(), wake, self._readers, wake=True)
        if sampled:
            inbox.sampled = LatestReader(self._link(), sampled, self._readers, wake=False)
            inbox.interval_s = min(item.interval_ms for item in sampled) / 1_000
        if durable:
            links = (self._link(), self._control)
            inbox.durable = DurableReader(links, durable, consumer, self._readers)
        try:
            await inbox.start(exclusive=exclusive)
        except BusUnavailable:
            await inbox.close()
            raise
        return inbox

    async def _send_waiting(self) -> None:
        """Send waiting alerts where no other message carries them, until canceled."""
        while True:
            await asyncio.sleep(ALERTS_S)
            if alerts := self._alerts.waited():
                try:
                    await self._control.call_all(*self._packer.adds(alerts))
                except BusUnavailable:
                    self._alerts.wait_again(alerts)

    async def publish(self, messages: Sequence[Message]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        messages = self._alerts.outgoing(messages)
        async with self._turn:
            await self._send(self._packer.adds(messages))
            try:
                self._fence.check_done(await self._out.settle())
            except ReplyError:
                await self._out.drop()
                raise
        self._counters["published"] += len(messages)

    async def commit(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoints: Mapping[str, bytes] = NO_CHECKPOINTS,
    ) -> None:
        """See :class:`shared.bus.port.Bus`."""
        messages = self._alerts.outgoing(messages)
        commands = self._packer.adds(messages) if messages else []
        pending = batch.pending if batch is not None else {}
        for name, state in checkpoints.items():
            commands.append(pack("SET", checkpoint_key(name), state))
        for key, ids in pending.items():
            commands.append(pack("XACK", key, self._service, *ids))
        if not self._turn.try_take():
            await self._turn.take()
        try:
            if pending or checkpoints:
                await self._insist.transact(commands)
            else:
                await self._send(commands)
                if not self._makes_promises:
                    self._out.leave_unread()
        finally:
            self._turn.give()
        self._counters["published"] += len(messages)

    async def _send(
        self, commands: list[bytes], *, optional: bool = False, is_fenced: bool = True
    ) -> int:
        """Send without waiting; surface the failure of an earlier send; bound what is in flight.

        Returns:
            How many replies will come.
        """
        if not commands:
            return 0
        try:
            if self._out.wire.awaited >= self._tuning.in_flight_max:
                await self._out.settle()
            if is_fenced and self._fence.stands:
                commands = self._fence.next_around(commands)
            data = commands[0] if len(commands) == 1 else b"".join(commands)
            if self._out.is_connected and not optional:  # nearly always: nothing to wait for
                self._out.send_now(data, len(commands))
            else:
                await self._out.send(data, len(commands), optional=optional)
        except ReplyError:
            await self._out.drop()
            raise
        return len(commands)

    async def load_checkpoint(self, name: str) -> bytes | None:
        """See :class:`shared.bus.port.Bus`."""
        key = checkpoint_key(name)
        state: bytes | None = await self._insist.patiently(lambda: self._control.call("GET", key))
        return state

    async def save_checkpoint(self, name: str, state: bytes) -> None:
        """See :class:`shared.bus.port.Bus`."""
        async with self._turn:
            await self._send([pack("SET", checkpoint_key(name), state)])

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        if fields:
            flat = [part for item in fields.items() for part in item]
            async with self._turn:
                # Only people look at it: refused, it must not keep anything else from being sent.
                note = pack("HSET", POSITION_KEY, *flat)
                await self._send([note], optional=True, is_fenced=False)
            wire = self._out.wire
            if wire.passed_over and self._refused_throttle.passes(self._clock.monotonic_ns() / 1e9):
                reason = str(reply_error(wire.passed_over))
                log.warning("position_refused", extra={"reason": reason, "keys": [POSITION_KEY]})
            wire.passed_over = ""

    async def stats(self) -> Mapping[str, int]:
        """See :class:`shared.bus.port.Bus`."""
        publishing = max(0, self._out.connects - 1)
        return {**self._counters, "reconnects": self._counters["reconnects"] + publishing}

    async def close(self) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await cancel_and_wait(self._tasks)
        self._fence.stop()
        await self._upkeep_link.drop()
        try:
            if self._out.is_connected:
                await self._send(self._packer.adds(self._alerts.rest()), is_fenced=False)
                await self._out.settle()
        except BusUnavailable as error:
            log.warning("bus_close_unconfirmed", extra={"reason": str(error)})
        await self._out.drop()
        await self._control.drop()


class RedisInbox:
    """Open inputs: one wait for all their connections, no task and no queue between."""

    def __init__(self) -> None:
        self.wake: LatestReader | None = None
        self.sampled: LatestReader | None = None
        self.durable: DurableReader | None = None
        self.interval_s = 0.0
        self._sample_due_s = 0.0
        self._first: deque[Batch] = deque(maxlen=2)
        self._readers: list[LatestReader | DurableReader] = []
        self._waiting = Waiting()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, *, exclusive: bool) -> None:
        """Find all positions, before anything that is published after this call."""
        for reader in (self.wake, self.sampled):
            if reader is not None and (batch := await reader.start()).last_ids:
                self._first.append(batch)
        if self.durable is not None:
            await self.durable.start(exclusive=exclusive)
            self._readers.append(self.durable)
        if self.wake is not None:
            self._readers.append(self.wake)

    @property
    def is_durable(self) -> bool:
        """See :class:`shared.bus.port.Inbox`."""
        return self.durable is not None

    async def read(self, timeout_s: float | None = None) -> Batch:
        """See :class:`shared.bus.port.Inbox`."""
        if self._first:
            return self._first.popleft()
        loop = self._loop or asyncio.get_running_loop()
        self._loop = loop
        deadline_s = math.inf if timeout_s is None else loop.time() + timeout_s
        readers = self._readers
        while True:
            now_s = loop.time()
            for index, reader in enumerate(readers):
                if reader.is_waiting(now_s):
                    continue
                if (batch := await reader.poll()) is not None:
                    if len(readers) > 1:
                        readers.append(readers.pop(index))  # take turns
                    return batch
            if self.sampled is not None and (batch := await self._sample(self.sampled)) is not None:
                return batch
            if loop.time() >= deadline_s:
                return Batch([])
            until_s, wires = deadline_s, []
            if self.sampled is not None:
                until_s = min(until_s, self._sample_due_s)
            for reader in readers:
                until_s = min(until_s, reader.due_s())
                if (wire := reader.waiting_on) is not None:
                    wires.append(wire)
            await self._waiting.on(wires, until_s)

    async def _sample(self, sampled: LatestReader) -> Batch | None:
        """Take what has come since the last sample, if another is due."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._sample_due_s:
            return None
        self._sample_due_s = loop.time() + self.interval_s
        batch = await sampled.poll()
        while batch is None and (wire := sampled.waiting_on) is not None:
            await self._waiting.on((wire,), sampled.due_s())
            batch = await sampled.poll()
        return batch if batch is not None and batch.last_ids else None

    async def close(self) -> None:
        """See :class:`shared.bus.port.Inbox`."""
        self._waiting.stop()
        for reader in (self.wake, self.sampled, self.durable):
            if reader is not None:
                await reader.close()
