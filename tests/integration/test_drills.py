"""Accidents of Redis and of processes while risk runs: one clear line, a wait, and work again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.cli.look import status
from services.cli.stack import service_program
from services.cli.supervisor import Supervisor
from shared.bus.keys import find_command_keys, keys_directory
from shared.bus.tuning import LEDGER_KEY, POSITION_KEY, checkpoint_key, fence_key, lease_key
from shared.clock import SystemClock
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from shared.ledger import LAST_SECONDS_NS
from shared.messages.control import CommandKind, Heartbeat
from shared.streams import CTL_COMMAND, EXEC_EVENT, EXEC_PLAN, SYS_HEALTH
from shared.watch.link import open_link
from tests.decision_builders import make_command
from tests.integration.processes import ServiceProcess
from tests.support import eventually, eventually_sync

CONFIG = """
[bus]
url = "{url}"
[venues.alpha]
instruments = ["BTC/USDT"]
[venues.beta]
instruments = ["BTC/USDT"]
"""
LOADING_S = 5
Act = Callable[["Drill"], None]


class Server(EmbeddedServer):
    """A server whose settings may be changed while it runs, with a user for the services."""

    slowly = False

    def command(self) -> list[str]:
        acl = self.directory / "users.acl"
        acl.write_text("user default on nopass ~* &* +@all\nuser risk on >sesame ~* &* +@all\n")
        arguments = [*super().command(), "--aclfile", str(acl), "--enable-protected-configs", "yes"]
        arguments[arguments.index("--appendonly") + 1] = "no"
        if self.slowly:
            arguments += [
                "--key-load-delay",
                "1000",
                "--loading-process-events-interval-bytes",
                "1024",
            ]
        return arguments


async def say(server: EmbeddedServer, kind: CommandKind) -> None:
    async with open_link(server.url) as link:
        await link.publish(
            make_command(kind, SystemClock.now_ns()), CTL_COMMAND, find_command_keys()
        )


class Drill:
    """Risk under a supervisor, and what an operator sees of it."""

    def __init__(self, server: Server, config: str, log: Path) -> None:
        self.server, self.config, self.log = server, config, log
        self.redis = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2)

    @property
    def starts(self) -> int:
        return self.log.read_text().count('"event":"started"')

    def mark(self, name: str) -> str:
        return (self.redis.hget(LEDGER_KEY, name) or b"").decode()

    async def status(self) -> dict[str, Any]:
        async with open_link(self.server.url) as link:
            return await status(link)

    async def risk(self) -> dict[str, Any]:
        rows = [row for row in (await self.status())["services"] if row["service"] == "risk"]
        assert len(rows) == 1
        return rows[0]

    async def is_well(self) -> bool:
        row = await self.risk()
        return row["up"] and row["ready"]

    async def obeys(self, kind: CommandKind) -> None:
        """Say a command; it counts although it was said before risk was back."""
        await say(self.server, kind)

        async def is_obeyed() -> bool:
            reason = (await self.status())["trading"]["reason"]
            return reason.startswith("OPERATOR: HALT") is (kind is CommandKind.HALT)

        await eventually(is_obeyed, timeout_s=30, what=f"{kind} obeyed")


@pytest.fixture
async def drill(tmp_path: Path) -> AsyncIterator[Drill]:
    with Server(tmp_path / "bus") as server:
        path, log = tmp_path / "arb.toml", tmp_path / "risk.log"
        config = CONFIG.format(url=server.url.replace("unix://", "unix://risk:sesame@"))
        path.write_text(config)
        environ = {"ARB_CONFIG": str(path), "PATH": "/usr/bin:/bin", "PYTHONPATH": sys.path[0]}
        environ["ARB_KEYS_DIR"] = str(keys_directory())
        supervisor = Supervisor([service_program("risk", environ, log=log)])
        await supervisor.start()
        drill = Drill(server, config, log)
        try:
            await eventually(drill.is_well, timeout_s=30, what="risk")
            yield drill
        finally:
            await supervisor.stop()
            supervisor.kill()


def forbid(word: str) -> tuple[Act, Act]:
    def change(sign: str) -> Act:
        return lambda drill: drill.redis.execute_command("ACL", "SETUSER", "risk", sign + word)

    return change("-"), change("+")


def save(drill: Drill, ends: str) -> None:
    drill.redis.bgsave()
    eventually_sync(lambda: drill.redis.info("persistence")["rdb_last_bgsave_status"] == ends)


def take_the_disk(drill: Drill) -> None:
    gone = drill.server.directory / "gone"
    gone.mkdir()
    drill.redis.config_set("save", "3600 1")
    drill.redis.config_set("dir", str(gone))
    gone.rmdir()
    save(drill, "err")


def give_the_disk_back(drill: Drill) -> None:
    drill.redis.config_set("dir", str(drill.server.directory))
    save(drill, "ok")


REFUSALS = {
    "READONLY": (
        lambda drill: drill.redis.replicaof("127.0.0.1", "1"),
        lambda drill: drill.redis.replicaof("no", "one"),
        "read-only replica",
    ),
    "MISCONF": (take_the_disk, give_the_disk_back, "cannot persist"),
    **{
        f"NOPERM {word}": (*forbid(word), f"no permissions to run the '{word}' command")
        for word in ("xadd", "set", "eval", "xreadgroup", "hset", "hgetall", "multi", "xack")
    },
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_what_redis_refuses_is_named_waited_for_and_over_when_it_is_mended(
    drill: Drill, kind: str
) -> None:
    break_it, mend, cause = REFUSALS[kind]
    starts = drill.starts
    break_it(drill)
    with contextlib.suppress(BusUnavailable):
        await say(drill.server, CommandKind.REDUCE)  # something to be saved and acknowledged
    await eventually(lambda: cause in drill.log.read_text(), timeout_s=20, what=cause)
    mend(drill)
    await drill.obeys(CommandKind.HALT)
    await eventually(drill.is_well, timeout_s=20)
    await drill.obeys(CommandKind.RESUME)
    assert drill.starts - starts <= 1, "it waits instead of being started again and again"
    assert "Traceback" not in drill.log.read_text()


async def test_a_redis_that_loads_its_data_is_named_and_waited_for(drill: Drill) -> None:
    starts = drill.starts
    with drill.redis.pipeline() as pipeline:
        for number in range(LOADING_S * 1_000):
            pipeline.set(f"filler:{number}", "x")
        pipeline.execute()
    drill.redis.save()
    drill.server.kill()
    drill.server.slowly = True
    await asyncio.to_thread(drill.server.start, 60)  # returns when everything is loaded
    await eventually(drill.is_well, timeout_s=30)
    await drill.obeys(CommandKind.HALT)
    assert "Redis is loading its data" in drill.log.read_text()
    assert drill.starts - starts <= 1


@pytest.mark.parametrize(("copy", "loss"), [("older", "s older"), ("empty", "lost its data")])
async def test_an_older_or_empty_copy_halts_risk_and_waits_for_the_executor_to_hear_it(
    drill: Drill, tmp_path: Path, copy: str, loss: str
) -> None:
    witness = ServiceProcess("scanner", tmp_path, drill.config)
    with witness:
        await eventually(lambda: events(witness, "shards_owned"), timeout_s=30)
        await eventually(lambda: drill.mark("alive_ns"), timeout_s=30)
        drill.redis.save()
        saved_ns = int(drill.mark("alive_ns"))
        await eventually(lambda: int(drill.mark("alive_ns")) > saved_ns + 2 * LAST_SECONDS_NS)
        drill.server.kill()
        if copy == "empty":
            (drill.server.directory / "dump.rdb").unlink()
        drill.server.start()

        async def is_halted() -> bool:
            trading = (await drill.status())["trading"]
            reason = trading["reason"]
            return trading["state"] == "HALTED" and "DATA_LOST: " in reason and loss in reason

        await eventually(is_halted, timeout_s=30)
        await eventually(lambda: not drill.mark("lost:risk"), timeout_s=30, what="risk heard it")
        assert loss in drill.mark("lost:executor"), "which did not run"


KEYS = [
    lease_key("risk"),
    checkpoint_key("risk"),
    checkpoint_key("risk-ledger"),
    LEDGER_KEY,
    POSITION_KEY,
    EXEC_EVENT.key(),
    EXEC_PLAN.key(),
    CTL_COMMAND.key(),
]


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_of_another_type_is_named_in_status_and_over_when_it_is_renamed(
    drill: Drill, key: str
) -> None:
    starts, kept = drill.starts, f"kept {key}"
    await drill.obeys(CommandKind.HALT)  # there is a checkpoint to be saved again
    await drill.obeys(CommandKind.RESUME)
    is_there = drill.redis.exists(key)
    with drill.redis.pipeline(transaction=True) as at_once:
        if is_there:
            at_once.rename(key, kept)
        at_once.sadd(key, "another type")
        at_once.execute()

    async def is_named() -> bool:
        found = await drill.status()
        told = [found["redis"]["problem"], *(row["reason"] for row in found["services"])]
        return any(key in text for text in told)

    if not key.startswith("{arb}:checkpoint"):  # SET replaces a key of any type
        await eventually(is_named, timeout_s=20, what=f"{key} in the status")
        with drill.redis.pipeline(transaction=True) as at_once:
            at_once.delete(key)
            if drill.redis.exists(kept):  # a lease ends by itself
                at_once.rename(kept, key)
            at_once.execute()
    await drill.obeys(CommandKind.HALT)
    await eventually(drill.is_well, timeout_s=20)
    assert drill.starts - starts <= 1
    assert "Traceback" not in drill.log.read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "bus") as running:
        yield running


def events(process: ServiceProcess, name: str) -> list[dict[str, Any]]:
    return [event for event in process.events() if event["event"] == name]


async def test_a_stopped_risk_is_replaced_and_writes_nothing_when_it_goes_on(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    config = CONFIG.format(url=server.url)
    client = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"))
    first = ServiceProcess("risk", tmp_path, config, instance="risk-a")
    second = ServiceProcess("risk", tmp_path, config, instance="risk-b")
    with first:
        eventually_sync(lambda: events(first, "lease_held"), timeout_s=30)
        eventually_sync(lambda: client.exists(checkpoint_key("risk")), timeout_s=30)
        with second:
            eventually_sync(lambda: events(second, "standby"), timeout_s=30)
            first.process.send_signal(signal.SIGSTOP)
            eventually_sync(lambda: events(second, "lease_held"), timeout_s=30)
            await say(server, CommandKind.HALT)

            def is_halted() -> bool:
                saved = json.loads(client.get(checkpoint_key("risk")) or b"{}")
                return saved["trading"]["level"] == "HALTED"

            eventually_sync(is_halted, timeout_s=30)
            first.process.send_signal(signal.SIGCONT)
            eventually_sync(lambda: events(first, "standby"), timeout_s=30)
            (lost,) = events(first, "lease_lost")
            assert "lease risk ran out" in lost["reason"]
            assert "this process was stopped" in lost["reason"]
            assert is_halted(), "it did not save what it still thought"
            assert not events(second, "data_lost")
            assert second.process.poll() is None


async def test_a_stopped_executor_is_replaced_by_one_that_was_ready_and_says_nothing_more(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    config = CONFIG.format(url=server.url)
    client = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"))
    first, second = (
        ServiceProcess("executor", tmp_path, config, instance=f"executor-{name}") for name in "ab"
    )

    async def is_standby() -> bool:
        async with open_link(server.url) as link:
            beats = [item.message for item in await link.newest(SYS_HEALTH, count=20)]
        heard = [b for b in beats if isinstance(b, Heartbeat) and b.instance == "executor-b"]
        return (
            bool(heard) and heard[-1].ready and heard[-1].reason.startswith("standby: executor-a")
        )

    with first:
        eventually_sync(lambda: events(first, "lease_held"), timeout_s=60)
        with second:
            await eventually(is_standby, timeout_s=60, what="a standby that is ready")
            assert client.get(fence_key("executor")).startswith(b"1 executor-a@")
            first.process.send_signal(signal.SIGSTOP)
            eventually_sync(lambda: events(second, "lease_held"), timeout_s=30)
            assert client.get(fence_key("executor")).startswith(b"2 executor-b@")
            first.process.send_signal(signal.SIGCONT)
            eventually_sync(lambda: events(first, "standby"), timeout_s=30)
            (lost,) = events(first, "lease_lost")
            assert "lease executor ran out" in lost["reason"]
            assert client.get(fence_key("executor")).startswith(b"2 executor-b@")
            second.end(signal.SIGKILL)
            eventually_sync(lambda: len(events(first, "lease_held")) == 2, timeout_s=30)
            assert client.get(fence_key("executor")).startswith(b"3 executor-a@")
            assert first.process.poll() is None


async def test_two_processes_of_one_name_are_both_seen_and_a_restarted_one_once(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    config = CONFIG.format(url=server.url)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (ServiceProcess("risk", folder, config) for folder in folders)

    async def pids() -> list[int]:
        async with open_link(server.url) as link:
            found = await status(link)
        assert all(row["instance"] == "risk-1" and row["host"] for row in found["services"])
        return sorted(row["pid"] for row in found["services"] if row["up"])

    with one:
        await eventually(lambda: events(one, "lease_held"), timeout_s=30)
        with two:
            both = sorted([one.process.pid, two.process.pid])
            await eventually(lambda: pids_are(pids, both), timeout_s=30)
            one.end(signal.SIGKILL)
            await eventually(lambda: events(two, "lease_held"), timeout_s=30)
        one.start()
        await eventually(lambda: pids_are(pids, [one.process.pid]), timeout_s=30)


async def pids_are(pids: Callable[[], Any], wanted: list[int]) -> bool:
    return await pids() == wanted
