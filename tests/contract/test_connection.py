"""Ways to reach Redis: TLS, passwords, users, unix sockets; and what a refusal looks like."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import streams
from shared.bus import open_bus
from shared.bus.address import Endpoint
from shared.bus.connection import Link, reply_error
from shared.bus.port import Input
from shared.bus.redis_streams import RedisBus
from shared.bus.tuning import TUNING
from shared.config import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable, ConfigError
from shared.messages.control import Command, CommandKind


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
    link = Link(Endpoint(BusConfig(url=server.url)), TUNING)
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


async def test_an_unconfirmed_failure_surfaces_at_the_next_call(server: EmbeddedServer) -> None:
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
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    tmp_path.chmod(0o755)
    (tmp_path / "key.pem").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
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
