"""The bus's implementations behind one face, so that one suite can prove them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from services.lab.keys import keys_for
from shared.bus.address import Endpoint
from shared.bus.connection import RedisLink
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Bus
from shared.bus.redis_streams import RedisBus
from shared.bus.signing import SigningKeys
from shared.bus.tuning import Tuning, dead_key
from shared.bus.wire import id_key
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from tests.redis_group import DOWN_AFTER_MS, SERVERS, Process, RedisGroup

QUICK = Tuning(claim_idle_ms=150, maintenance_s=0.05, deliveries_max=3, backoff_s=0.01)
PATIENT = Tuning(claim_idle_ms=60_000, maintenance_s=60.0, deliveries_max=3, backoff_s=0.01)

SILENCE_MS = 60_000
"""How long a primary may be silent in a test that does not kill it."""


class Harness(Protocol):
    """What a test may do to an implementation besides using the port."""

    async def bus(
        self, service: str, tuning: Tuning = PATIENT, keys: SigningKeys | None = None
    ) -> Bus: ...
    async def add_raw(self, key: str, payload: bytes, signature: bytes = b"") -> str: ...
    async def signature(self, key: str, entry_id: str) -> bytes: ...
    async def length(self, key: str) -> int: ...
    async def size(self, key: str) -> int: ...
    async def first_id(self, key: str) -> str: ...
    async def dead(self, stream: str) -> list[dict[str, bytes]]: ...
    async def positions(self) -> dict[str, str]: ...
    async def outage(self) -> None: ...
    async def back(self) -> None: ...
    async def lose_everything(self) -> None: ...
    async def delete(self, key: str, entry_id: str) -> None: ...
    async def destroy_group(self, key: str, group: str) -> None: ...
    async def move_group(self, key: str, group: str, entry_id: str) -> None: ...


class MemoryHarness:
    """The implementation in memory."""

    def __init__(self) -> None:
        self.server = MemoryServer(SystemClock())

    async def bus(
        self, service: str, tuning: Tuning = PATIENT, keys: SigningKeys | None = None
    ) -> Bus:
        keys = keys or keys_for(service)
        return MemoryBus(self.server, service=service, tuning=tuning, keys=keys)

    async def add_raw(self, key: str, payload: bytes, signature: bytes = b"") -> str:
        return self.server.add(key, payload, signature)

    async def signature(self, key: str, entry_id: str) -> bytes:
        return self.server.stream(key).signatures.get(id_key(entry_id), b"")

    async def length(self, key: str) -> int:
        return len(self.server.stream(key).ids)

    async def size(self, key: str) -> int:
        return self.server.stream(key).bytes

    async def first_id(self, key: str) -> str:
        ms, seq = self.server.stream(key).ids[0]
        return f"{ms}-{seq}"

    async def dead(self, stream: str) -> list[dict[str, bytes]]:
        return [
            {k: v if isinstance(v, bytes) else v.encode() for k, v in letter.items()}
            for letter in self.server.dead.get(stream, [])
        ]

    async def positions(self) -> dict[str, str]:
        return dict(self.server.positions)

    async def outage(self) -> None:
        self.server.is_up = False

    async def back(self) -> None:
        self.server.is_up = True

    async def lose_everything(self) -> None:
        self.server.lose_everything()

    async def delete(self, key: str, entry_id: str) -> None:
        self.server.stream(key).delete(id_key(entry_id))

    async def destroy_group(self, key: str, group: str) -> None:
        del self.server.stream(key).groups[group]

    async def move_group(self, key: str, group: str, entry_id: str) -> None:
        self.server.stream(key).groups[group].last_id = id_key(entry_id)


class RedisHarness:
    """The implementation over a real server."""

    def __init__(
        self,
        url: str,
        stop: Callable[[], Awaitable[None]],
        start: Callable[[], Awaitable[None]],
    ) -> None:
        self.config = BusConfig(url=url)
        self._stop, self._start = stop, start
        self._link = RedisLink(Endpoint(self.config), PATIENT)
        self._buses: list[RedisBus] = []

    async def call(self, *args: Any) -> Any:
        return await self._link.call(*args)

    async def bus(
        self, service: str, tuning: Tuning = PATIENT, keys: SigningKeys | None = None
    ) -> Bus:
        keys = keys or keys_for(service)
        bus = RedisBus(self.config, service=service, instance="test", tuning=tuning, keys=keys)
        await bus.connect()
        self._buses.append(bus)
        return bus

    async def add_raw(self, key: str, payload: bytes, signature: bytes = b"") -> str:
        signed = ("s", signature) if signature else ()
        return (await self.call("XADD", key, "*", "m", payload, *signed)).decode()

    async def signature(self, key: str, entry_id: str) -> bytes:
        ((_, fields),) = await self.call("XRANGE", key, entry_id, entry_id)
        return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"s", b"")

    async def length(self, key: str) -> int:
        return int(await self.call("XLEN", key))

    async def size(self, key: str) -> int:
        return int(await self.call("MEMORY", "USAGE", key, "SAMPLES", 0))

    async def first_id(self, key: str) -> str:
        return (await self.call("XRANGE", key, "-", "+", "COUNT", 1))[0][0].decode()

    async def dead(self, stream: str) -> list[dict[str, bytes]]:
        entries = await self.call("XRANGE", dead_key(stream), "-", "+")
        return [{k.decode(): v for k, v in zip(f[::2], f[1::2], strict=True)} for _, f in entries]

    async def positions(self) -> dict[str, str]:
        flat = await self.call("HGETALL", "{arb}:position")
        return {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}

    async def outage(self) -> None:
        await self._stop()

    async def back(self) -> None:
        await self._start()
        await self.wait_until_up()

    async def wait_until_up(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.call("PING")
                except BusUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def wait_for_replicas(self) -> None:
        """Wait until every replica has what was written."""
        async with asyncio.timeout(20):
            while await self.call("WAIT", SERVERS - 1, 1_000) < SERVERS - 1:
                pass

    async def lose_everything(self) -> None:
        await self.call("FLUSHALL")
        await asyncio.sleep(0.005)  # ids are milliseconds: the first new one must differ

    async def delete(self, key: str, entry_id: str) -> None:
        await self.call("XDEL", key, entry_id)

    async def destroy_group(self, key: str, group: str) -> None:
        await self.call("XGROUP", "DESTROY", key, group)

    async def move_group(self, key: str, group: str, entry_id: str) -> None:
        await self.call("XGROUP", "SETID", key, group, entry_id)

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()
        await self._link.drop()


@contextlib.asynccontextmanager
async def embedded_harness(server: EmbeddedServer) -> AsyncIterator[RedisHarness]:
    """A harness over an embedded server, emptied; kill -9 is its outage."""

    async def stop() -> None:
        await asyncio.to_thread(server.kill)

    async def start() -> None:
        await asyncio.to_thread(server.start)

    harness = RedisHarness(server.url, stop, start)
    if server.pid is None:
        await start()
    await harness.call("FLUSHALL")
    try:
        yield harness
    finally:
        await harness.close()


@contextlib.asynccontextmanager
async def group_harness(group: RedisGroup) -> AsyncIterator[RedisHarness]:
    """A harness over servers with Sentinel, emptied; its outage ends with another primary."""
    dead: list[Process] = []

    async def stop() -> None:
        dead.append(group.primary())
        await asyncio.to_thread(dead[-1].kill)
        await asyncio.to_thread(group.allow_silence, DOWN_AFTER_MS)

    async def start() -> None:
        before = dead.pop()
        primary = await asyncio.to_thread(group.wait_for_another, before)
        await asyncio.to_thread(group.join, before, primary)
        await asyncio.to_thread(group.allow_silence, SILENCE_MS)

    # a primary that a busy machine delays must not be replaced by one without the emptying
    await asyncio.to_thread(group.allow_silence, SILENCE_MS)
    await asyncio.to_thread(group.wait_until_whole)
    harness = RedisHarness(group.url, stop, start)
    await harness.wait_until_up()
    await harness.call("FLUSHALL")
    await harness.wait_for_replicas()
    try:
        yield harness
    finally:
        await harness.close()


def embedded_server(directory: Path) -> EmbeddedServer:
    """Return an embedded server that is running."""
    return EmbeddedServer(directory).start()
