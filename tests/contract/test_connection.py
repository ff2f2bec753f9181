"""Ways to reach Redis: TLS, passwords, users, unix sockets; and what a refusal looks like."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared import streams
from shared.bus.address import Endpoint
from shared.bus.connection import RedisLink, reply_error
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.bus.redis_streams import RedisBus
from shared.bus.tuning import TUNING
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import Alert, Command, CommandKind, Severity
from tests.executor_model import make_plan
from tests.ports import free_ports
from tests.support import eventually

EXAMPLE_PLAN = make_plan()


def command(number: int) -> Command:
    return Command(ts_ns=number, command_id=f"c{number}", kind=CommandKind.HALT, operator="t")


def test_errors_are_told_by_their_code() -> None:
    error = reply_error("OOM command not allowed when used memory > 'maxmemory'.")
    assert error.code == "OOM"
    assert "out of memory" in str(error)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path) as started:
        yield started


async def admin(server: EmbeddedServer, *args: str) -> None:
    link = RedisLink(Endpoint(BusConfig(url=server.url)), TUNING)
    await link.call(*args)
    await link.drop()


async def test_a_user_and_a_password_from_the_environment(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await admin(server, "ACL", "SETUSER", "risk", "on", ">sesame", "+@all", "~*")
    secret = tmp_path / "password"
    secret.write_text("sesame\n")
    monkeypatch.setenv("ARB_REDIS_USERNAME", "risk")
    monkeypatch.setenv("ARB_REDIS_PASSWORD_FILE", str(secret))
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    await bus.publish([command(1)])
    await bus.close()
    secret.write_text("wrong")
    with pytest.raises(ConfigError, match=r"refuses the login.*ARB_REDIS_PASSWORD"):
        await open_bus(BusConfig(url=server.url), service="risk", instance="r1")


async def test_a_user_who_may_not_publish_is_told_so(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin(server, "ACL", "SETUSER", "scanner", "on", ">s", "+ping", "+xadd", "~{arb}:alert")
    monkeypatch.setenv("ARB_REDIS_USERNAME", "scanner")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "s")
    bus = await open_bus(BusConfig(url=server.url), service="scanner", instance="s1")
    with pytest.raises(BusUnavailable, match="does not permit"):
        await bus.publish([command(1)])
    await bus.close()


async def test_full_memory_is_an_error_with_its_reason_and_passes(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    await admin(server, "CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(BusUnavailable, match="out of memory"):
        await bus.publish([command(1)])
    await admin(server, "CONFIG", "SET", "maxmemory", "0")
    await bus.publish([command(1)])
    await bus.close()


async def test_an_unconfirmed_failure_surfaces_at_a_call_soon_after(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    await admin(server, "SET", "{arb}:ctl.command", "not a stream")
    await bus.commit(None, [command(1)])

    with pytest.raises(BusUnavailable, match="WRONGTYPE"):
        for _ in range(100):
            await asyncio.sleep(0.01)
            await bus.commit(None, [command(2)])
    await bus.close()


async def test_an_idle_connection_that_was_closed_is_made_again(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    await admin(server, "CLIENT", "KILL", "TYPE", "normal")
    await asyncio.sleep(0.05)
    await bus.publish([command(1)])
    assert (await bus.stats())["reconnects"] == 1
    await bus.close()


async def test_what_is_in_flight_is_bounded(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    for number in range(5_000):
        await bus.commit(None, [command(number)])
        assert bus.in_flight <= TUNING.in_flight_max
    await bus.publish([command(5_000)])
    assert bus.in_flight == 0
    await bus.close()


@pytest.mark.parametrize("service", ["orderbook", "risk"])
async def test_replies_that_nobody_waits_for_are_taken_soon(
    server: EmbeddedServer, service: str
) -> None:
    bus = await open_bus(BusConfig(url=server.url), service=service, instance="i1")
    for number in range(3):
        await bus.commit(None, [command(number)])
    await eventually(lambda: bus.in_flight == 0)
    await bus.commit(None, [command(3)])
    await bus.publish([command(4)])  # waits for its own reply, and so for those before it
    assert bus.in_flight == 0
    await bus.close()


async def test_a_connection_closed_while_replies_lie_unread_is_made_again(
    server: EmbeddedServer,
) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="orderbook", instance="i1")
    await bus.commit(None, [command(1)])
    await admin(server, "CLIENT", "KILL", "TYPE", "normal")

    async def is_back() -> bool:
        try:
            await bus.publish([command(2)])
        except BusUnavailable:
            return False
        return (await bus.stats())["reconnects"] >= 1

    await eventually(is_back)
    await bus.close()


async def test_waiting_for_redis_is_said_but_not_too_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(tmp_path)
    opening = asyncio.create_task(open_bus(BusConfig(url=server.url), service="x", instance="x"))
    with caplog.at_level(logging.WARNING):
        await asyncio.sleep(0.5)
        assert [record.getMessage() for record in caplog.records] == ["bus_waiting"]
    server.start()
    bus = await asyncio.wait_for(opening, 10)
    await bus.close()
    server.stop()


@pytest.mark.containers
async def test_tls(tmp_path: Path) -> None:
    from testcontainers.core.container import DockerContainer

    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    tmp_path.chmod(0o755)
    (tmp_path / "key.pem").chmod(0o644)
    (port,) = free_ports(1)
    container = (
        DockerContainer("redis:8")
        .with_volume_mapping(str(tmp_path), "/tls", "ro")
        .with_bind_ports(6380, port)
        .with_command(
            "redis-server --port 0 --tls-port 6380 --tls-cert-file /tls/cert.pem "
            "--tls-key-file /tls/key.pem --tls-auth-clients no --requirepass sesame"
        )
    )
    with container:
        url = f"rediss://:sesame@127.0.0.1:{port}/0"
        config = BusConfig(url=url, tls_ca_file=str(tmp_path / "cert.pem"))
        bus = await asyncio.wait_for(open_bus(config, service="risk", instance="r1"), 30)
        inbox = await bus.open_inbox(
            [Input(streams.CTL_COMMAND), Input(streams.ALERT)], service="risk", instance="r1"
        )
        await bus.publish([command(n) for n in range(300)])
        batch = await inbox.read(5)
        assert len(batch.messages) == 300
        await inbox.close()
        await bus.close()
        stranger = RedisBus(BusConfig(url=url), service="risk", instance="r2")
        with pytest.raises(BusUnavailable, match=r"(?i)certificate"):
            await stranger.connect()


async def test_a_key_of_the_wrong_type_is_waited_for_and_nothing_is_done_twice(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In a transaction Redis does the other parts: only what it refused is asked for again."""
    key = streams.EXEC_PLAN.key()
    await admin(server, "SET", key, "not a stream")
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    alert = Alert(ts_ns=1, service="risk", severity=Severity.INFO, code="TEST", text="test")
    commit = asyncio.create_task(
        bus.commit(None, [alert, EXAMPLE_PLAN], checkpoints={"risk": b"state"})
    )
    await eventually(lambda: any(r.message == "bus_refused" for r in caplog.records))
    (record,) = [r for r in caplog.records if r.message == "bus_refused"][:1]
    assert record.keys == [key]
    assert "WRONGTYPE" in record.reason
    assert not commit.done()
    await admin(server, "DEL", key)
    async with asyncio.timeout(5):
        await commit
    link = RedisLink(Endpoint(BusConfig(url=server.url)), TUNING)
    assert await link.call("XLEN", key) == 1
    assert await link.call("XLEN", streams.ALERT.key()) == 1
    assert await bus.load_checkpoint("risk") == b"state"
    await link.drop()
    await bus.close()


