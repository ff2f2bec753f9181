"""Redis Sentinel with real servers: who is found, who may lead, and what each mistake says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from services.lab.keys import keys_for
from shared.bus.redis_streams import RedisBus
from shared.bus.tuning import Tuning
from shared.config_sections import BusConfig
from shared.errors import ArbError, BusUnavailable, ConfigError
from shared.lease import Lease, LeaseLost
from shared.lease_terms import TTL_MS
from shared.messages.control import Alert, Severity
from shared.streams import ALERT, CTL_COMMAND
from shared.watch.link import Target, open_link
from tests.ports import free_ports
from tests.redis_group import PASSWORD, SERVICE, Process, RedisGroup
from tests.support import eventually

LONG_MS = 60_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
    group = RedisGroup(tmp_path_factory.mktemp("group") / "of")
    try:
        group.start()
        yield group
    finally:
        group.close()


@asynccontextmanager
async def bus_at(url: str, *, connects: bool = True) -> AsyncIterator[RedisBus]:
    bus = RedisBus(
        BusConfig(url=url),
        service="risk",
        instance="test",
        keys=keys_for("risk"),
        tuning=Tuning(backoff_s=0.01, backoff_cap_s=0.05),
    )
    try:
        if connects:
            await bus.connect()
        yield bus
    finally:
        await bus.close()


async def repeat(ask: Callable[[], Awaitable[object]]) -> object:
    """Ask until Redis is there again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await ask()
            except BusUnavailable:
                await asyncio.sleep(0.05)


def alert(text: str) -> Alert:
    return Alert(ts_ns=time.time_ns(), service="risk", severity=Severity.INFO, code="C", text=text)


async def lead(bus: RedisBus, owner: str, ttl_ms: int = LONG_MS) -> int:
    token = await bus.hold_lease("risk", owner, ttl_ms)
    if token:
        bus.fence("risk", owner, token)
    return token


def replicas(group: RedisGroup) -> list[Process]:
    primary = group.primary()
    return [each for each in group.servers if each is not primary]


@pytest.fixture
async def empty(group: RedisGroup) -> AsyncIterator[RedisGroup]:
    with group.primary().client(PASSWORD) as client:
        client.flushall()
    yield group


async def test_the_next_primary_is_followed_with_what_was_written(empty: RedisGroup) -> None:
    async with bus_at(empty.url) as bus, open_link(Target(BusConfig(url=empty.url))) as link:
        await bus.publish([alert("before")])
        await asyncio.to_thread(empty.fail_over)
        await repeat(lambda: bus.publish([alert("after")]))
        told = await repeat(lambda: link.newest(ALERT, count=10))
    texts = [item.message.text for item in told if isinstance(item.message, Alert)]
    assert texts == ["before", "after"]


async def test_a_lease_that_no_replica_has_is_none(empty: RedisGroup) -> None:
    """A fail-over would lose it, and the next primary would give it to another as well."""
    async with bus_at(empty.url) as bus, bus_at(empty.url) as other:
        assert await bus.hold_lease("risk", "r1", LONG_MS) == 1
        frozen = replicas(empty)
        for each in frozen:
            each.freeze()
        try:
            with pytest.raises(BusUnavailable, match="no replica"):
                await bus.hold_lease("risk", "r1", LONG_MS)
            assert await other.hold_lease("risk", "r2", LONG_MS) == 0, "it is not free for that"
        finally:
            for each in frozen:
                each.wake()
        assert await repeat(lambda: bus.hold_lease("risk", "r1", LONG_MS)) == 1
        empty.wait_until_whole()


async def test_who_led_at_a_primary_that_stood_still_is_fenced_off(empty: RedisGroup) -> None:
    async with bus_at(empty.url) as old, bus_at(empty.url) as new:
        assert await lead(old, "r1", TTL_MS)
        before = empty.primary()
        before.freeze()
        try:
            await asyncio.to_thread(empty.wait_for_another, before)
            assert await repeat(lambda: lead(new, "r2")) == 2
        finally:
            before.wake()
        with before.client(PASSWORD) as alone, pytest.raises(redis.exceptions.ResponseError):
            alone.xadd(CTL_COMMAND.key(), {"m": b"x"})  # NOREPLICAS, then READONLY
        with pytest.raises(BusUnavailable, match="another instance took the lease"):
            await repeat_until_fenced(old)
        empty.wait_until_whole()


