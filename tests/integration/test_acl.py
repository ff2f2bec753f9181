"""Redis' users on a real server: each service can do its work, and nothing of another's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.acl import (
    FILE,
    GROUP_RULES,
    HEALTH,
    OPERATOR,
    RELOAD,
    REPLICA,
    USERS,
    WATCHER,
    keys,
    render,
)
from deploy.passwords import digest
from services.dashboard import requests as dashboard_requests
from services.dashboard.requests import DecisionsRead, ReadDecisions
from services.dashboard.transport import RedisReader as DashboardReader
from services.recorder.ledger import FOLLOWED
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.engine import Result
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import Alert, CommandKind, Severity
from shared.metrics.reader import Reader
from shared.metrics.requests import BooksRead, ReadBooks, ReadStreams, StreamsRead
from shared.services import SERVICE_NAMES, followers_of
from shared.streams import ALERT, ALL, ANYONE, CTL_COMMAND, EXEC_PLAN, MD_BOOK, Delivery
from shared.watch.link import Target, open_link
from shared.watch.operate import command


class GuardedServer(EmbeddedServer):
    """An embedded server that knows our users; each one's password is its name."""

    probe = f"AUTH {HEALTH} any\r\nPING\r\n".encode()

    def command(self) -> list[str]:
        path = self.directory / "users.acl"
        path.write_text(render({u: (digest(u),) for u in USERS}))
        return [*super().command(), "--aclfile", str(path)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with GuardedServer(tmp_path_factory.mktemp("acl")) as server:
        yield server


def client(server: GuardedServer, user: str | None) -> redis.Redis:
    path = server.url.removeprefix("unix://")
    return redis.Redis(unix_socket_path=path, username=user, password=user, protocol=2)


def allowed(call, *arguments) -> bool:
    try:
        call(*arguments)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.exceptions.ResponseError as error:
        assert "NOPERM" not in str(error)
    return True


@pytest.mark.parametrize("user", USERS)
def test_who_may_write_which_stream(server: GuardedServer, user: str) -> None:
    with client(server, user) as r:
        for spec in ALL:
            may = allowed(r.execute_command, "XADD", spec.key(), "*", "m", "x")
            assert may == (
                user in {spec.producer, spec.also} or (spec.producer == ANYONE and user != OPERATOR)
            ), f"{user} on {spec.name}"


@pytest.mark.parametrize("user", USERS)
def test_who_may_read_which_stream(server: GuardedServer, user: str) -> None:
    with client(server, user) as r:
        for spec in ALL:
            may = allowed(r.execute_command, "XREAD", "STREAMS", spec.key(), "0")
            reads = user in spec.consumers and spec.delivery is Delivery.LATEST
            reads = reads or user in followers_of(spec.name)
            assert may == (reads or user == OPERATOR), f"{user} on {spec.name}"
            may = allowed(r.execute_command, "XACK", spec.key(), "g", "1-1")
            assert may == (user in spec.consumers and spec.delivery is Delivery.DURABLE)


@pytest.mark.parametrize("user", [*USERS, HEALTH])
def test_nobody_may_administer_or_destroy(server: GuardedServer, user: str | None) -> None:
    commands = [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
        ("KEYS", "*"),
        ("DEL", "{arb}:exec.plan"),
        ("SET", "{arb}:checkpoint:someone", "x"),
        ("MONITOR",),
        ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "{arb}:exec.plan"),
    ]
    with client(server, user) as r:
        for command in commands:
            assert not allowed(r.execute_command, *command), f"{user}: {command[0]}"


def test_without_a_password_only_ping_works(server: GuardedServer) -> None:
    with client(server, HEALTH) as r:
        assert r.execute_command("PING")
        assert not allowed(r.execute_command, "XREAD", "STREAMS", "{arb}:alert", "0")
    with client(server, None) as r, pytest.raises(redis.exceptions.AuthenticationError):
        r.execute_command("PING")