async def test_a_full_memory_is_waited_for(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    await admin(server, "CONFIG", "SET", "maxmemory", "1")
    commit = asyncio.create_task(bus.commit(None, [command(1)], checkpoints={"risk": b"state"}))
    await asyncio.sleep(0.7)
    assert not commit.done()
    await admin(server, "CONFIG", "SET", "maxmemory", "0")
    async with asyncio.timeout(5):
        await commit
    link = RedisLink(Endpoint(BusConfig(url=server.url)), TUNING)
    assert await link.call("XLEN", streams.CTL_COMMAND.key()) == 1
    await link.drop()
    await bus.close()


@pytest.mark.parametrize("spec", [streams.CTL_COMMAND, streams.MD_DEPTH], ids=lambda s: s.name)
async def test_an_input_of_the_wrong_type_is_waited_for(
    server: EmbeddedServer, spec: streams.StreamSpec
) -> None:
    await admin(server, "SET", spec.key(), "not a stream")
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    opening = asyncio.create_task(bus.open_inbox([Input(spec)], service="risk", instance="r1"))
    await asyncio.sleep(0.3)
    assert not opening.done()
    await admin(server, "DEL", spec.key())
    async with asyncio.timeout(5):
        inbox = await opening
    await inbox.read(0.05)
    await admin(server, "DEL", spec.key())
    await admin(server, "SET", spec.key(), "again")
    if spec is streams.MD_DEPTH:
        await inbox.read(1.5)
    await inbox.close()
    await bus.close()


async def test_a_checkpoint_of_the_wrong_type_is_waited_for(server: EmbeddedServer) -> None:
    await admin(server, "RPUSH", "{arb}:checkpoint:risk", "x")
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    loading = asyncio.create_task(bus.load_checkpoint("risk"))
    await asyncio.sleep(0.2)
    assert not loading.done()
    await admin(server, "DEL", "{arb}:checkpoint:risk")
    async with asyncio.timeout(5):
        assert await loading is None
    await bus.close()


async def test_a_reader_of_market_data_waits_for_a_redis_that_stays_away(
    server: EmbeddedServer,
) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="scanner", instance="s1")
    server.kill()
    opening = asyncio.create_task(
        bus.open_inbox([Input(streams.MD_DEPTH)], service="scanner", instance="s1")
    )
    await asyncio.sleep(1)
    assert not opening.done()
    server.start()
    async with asyncio.timeout(10):
        await (await opening).close()
    await bus.close()


