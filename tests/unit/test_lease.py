"""Single active instances and shard owners, on the bus in memory."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.ids import RESTART_SLOT_NS
from shared import lease as lease_module
from shared import process as process_module
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.clock import SystemClock
from shared.lease import Lease, LeaseLost, ShardOwner, assign
from shared.lease_terms import TAKEOVER_PAUSE_S
from shared.process import is_gone, own_id, parse
from tests.support import eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "TTL_MS", 200)
    monkeypatch.setattr(lease_module, "RENEW_S", 0.02)
    monkeypatch.setattr(lease_module, "TAKEOVER_PAUSE_S", 0.01)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(SystemClock())


def bus(server: MemoryServer) -> MemoryBus:
    return MemoryBus(server, service="orderbook")


@given(st.integers(1, 64), st.lists(st.text(min_size=1), max_size=8))
def test_every_shard_has_one_owner_and_the_load_is_even(shards: int, members: list[str]) -> None:
    owners = assign(shards, members)
    if not members:
        assert owners == {}
        return
    assert set(owners) == set(range(shards))
    counts = [list(owners.values()).count(member) for member in set(members)]
    assert max(counts) - min(counts) <= 1
    assert owners == assign(shards, members[::-1]), "the order of members does not matter"


async def test_a_standby_waits_until_the_active_one_is_gone(server: MemoryServer) -> None:
    active, standby = Lease(bus(server), "risk", "r1"), Lease(bus(server), "risk", "r2")
    await active.acquire()
    keeping = asyncio.create_task(active.keep())
    waiting = asyncio.create_task(standby.acquire())
    await asyncio.sleep(0.4)
    assert not waiting.done(), "the active one renews"
    keeping.cancel()  # as a kill -9: no release
    await asyncio.wait_for(waiting, 2)


async def test_a_released_lease_is_free_at_once(server: MemoryServer) -> None:
    await Lease(bus(server), "risk", "r1").acquire()
    await Lease(bus(server), "risk", "r1").release()
    assert server.hold_lease("risk", "r2", 60_000)


async def test_nobody_works_right_after_another_whatever_became_of_its_lease(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two starts of the executor in one slot of its ids would give two orders one id."""
    monkeypatch.setattr(lease_module, "TAKEOVER_PAUSE_S", TAKEOVER_PAUSE_S)
    loop = asyncio.get_running_loop()
    first = Lease(bus(server), "executor", "e1")
    await first.acquire()
    await first.release()
    released_s = loop.time()
    await Lease(bus(server), "executor", "e2").acquire()
    assert loop.time() - released_s > RESTART_SLOT_NS / 1e9


async def test_a_stolen_lease_ends_its_owner(server: MemoryServer) -> None:
    lease = Lease(bus(server), "risk", "r1")
    await lease.acquire()
    server.release_lease("risk", "r1")
    assert server.hold_lease("risk", "r2", 60_000)
    with pytest.raises(LeaseLost, match="another instance"):
        await asyncio.wait_for(lease.keep(), 2)


async def test_a_lease_that_cannot_be_renewed_ends_its_owner(server: MemoryServer) -> None:
    lease = Lease(bus(server), "risk", "r1")
    await lease.acquire()
    server.is_up = False
    with pytest.raises(LeaseLost, match=r"ran out .* ago: (?!this process)"):
        await asyncio.wait_for(lease.keep(), 2)


async def test_a_process_that_was_stopped_for_longer_than_its_lease_does_nothing_more(
    server: MemoryServer,
) -> None:
    lease = Lease(bus(server), "risk", "r1")
    with pytest.raises(LeaseLost):
        lease.check()
    await lease.acquire()
    lease.check()
    await asyncio.sleep(0.2)
    with pytest.raises(LeaseLost, match=r"ran out .* this process was stopped"):
        lease.check()
    with pytest.raises(LeaseLost, match="this process was stopped"):
        await lease.keep()


class Member:
    """One instance of a sharded service."""

    def __init__(self, server: MemoryServer, name: str, shards: int) -> None:
        self.owner = ShardOwner(bus(server), "orderbook", name, shards)
        self.owned: tuple[int, ...] = ()
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for owned in self.owner.owned():
            self.owned = owned
            await self.owner.let_go(owned)


@pytest.fixture
async def members(server: MemoryServer) -> AsyncIterator[list[Member]]:
    made = [Member(server, name, 4) for name in ("a", "b")]
    yield made
    for member in made:
        member.task.cancel()


