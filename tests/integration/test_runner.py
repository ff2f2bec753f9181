"""The runner as a process: exit codes, signals, health, and the loss of Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.lease_terms import TTL_MS
from shared.messages.base import Message
from shared.messages.control import Command, CommandKind
from shared.messages.market import ResyncRequest
from shared.watch.link import open_link
from tests.support import ROOT, eventually


class Running:
    """A process of ``runner_service`` and what it says."""

    def __init__(self, kind: str, directory: Path, url: str, config: str, *flags: str) -> None:
        path = directory / "arb.toml"
        path.write_text(config)
        self._log = directory / f"{kind}.log"
        env = {**os.environ, "ARB_CONFIG": str(path), "ARB_REDIS_URL": url, "ARB_INSTANCE": "r1"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *flags, "-m", "tests.integration.runner_service", kind],
                cwd=ROOT,
                env=env,
                stderr=log,
            )

    def output(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def probe(self, path: str) -> tuple[int, str]:
        (started,) = await eventually(lambda: self.events("started"))
        url = f"http://127.0.0.1:{started['http_port']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def is_ready(self) -> bool:
        return (await self.probe("/readyz"))[0] == 200

    async def exit_code(self) -> int:
        await eventually(lambda: self.process.poll() is not None, what="the process ends")
        return self.process.returncode


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    yield made
    made.stop()


@pytest.fixture
def start(tmp_path: Path, server: EmbeddedServer) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def _start(kind: str, config: str = "", *flags: str) -> Running:
        started.append(Running(kind, tmp_path, server.url, config, *flags))
        return started[-1]

    yield _start
    for running in started:
        running.process.kill()
        running.process.wait()


async def publish(server: EmbeddedServer, message: Message) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
    await bus.publish([message])
    await bus.close()


def resync(number: int) -> ResyncRequest:
    return ResyncRequest(ts_ns=0, venue="v", instrument=f"I{number}/X", epoch=1, reason="")


async def heard(server: EmbeddedServer) -> int:
    """Return what the service's newest heartbeat says it has heard, -1 without one."""
    async with open_link(server.url) as link:
        beats: list[Any] = [item.message for item in await link.newest(streams.SYS_HEALTH, count=1)]
    return beats[-1].counters.get("heard", -1) if beats else -1


async def test_it_waits_for_redis_says_so_and_ends_in_order(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    running = start("latest")
    await eventually(lambda: running.events("bus_waiting"))
    assert (await running.probe("/readyz"))[0] == 503
    assert (await running.probe("/healthz"))[0] == 200
    server.start()
    await eventually(running.is_ready)
    running.process.send_signal(signal.SIGTERM)
    assert await running.exit_code() == 0


async def test_it_ends_while_waiting_for_redis(start: Callable[..., Running]) -> None:
    running = start("latest")
    await eventually(lambda: running.events("bus_waiting"))
    running.process.send_signal(signal.SIGINT)
    assert await running.exit_code() == 0


async def test_a_latest_service_survives_the_death_of_redis(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    server.start()
    running = start("latest")
    await eventually(running.is_ready)
    await publish(server, resync(1))
    await eventually(lambda: _equals(heard(server), 1))
    server.kill()
    server.start()
    await eventually(lambda: _publishes_until_heard(server))
    assert running.process.poll() is None


async def _equals(value: Any, expected: int) -> bool:
    return bool(await value == expected)


async def _publishes_until_heard(server: EmbeddedServer) -> bool:
    await publish(server, resync(2))
    return await heard(server) >= 2


async def test_a_durable_service_ends_when_redis_dies(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    server.start()
    running = start("durable")
    await eventually(running.is_ready)
    server.kill()
    assert await running.exit_code() == 1
    (failed,) = running.events("service_failed")
    assert "unreachable" in failed["reason"]


async def test_a_service_that_lost_its_lease_goes_on_in_the_same_process(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    server.start()
    running = start("leased")
    await eventually(running.is_ready)
    for times in (1, 2):
        running.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(TTL_MS / 1_000 + 0.2)
        running.process.send_signal(signal.SIGCONT)
        await eventually(partial(has_held, running, times + 1), timeout_s=30)
        assert len(running.events("lease_lost")) == times
    assert "ran out" in running.events("lease_lost")[0]["reason"]
    await publish(server, resync(1))
    await eventually(lambda: _publishes_until_heard(server))
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    assert await running.exit_code() == 0


def has_held(running: Running, times: int) -> bool:
    return len(running.events("lease_held")) == times


async def test_a_failing_engine_ends_the_process_with_its_traceback(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    server.start()
    running = start("durable")
    await eventually(running.is_ready)
    bad = Command(ts_ns=0, command_id="c13", kind=CommandKind.HALT, operator="test")
    await publish(server, bad)
    assert await running.exit_code() == 1
    (failed,) = running.events("service_failed")
    assert "an engine's bug" in failed["error"]


async def test_run_must_not_return(start: Callable[..., Running]) -> None:
    running = start("returns")
    assert await running.exit_code() == 1
    assert running.events("service_returned")


async def test_a_drain_that_hangs_is_cut_off_and_is_a_failure(
    start: Callable[..., Running],
) -> None:
    running = start("hangs")
    await eventually(running.is_ready)
    running.process.send_signal(signal.SIGTERM)
    assert await running.exit_code() == 1
    assert running.events("drain_timed_out")


async def test_the_heartbeat_tells_who_where_and_how(
    server: EmbeddedServer, start: Callable[..., Running]
) -> None:
    server.start()
    running = start("latest")
    bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
    inbox = await bus.open_inbox([Input(streams.SYS_HEALTH)], service="test", instance="t")

    async def ready_beat() -> Any:
        beats = [beat for beat in (await inbox.read(0.2)).messages if beat.ready]
        return beats and beats[-1]

    beat = await eventually(ready_beat)
    assert (beat.service, beat.instance, beat.pid) == ("risk", "r1", running.process.pid)
    assert (await running.probe("/readyz"))[0] == 200
    assert beat.http_port == running.events("started")[0]["http_port"]
    await inbox.close()
    await bus.close()


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("[bus]\nurl = 'http://x'", "bus.url"),
        ("[bus]\nulr = 'redis://x'", "ulr"),
        ("[observe]\nhttp_port = {port}", "cannot listen on 127.0.0.1"),
    ],
)
async def test_a_mistake_in_the_configuration_is_one_line(
    config: str, complaint: str, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.delenv("ARB_HTTP_PORT", raising=False)
        text = config.replace("{port}", str(taken.getsockname()[1]))
        if "http://" in config:
            monkeypatch.setattr(EmbeddedServer, "url", "http://x")
        running = start("latest", text)
        assert await running.exit_code() == 2
    complaints = [line for line in running.output().splitlines() if not line.startswith("{")]
    assert len(complaints) == 1
    assert complaint in complaints[0]


async def test_optimised_python_is_refused(start: Callable[..., Running]) -> None:
    running = start("latest", "", "-O")
    assert await running.exit_code() == 1
    assert "python -O" in running.output()