async def test_positions_that_are_refused_keep_nothing_else_from_being_written(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """They were the reason for which market data was lost and the executor started again."""
    await admin(server, "SET", "{arb}:position", "of another type")
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
    for number in range(600):  # more than the optional replies remembered
        await bus.note_positions({"risk:r1:x": f"{number}-1"})
        await bus.commit(None, [command(number)], checkpoints={"risk": b"%d" % number})
    await bus.publish([command(600)])
    await bus.note_positions({"risk:r1:x": "601-1"})
    assert await bus.load_checkpoint("risk") == b"599"
    assert (await bus.stats())["reconnects"] == 0
    link = RedisLink(Endpoint(BusConfig(url=server.url)), TUNING)
    assert await link.call("XLEN", streams.CTL_COMMAND.key()) == 601
    refused = [record for record in caplog.records if record.message == "position_refused"]
    assert 1 <= len(refused) <= 3
    await link.drop()
    await bus.close()


async def test_a_key_of_another_type_is_named(server: EmbeddedServer) -> None:
    await admin(server, "SADD", "{arb}:lease:risk", "of another type")
    await admin(server, "SADD", "{arb}:ledger", "of another type")
    bus = RedisBus(BusConfig(url=server.url), service="risk", instance="r1")
    with pytest.raises(BusUnavailable, match=r"\(key \{arb\}:lease:risk\)"):
        await bus.hold_lease("risk", "r1", 1_000)
    asking = asyncio.create_task(bus.marks())
    await eventually(lambda: "(key {arb}:ledger)" in bus.problem)
    await admin(server, "DEL", "{arb}:ledger")
    assert await asyncio.wait_for(asking, 5) == {}
    assert not bus.problem
    await bus.close()


async def test_a_server_that_stands_still_at_the_login_is_given_up(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel takes the connection all the same."""
    await admin(server, "ACL", "SETUSER", "risk", "on", ">sesame", "+@all", "~*")
    monkeypatch.setenv("ARB_REDIS_USERNAME", "risk")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "sesame")
    link = RedisLink(Endpoint(BusConfig(url=server.url)), replace(TUNING, answer_s=0.2))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(BusUnavailable):
                await link.connect()
    finally:
        os.kill(server.pid, signal.SIGCONT)