async def test_shards_are_shared_and_a_dead_members_are_taken_over(
    server: MemoryServer, members: list[Member]
) -> None:
    first, second = members

    def even() -> bool:
        both = sorted(first.owned + second.owned)
        assert len(set(both)) == len(both), "no shard has two owners"
        return both == [0, 1, 2, 3] and len(first.owned) == 2

    await eventually(even)
    second.task.cancel()  # kill -9
    await eventually(lambda: first.owned == (0, 1, 2, 3))
    server.is_up = False
    await eventually(lambda: first.owner.problem.startswith("waiting for Redis: "))
    server.is_up = True
    await eventually(lambda: not first.owner.problem and first.owned == (0, 1, 2, 3))
    third = Member(server, "c", 4)
    await eventually(lambda: len(third.owned) == 2 and len(first.owned) == 2)
    assert not set(third.owned) & set(first.owned)
    third.task.cancel()
    await third.owner.leave()
    await eventually(lambda: first.owned == (0, 1, 2, 3))


async def test_nothing_is_owned_while_redis_is_away_for_long(
    server: MemoryServer, members: list[Member]
) -> None:
    await eventually(lambda: len(members[0].owned) == 2)
    server.is_up = False
    await eventually(lambda: members[0].owned == ())
    server.is_up = True
    await eventually(lambda: len(members[0].owned) == 2)


async def test_two_processes_of_one_name_are_two_owners(server: MemoryServer) -> None:
    first, second = own_id("risk-1"), own_id("risk-1")._replace(pid="1", started="1")
    await Lease(bus(server), "risk", str(first)).acquire()
    waiting: list[str] = []
    standby = Lease(bus(server), "risk", str(second))
    task = asyncio.create_task(standby.acquire(waiting.append))
    await eventually(lambda: bool(waiting))
    assert waiting == [f"standby: risk-1 on {first.host}, process {first.pid}, is active"]
    assert standby.is_standby
    task.cancel()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def id_of(process: subprocess.Popen[bytes]) -> str:
    ours = own_id("risk-1")
    return str(ours._replace(pid=str(process.pid), started=process_module._started(process.pid)))


async def test_the_lease_of_a_killed_process_is_taken_at_once(
    server: MemoryServer, child: subprocess.Popen[bytes]
) -> None:
    assert server.hold_lease("risk", id_of(child), 60_000)
    lease = Lease(bus(server), "risk", str(own_id("risk-1")))
    task = asyncio.create_task(lease.acquire())
    await eventually(lambda: lease.is_standby)
    child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.1)
    assert lease.is_standby, "a stopped process is not gone"
    child.kill()
    async with asyncio.timeout(5):
        await task


async def test_shards_of_a_killed_process_are_taken_at_once(
    server: MemoryServer, child: subprocess.Popen[bytes]
) -> None:
    dead = id_of(child)
    server.join_members("orderbook", dead, 60_000)
    server.hold_lease("orderbook:shard:0", dead, 60_000)
    child.kill()
    child.wait()
    member = Member(server, str(own_id("orderbook-1")), 1)
    await eventually(lambda: member.owned == (0,))
    member.task.cancel()


def test_who_is_gone() -> None:
    ours = own_id("risk-1")
    assert not is_gone(str(ours))
    assert is_gone(str(ours._replace(started="1"))), "its number belongs to another one now"
    assert not is_gone(str(ours._replace(started="1", place="elsewhere"))), "not for us to see"
    assert parse(str(ours)) == ours
    for text in ("", "r1", "risk-1@host", "a@b/c/d/e", "@h/p/1/1"):
        assert not is_gone(text)


async def test_work_under_a_lease_ends_with_it(server: MemoryServer) -> None:
    lease = Lease(bus(server), "risk", "r1")
    await lease.acquire()

    async def three() -> int:
        return 3

    assert await lease.while_held(three()) == 3
    server.release_lease("risk", "r1")
    assert server.hold_lease("risk", "r2", 60_000)
    with pytest.raises(LeaseLost):
        await lease.while_held(asyncio.sleep(60))


async def test_a_standby_waits_for_redis_too(server: MemoryServer) -> None:
    lease = Lease(bus(server), "risk", "r1")
    server.is_up = False
    task = asyncio.create_task(lease.acquire())
    await eventually(lambda: lease.waiting_for.startswith("waiting for Redis: "))
    assert not lease.is_standby
    server.is_up = True
    async with asyncio.timeout(5):
        await task
