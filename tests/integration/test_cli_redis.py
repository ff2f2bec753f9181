"""The command line on a Redis in trouble, of the wrong kind, or behind TLS: it says which."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.embedded import EmbeddedServer
from shared.messages.base import TradingState
from shared.messages.execution import TradingStateChanged
from shared.watch.link import open_link
from tests.integration.test_cli import GOOD, arb, arb_meanwhile, beat, environment, say
from tests.support import ROOT, eventually_sync


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "bus") as running:
        yield running


def admin(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2)


def refuse_for_memory(server: EmbeddedServer) -> None:
    admin(server).config_set("maxmemory", "1")


def make_a_replica(server: EmbeddedServer) -> None:
    admin(server).replicaof("127.0.0.1", "1")


TROUBLES = [(refuse_for_memory, "out of memory"), (make_a_replica, "replica of 127.0.0.1:1")]


@pytest.mark.parametrize(("trouble", "cause"), TROUBLES)
async def test_status_names_why_redis_takes_nothing(
    server: EmbeddedServer, trouble, cause: str
) -> None:
    async with open_link(server.url) as link:
        old = TradingStateChanged(ts_ns=1, state=TradingState.ACTIVE, reason="", ts_since_ns=1)
        await say(link, old, beat("risk", ts_ns=1))
    trouble(server)
    done = await arb_meanwhile("status", "--redis", server.url)
    assert done.returncode == 1
    assert cause in done.stdout.splitlines()[0]
    assert "trading unknown (risk has been silent" in done.stdout
    assert "its last state was ACTIVE" in done.stdout
    found = json.loads((await arb_meanwhile("status", "--json", "--redis", server.url)).stdout)
    assert cause in found["redis"]["problem"]
    assert (found["well"], found["trading"]["state"]) == (False, "unknown")


@pytest.mark.parametrize(("trouble", "cause"), TROUBLES)
def test_a_command_that_redis_does_not_take_says_what_to_do(
    server: EmbeddedServer, trouble, cause: str
) -> None:
    trouble(server)
    done = arb("halt", "--redis", server.url)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert cause.partition(" of")[0] in done.stderr
    assert "stop the executor" in done.stderr
    admin(server).replicaof("no", "one")
    admin(server).config_set("maxmemory", "0")
    assert not admin(server).xlen("{arb}:ctl.command")


class UnsavedServer(EmbeddedServer):
    """A server that saves by snapshots, into a folder that can be taken away."""

    def command(self) -> list[str]:
        arguments = super().command()
        gone = self.directory / "data"
        gone.mkdir(exist_ok=True)
        arguments[arguments.index("--dir") + 1] = str(gone)
        arguments[arguments.index("--appendonly") + 1] = "no"
        arguments[arguments.index("--save") + 1] = "3600 1"
        return arguments


def test_a_disk_that_takes_nothing_is_not_a_redis_that_is_away(tmp_path: Path) -> None:
    with UnsavedServer(tmp_path / "bus") as server:
        client = admin(server)
        (server.directory / "data").rmdir()
        client.bgsave()
        eventually_sync(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        done = arb("status", "--redis", server.url)
        assert "cannot persist" in done.stdout.splitlines()[0], done
        assert "cannot reach" not in done.stderr
        done = arb("halt", "--redis", server.url)
        assert "cannot persist" in done.stderr
        assert "start it" not in done.stderr


async def test_looking_whether_redis_takes_writes_writes_nothing(server: EmbeddedServer) -> None:
    async with open_link(server.url) as link:
        assert await link.why_no_writes() == ""
    assert admin(server).dbsize() == 0


class ClusterServer(EmbeddedServer):
    """A node of a cluster."""

    def command(self) -> list[str]:
        return [*super().command(), "--cluster-enabled", "yes"]


class SentinelServer(EmbeddedServer):
    """A Sentinel."""

    def command(self) -> list[str]:
        path = self.directory / "sentinel.conf"
        path.write_text(f"port 0\nunixsocket {self.url.removeprefix('unix://')}\n")
        return [super().command()[0], str(path), "--sentinel"]


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [(ClusterServer, "Cluster is not supported"), (SentinelServer, "give redis+sentinel://")],
)
def test_a_server_of_another_kind_is_one_line_everywhere(
    tmp_path: Path, kind: type[EmbeddedServer], complaint: str
) -> None:
    with kind(tmp_path / "bus") as server:
        config = tmp_path / "arb.toml"
        config.write_text(f'[bus]\nurl = "{server.url}"\n' + GOOD)
        environ = environment(ARB_CONFIG=str(config))
        for arguments in (
            ["services.cli.main", "status"],
            ["services.cli.main", "halt"],
            ["services.cli.main", "up"],
            ["services.scanner"],
            ["services.risk"],
            ["services.executor"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                env=environ,
                cwd=ROOT,
            )
            output = [line for line in done.stderr.splitlines() if not line.startswith("{")]
            assert (done.returncode, len(output)) == (2, 1), done.stderr
            assert complaint in output[0]


def test_every_table_is_whole_at_80_columns(server: EmbeddedServer) -> None:
    client = admin(server)
    for number in range(3):
        client.hset("{arb}:position", f"orderbook:orderbook-{number}:{{0}}:md.book", "1-1")
    for columns in ("80", "120"):
        done = subprocess.run(
            [sys.executable, "-m", "services.cli.main", "status", "--redis", server.url],
            capture_output=True,
            text=True,
            timeout=60,
            env={**environment(), "COLUMNS": columns},
        )
        assert "…" not in done.stdout
        for name in ("{arb}:arb.opportunity", "{arb}:md.instrument", "orderbook:orderbook-2="):
            assert name in done.stdout
        assert re.search(r"\{0\}:md\.book +0 +20000 +\d+ ", done.stdout)


@pytest.mark.containers
def test_the_command_line_works_over_tls_where_the_services_do(tmp_path: Path) -> None:
    from testcontainers.core.container import DockerContainer

    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout key.pem -out cert.pem "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    tmp_path.chmod(0o755)
    (tmp_path / "key.pem").chmod(0o644)
    container = (
        DockerContainer("redis:8")
        .with_volume_mapping(str(tmp_path), "/tls", "ro")
        .with_bind_ports(6380, None)
        .with_command(
            "redis-server --port 0 --tls-port 6380 --tls-cert-file /tls/cert.pem "
            "--tls-key-file /tls/key.pem --tls-auth-clients no --requirepass sesame"
        )
    )
    authority = str(tmp_path / "cert.pem")
    with container:
        url = f"rediss://:sesame@127.0.0.1:{container.get_exposed_port(6380)}/0"
        config = tmp_path / "own.toml"
        config.write_text(f'[bus]\nurl = "{url}"\ntls_ca_file = "{authority}"\n' + GOOD)
        (tmp_path / "arb.toml").write_text(config.read_text())
        ways: list[tuple[list[str], dict[str, str], Path]] = [
            ([], {}, tmp_path),
            ([], {"ARB_CONFIG": str(config)}, ROOT),
            (["--redis", url], {"ARB_CONFIG": str(config)}, ROOT),
            (["--redis", f"{url}?ssl_ca_certs={authority}"], {}, ROOT),
            ([], {"ARB_REDIS_URL": url, "ARB_REDIS_TLS_CA_FILE": authority}, ROOT),
        ]
        eventually_sync(
            lambda: arb("latency", cwd=tmp_path).returncode == 0, timeout_s=30, what="Redis"
        )
        for arguments, environ, cwd in ways:
            for command in ("status", "books", "latency", "halt"):
                done = arb(command, *arguments, cwd=cwd, **environ)
                assert "CERTIFICATE" not in done.stderr and not done.stderr, (
                    arguments,
                    done.stderr,
                )
                assert "sesame" not in done.stdout
        done = arb("status", "--redis", url)
        assert done.returncode == 1
        assert "certificate" in done.stderr.lower()