async def repeat_until_fenced(bus: RedisBus) -> None:
    """Write until the primary of now says no; what the old one does not take is no matter."""
    async with asyncio.timeout(30):
        while True:
            try:
                await bus.publish([alert("of the old leader")])
            except BusUnavailable as error:
                if "FENCED" in str(error):
                    raise
            await asyncio.sleep(0.05)


async def test_two_never_lead_at_once_over_a_failover(empty: RedisGroup) -> None:
    """The old leader's own clock ends its lease before the next one has taken it."""
    led: dict[str, list[float]] = {"r1": [], "r2": []}

    async def work(lease: Lease, name: str) -> None:
        while True:
            lease.check()
            led[name].append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.005)

    async with bus_at(empty.url) as one, bus_at(empty.url) as two:
        first, second = Lease(one, "risk", "r1"), Lease(two, "risk", "r2")
        await first.acquire()
        leading = asyncio.create_task(first.while_held(work(first, "r1")))
        await eventually(lambda: bool(led["r1"]))
        before = empty.primary()
        before.freeze()
        try:
            with pytest.raises(LeaseLost):
                await leading
            await second.acquire()
            following = asyncio.create_task(second.while_held(work(second, "r2")))
            await eventually(lambda: bool(led["r2"]))
        finally:
            before.wake()
        empty.wait_until_whole()
        assert not following.done()
        following.cancel()
    assert max(led["r1"]) < min(led["r2"])


MISTAKES: dict[str, tuple[Callable[[RedisGroup], str], type[ArbError], str]] = {
    "service": (lambda g: g.url_of("other"), ConfigError, "does not know the service other"),
    "login": (
        lambda g: g.url.replace("sentinel_password=", "sentinel_password=x"),
        ConfigError,
        "Sentinel at 127.0.0.1:.* refuses the login; set ARB_REDIS_SENTINEL_USERNAME",
    ),
    "nobody": (
        lambda g: "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/arb".format(*free_ports(2)),
        BusUnavailable,
        "no Sentinel answers: 127.0.0.1:.*; 127.0.0.1:",
    ),
    "no Sentinel": (
        lambda g: (
            f"redis+sentinel://127.0.0.1:{g.servers[0].port}/arb?sentinel_password={PASSWORD}"
        ),
        ConfigError,
        "is no Sentinel; give the Sentinels' addresses",
    ),
    "a Sentinel's own address": (
        lambda g: f"redis://:simsim@127.0.0.1:{g.sentinels[0].port}/0",
        ConfigError,
        "is a Redis Sentinel; give redis\\+sentinel://",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_each_mistake_is_told_in_one_line(group: RedisGroup, mistake: str) -> None:
    url, kind, text = MISTAKES[mistake]
    async with bus_at(url(group), connects=False) as bus:
        with pytest.raises(kind, match=text):
            await bus.connect()
    with pytest.raises(kind, match=text):
        async with open_link(Target(BusConfig(url=url(group)))):
            pass


async def test_one_sentinel_of_three_is_enough(group: RedisGroup) -> None:
    dead = free_ports(2)
    url = group.url
    for port, each in zip(dead, group.sentinels, strict=False):
        url = url.replace(f":{each.port}", f":{port}")
    async with bus_at(url) as bus:
        assert await bus.marks() is not None


async def test_a_primary_at_an_address_of_elsewhere_is_named(tmp_path: Path) -> None:
    """As where Sentinel announces what only its own containers reach."""
    port, nowhere = free_ports(2)
    config = f"sentinel monitor {SERVICE} 127.0.0.1 {nowhere} 1\n"
    sentinel = Process(tmp_path / "sentinel", port, config, "sentinel", "")
    sentinel.start()
    text = (
        f"Sentinel names 127.0.0.1:{nowhere} as the primary of {SERVICE}, which cannot be reached"
    )
    try:
        async with bus_at(f"redis+sentinel://127.0.0.1:{port}/{SERVICE}", connects=False) as bus:

            async def is_told() -> bool:
                with pytest.raises(BusUnavailable) as caught:
                    await bus.connect()
                return text in str(caught.value) and "replica-announce-ip" in str(caught.value)

            await eventually(is_told)
    finally:
        sentinel.kill()