async def test_the_recorder_may_ask_what_the_ledger_needs(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", "recorder")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "recorder")
    async with open_link(Target(BusConfig(url=server.url))) as link:
        pages = await link.pages({key: (spec, "0-0") for key, spec in FOLLOWED.items()}, 10)
        await link.publish(
            Alert(ts_ns=1, service="recorder", severity=Severity.INFO, code="TEST", text=""), ALERT
        )
    assert pages.keys() == FOLLOWED.keys()


@pytest.mark.parametrize("user", ["exporter", "notifier"])
async def test_who_measures_may_read_every_streams_size_and_change_none(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", user)
    monkeypatch.setenv("ARB_REDIS_PASSWORD", user)
    reader = Reader(Target(BusConfig(url=server.url)), 2, 500, asyncio.create_task)
    told: asyncio.Queue[Result] = asyncio.Queue()
    reader.carry_out(ReadStreams(), told.put_nowait)
    reader.carry_out(ReadBooks(), told.put_nowait)
    streams, books = await told.get(), await told.get()
    await reader.close()
    assert isinstance(streams, StreamsRead), streams
    assert streams.sizes.keys() == {spec.name for spec in ALL}
    assert isinstance(books, BooksRead), books
    with client(server, user) as r:
        for spec in (EXEC_PLAN, CTL_COMMAND, MD_BOOK):
            assert not allowed(r.execute_command, "XADD", spec.key(), "*", "m", "x")
            assert not allowed(r.execute_command, "XTRIM", spec.key(), "MAXLEN", "0")


async def test_the_dashboard_reads_what_it_shows_and_commands_nothing(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", "dashboard")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "dashboard")
    reader = DashboardReader(Target(BusConfig(url=server.url)), 2, asyncio.create_task)
    told: asyncio.Queue[Result] = asyncio.Queue()
    reader.carry_out(ReadDecisions(), told.put_nowait)
    decisions = await told.get()
    reader.carry_out(dashboard_requests.ReadStreams(), told.put_nowait)
    streams = await told.get()
    await reader.close()
    assert isinstance(decisions, DecisionsRead), decisions
    assert isinstance(streams, dashboard_requests.StreamsRead), streams
    with client(server, "dashboard") as r:
        for spec in (EXEC_PLAN, CTL_COMMAND, MD_BOOK):
            assert not allowed(r.execute_command, "XADD", spec.key(), "*", "m", "x")
            assert not allowed(r.execute_command, "XTRIM", spec.key(), "MAXLEN", "0")


async def test_a_dashboard_with_the_operators_login_gives_commands(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", "dashboard")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "dashboard")
    target = Target(BusConfig(url=server.url), login="DASHBOARD_")
    async with open_link(target) as link:
        with pytest.raises(BusUnavailable, match="could not be sent"):
            await command(link, CommandKind.HALT, "test", within_s=0.1)
    monkeypatch.setenv("ARB_DASHBOARD_REDIS_USERNAME", OPERATOR)
    monkeypatch.setenv("ARB_DASHBOARD_REDIS_PASSWORD", OPERATOR)
    async with open_link(target) as link:
        result = await command(link, CommandKind.HALT, "test", within_s=0.1)
    assert (result.is_kept, result.sent) == (True, 1)


async def test_transactions_outlive_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis replays them as user "default"; the compose test asks the same of Redis 8."""
    monkeypatch.setenv("ARB_REDIS_USERNAME", "risk")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "risk")
    alert = Alert(ts_ns=1, service="risk", severity=Severity.INFO, code="TEST", text="test")
    with GuardedServer(tmp_path) as server:
        bus = await open_bus(BusConfig(url=server.url), service="risk", instance="one")
        await bus.commit(None, [alert], checkpoints={"risk": b"state"})
        await bus.close()
        server.kill()
        server.start()
        bus = await open_bus(BusConfig(url=server.url), service="risk", instance="one")
        assert await bus.load_checkpoint("risk") == b"state"
        await bus.close()
        with client(server, OPERATOR) as r:
            assert r.xlen("{arb}:alert") == 1


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_service_can_do_all_its_work(
    server: GuardedServer, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", service)
    monkeypatch.setenv("ARB_REDIS_PASSWORD", service)
    bus = await open_bus(BusConfig(url=server.url), service=service, instance="one")
    inputs = [Input(spec) for spec in ALL if service in spec.consumers]
    inbox = await bus.open_inbox(inputs, service=service, instance="one", exclusive=True)
    alert = Alert(ts_ns=1, service=service, severity=Severity.INFO, code="TEST", text="test")
    await bus.publish([alert])
    await bus.commit(None, [alert], checkpoints={service: b"state"})
    assert await bus.load_checkpoint(service) == b"state"
    await bus.note_positions({f"{service}:one:x": "1-1"})
    await bus.mark({"id": "one", "lost:risk": "all"}, only_new=True)
    await bus.mark({"alive_ns": "1"})
    await bus.unmark("lost:risk")
    assert (await bus.marks())["id"] == "one"
    assert await bus.hold_lease(service, "one", 1_000)
    await bus.release_lease(service, "one")
    assert await bus.join_members(service, "one", 1_000) == ["one"]
    await bus.leave_members(service, "one")
    await inbox.read(0.05)
    await inbox.close()
    await bus.close()


async def test_a_wrong_password_is_said_and_not_waited_for(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARB_REDIS_USERNAME", "risk")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "wrong")
    with pytest.raises(ConfigError, match="refuses the login"):
        async with asyncio.timeout(5):
            await open_bus(BusConfig(url=server.url), service="risk", instance="one")


def test_the_shown_file_is_current() -> None:
    assert Path(FILE).read_text(encoding="utf-8") == render(), "run: python -m deploy.acl"


def test_patterns_cover_every_shard() -> None:
    for spec in ALL:
        pattern = keys(spec).replace("*", "3")
        assert pattern == spec.key(3)


def test_a_group_has_two_users_more_and_nobody_else_their_rights() -> None:
    """Servers follow the primary and Sentinels command both: only where there is a group."""
    digests = {user: (digest(user),) for user in (*USERS, RELOAD, *GROUP_RULES)}
    text = render(digests)
    lines = {line.split()[1]: line for line in text.splitlines()}
    assert set(lines) == {"default", HEALTH, *USERS, RELOAD, REPLICA, WATCHER}
    assert {name for name, line in lines.items() if "+psync" in line} == {REPLICA}
    assert {name for name, line in lines.items() if "+slaveof" in line} == {WATCHER}
    assert not {REPLICA, WATCHER} & {line.split()[1] for line in render().splitlines()}
