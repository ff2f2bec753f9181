"""The bus over Redis Streams: publishing, transactions, checkpoints, leases; inputs put together.

One publishing connection with many commands in flight, one blocking connection per kind of input.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from shared.bus.connection import Endpoint, Link, ReplyError
from shared.bus.durable import DurableReader
from shared.bus.latest import LatestReader
from shared.bus.port import Batch, Inbox, Input
from shared.bus.tuning import (
    COUNTERS,
    POSITION_KEY,
    TUNING,
    Tuning,
    checkpoint_key,
    lease_key,
    members_key,
)
from shared.bus.wire import Packer, pack
from shared.clock import Clock, SystemClock
from shared.config import BusConfig
from shared.errors import BusUnavailable
from shared.logs import Throttle
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.streams import Delivery

log = logging.getLogger(__name__)

_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_JOIN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


class RedisBus:
    """A service's connection to Redis Streams."""

    def __init__(
        self,
        config: BusConfig,
        *,
        service: str,
        instance: str,
        tuning: Tuning = TUNING,
        clock: Clock | None = None,
    ) -> None:
        self._endpoint = Endpoint(config)
        self._service, self._instance = service, instance
        self._tuning, self._clock = tuning, clock or SystemClock()
        self._packer = Packer(config.shards)
        self._out, self._control = self._link(), self._link()
        self._counters = dict.fromkeys(COUNTERS, 0)
        self._alert_throttle = Throttle(1.0)
        self._alerts: deque[Alert] = deque(maxlen=16)

    def _link(self) -> Link:
        return Link(self._endpoint, self._tuning)

    @property
    def where(self) -> str:
        """The server's URL without its password."""
        return self._endpoint.where

    async def connect(self) -> None:
        """Connect, and fail at once if that is not possible.

        Raises:
            BusUnavailable: Redis does not answer, is loading, or refuses commands.
            ConfigError: Redis refuses the login.
        """
        await self._out.connect()
        await self._out.call("PING")
        await self._control.connect()

    async def open_inbox(
        self, inputs: Sequence[Input], *, service: str, instance: str, exclusive: bool = False
    ) -> Inbox:
        """See :class:`shared.bus.port.Bus`."""
        wake: list[Input] = []
        sampled: list[Input] = []
        durable = [item.spec for item in inputs if item.spec.delivery is Delivery.DURABLE]
        for item in inputs:
            if item.spec.delivery is Delivery.LATEST:
                (sampled if item.interval_ms else wake).append(item)
        inbox = RedisInbox()
        if wake:
            inbox.wake = self._latest(wake, wake=True)
        if sampled:
            inbox.sampled = self._latest(sampled, wake=False)
            inbox.interval_s = min(item.interval_ms for item in sampled) / 1_000
        if durable:
            links = (self._link(), self._control)
            inbox.durable = DurableReader(
                links, durable, (service, instance),
                counters=self._counters, tuning=self._tuning, report=self._report,
            )  # fmt: skip
        await inbox.start(exclusive=exclusive)
        return inbox

    def _latest(self, inputs: Sequence[Input], *, wake: bool) -> LatestReader:
        return LatestReader(
            self._link(), inputs, self._counters, self._tuning, self._report, wake=wake
        )

    def _report(self, code: str, text: str) -> None:
        """Queue an alert; it goes out with the next commit. At most one per second is kept."""
        if not self._alert_throttle.passes(self._clock.monotonic_ns() / 1e9):
            return
        log.warning("bus_alert", extra={"code": code, "text": text})
        self._alerts.append(
            Alert(
                ts_ns=self._clock.now_ns(), service=self._service,
                severity=Severity.WARNING, code=code, text=text,
            )
        )  # fmt: skip

    async def publish(self, messages: Sequence[Message]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._send(self._packer.adds(messages))
        await self._settle()
        self._counters["published"] += len(messages)

    async def commit(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoint: tuple[str, bytes] | None = None,
    ) -> None:
        """See :class:`shared.bus.port.Bus`."""
        if self._alerts:
            messages = [*messages, *self._alerts]
            self._alerts.clear()
        commands = self._packer.adds(messages) if messages else []
        pending = batch.pending if batch is not None else {}
        if checkpoint is not None:
            commands.append(pack("SET", checkpoint_key(checkpoint[0]), checkpoint[1]))
        for key, ids in pending.items():
            commands.append(pack("XACK", key, self._service, *ids))
        if pending or checkpoint is not None:
            await self._transact(commands)
        elif commands:
            await self._send(commands)
        self._counters["published"] += len(messages)

    async def _transact(self, commands: list[bytes]) -> None:
        if len(commands) > 1:
            commands = [pack("MULTI"), *commands, pack("EXEC")]
        await self._send(commands)
        result = await self._settle()
        if isinstance(result, list):
            for part in result:
                if isinstance(part, Exception):
                    raise BusUnavailable(f"Redis refused part of a transaction: {part}")

    async def _send(self, commands: list[bytes]) -> None:
        """Send without waiting; surface the failure of an earlier send; bound what is in flight."""
        if not commands:
            return
        try:
            await self._out.reap()
            if self._out.awaited >= self._tuning.in_flight_max:
                await self._out.settle()
            await self._out.send(b"".join(commands), len(commands))
        except BusUnavailable:
            # Replies still to come would be taken for those of the next command.
            await self._out.drop()
            raise

    async def _settle(self) -> Any:
        try:
            return await self._out.settle()
        except ReplyError:
            await self._out.drop()
            raise

    async def load_checkpoint(self, name: str) -> bytes | None:
        """See :class:`shared.bus.port.Bus`."""
        state: bytes | None = await self._control.call("GET", checkpoint_key(name))
        return state

    async def save_checkpoint(self, name: str, state: bytes) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._send([pack("SET", checkpoint_key(name), state)])

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        if fields:
            flat = [part for item in fields.items() for part in item]
            await self._send([pack("HSET", POSITION_KEY, *flat)])

    async def hold_lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """See :class:`shared.bus.port.Bus`."""
        held = await self._control.call("EVAL", _HOLD, 1, lease_key(name), owner, ttl_ms)
        return bool(held)

    async def release_lease(self, name: str, owner: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._control.call("EVAL", _RELEASE, 1, lease_key(name), owner)

    async def join_members(self, group: str, member: str, ttl_ms: int) -> list[str]:
        """See :class:`shared.bus.port.Bus`."""
        raw = await self._control.call("EVAL", _JOIN, 1, members_key(group), member, ttl_ms)
        return sorted(name.decode() for name in raw)

    async def leave_members(self, group: str, member: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._control.call("ZREM", members_key(group), member)

    async def stats(self) -> Mapping[str, int]:
        """See :class:`shared.bus.port.Bus`."""
        publishing = max(0, self._out.connects - 1)
        return {**self._counters, "reconnects": self._counters["reconnects"] + publishing}

    async def close(self) -> None:
        """See :class:`shared.bus.port.Bus`."""
        try:
            if self._out.is_connected:
                await self._out.settle()
        except BusUnavailable as error:
            log.warning("bus_close_unconfirmed", extra={"reason": str(error)})
        await self._out.drop()
        await self._control.drop()


class RedisInbox:
    """Open inputs. With one kind of input a read awaits the connection itself: no task hop."""

    def __init__(self) -> None:
        self.wake: LatestReader | None = None
        self.sampled: LatestReader | None = None
        self.durable: DurableReader | None = None
        self.interval_s = 0.0
        self._sample_due_s = 0.0
        self._first: deque[Batch] = deque(maxlen=2)
        self._reads: dict[str, asyncio.Task[Batch]] = {}
        self._prefer_durable = True

    async def start(self, *, exclusive: bool) -> None:
        """Find all positions, before anything that is published after this call."""
        for reader in (self.wake, self.sampled):
            if reader is not None and (batch := await reader.start()).last_ids:
                self._first.append(batch)
        if self.durable is not None:
            await self.durable.start(exclusive=exclusive)

    async def read(self, timeout_s: float | None = None) -> Batch:
        """See :class:`shared.bus.port.Inbox`."""
        if self._first:
            return self._first.popleft()
        if self.sampled is None:
            return await self._read_waking(timeout_s)
        loop = asyncio.get_running_loop()
        deadline_s = None if timeout_s is None else loop.time() + timeout_s
        while True:
            now_s = loop.time()
            if now_s >= self._sample_due_s:
                self._sample_due_s = now_s + self.interval_s
                batch = await self.sampled.read(self.interval_s)
                if batch.last_ids:
                    return batch
            wait_s = self._sample_due_s - loop.time()
            if deadline_s is not None:
                wait_s = min(wait_s, deadline_s - loop.time())
            batch = await self._read_waking(max(0.0, wait_s))
            if batch.last_ids or (deadline_s is not None and loop.time() >= deadline_s):
                return batch

    async def _read_waking(self, timeout_s: float | None) -> Batch:
        if self.durable is None:
            if self.wake is not None:
                return await self.wake.read(timeout_s)
            await asyncio.sleep(timeout_s or 0.0)
            return Batch([])
        if self.wake is None:
            return await self.durable.read(timeout_s)
        return await self._read_either(self.wake, self.durable, timeout_s)

    async def _read_either(
        self, wake: LatestReader, durable: DurableReader, timeout_s: float | None
    ) -> Batch:
        """Wait on both connections, each with one read running; take turns when both are ready."""
        if "wake" not in self._reads:
            self._reads["wake"] = asyncio.create_task(wake.read(None))
        if "durable" not in self._reads:
            self._reads["durable"] = asyncio.create_task(durable.read(None))
        done, _ = await asyncio.wait(
            self._reads.values(), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        order = ("durable", "wake") if self._prefer_durable else ("wake", "durable")
        for name in order:
            if self._reads[name] in done:
                self._prefer_durable = name != "durable"
                return self._reads.pop(name).result()
        return Batch([])

    async def close(self) -> None:
        """See :class:`shared.bus.port.Inbox`."""
        for task in self._reads.values():
            task.cancel()
        if self._reads:
            await asyncio.gather(*self._reads.values(), return_exceptions=True)
        for reader in (self.wake, self.sampled, self.durable):
            if reader is not None:
                await reader.close()
