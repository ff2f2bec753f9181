"""`arb watch` as a process: it hears pings and Alertmanager, and shouts when they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.cli.watch import TOKEN as TOKEN_VARIABLE
from services.cli.watch import WATCHDOG
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import BusUnavailable
from tests.decision_builders import make_beat
from tests.fake_channels import TOKEN, providers
from tests.integration.processes import ServiceProcess
from tests.support import ROOT, eventually

CONFIG = """
[notifier]
system = "desk"
[[notifier.channels]]
name = "phone"
kind = "telegram"
chat = "7"
url = "{url}"
"""
NOTIFIER = """
[bus]
url = "{url}"
[notifier]
heartbeat_url = "{peer}/ping"
heartbeat_interval_ms = 1000
[[notifier.channels]]
name = "phone"
kind = "telegram"
chat = "7"
url = "{there}"
"""
FIRING = {"alerts": [{"status": "firing", "labels": {"alertname": WATCHDOG}}]}


class Watching:
    """A running watcher, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    def said(self) -> str:
        return self._log.read_text()

    async def url(self) -> str:
        found = await eventually(
            lambda: re.search(r"listening on (\S+),", self.said()), timeout_s=30
        )
        return f"http://{found[1]}"


@contextmanager
def watching(folder: Path, *options: str, **environ: str) -> Iterator[Watching]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}
    log = folder / "watch.log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services.cli.main",
                "watch",
                "--listen",
                "127.0.0.1:0",
                *options,
            ],
            cwd=ROOT,
            env={**clean, **environ},
            stderr=err,
        )
    try:
        yield Watching(process, log)
    finally:
        process.kill()
        process.wait()


async def post(url: str, told: Any, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=told, headers=headers) as answer,
    ):
        return answer.status


async def test_it_shouts_over_its_channels_and_says_when_it_is_over(tmp_path: Path) -> None:
    async with providers() as there:
        config = tmp_path / "arb.toml"
        config.write_text(CONFIG.format(url=there.url))
        options = ("--config", str(config), "--after", "1")
        with watching(tmp_path, *options, ARB_NOTIFY_PHONE_SECRET=TOKEN) as watcher:
            url = await watcher.url()

            def texts() -> list[str]:
                return [each.fields["text"] for each in there.posts]

            await eventually(lambda: any("this channel works" in text for text in texts()))
            await eventually(lambda: any("[desk] CRITICAL DEAD" in text for text in texts()))
            assert await post(f"{url}/ping", {}) == 200
            await eventually(lambda: any("[desk] over: " in text for text in texts()))
            assert "CRITICAL DEAD" in watcher.said()
            watcher.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(watcher.process.wait, 20) == 0


async def test_once_ends_with_1_at_the_first_shout(tmp_path: Path) -> None:
    with watching(tmp_path, "--after", "1", "--once") as watcher:
        assert await asyncio.to_thread(watcher.process.wait, 60) == 1
        assert "CRITICAL DEAD" in watcher.said()


async def test_alertmanagers_watchdog_counts_and_nothing_else(tmp_path: Path) -> None:
    with watching(tmp_path, "--alertmanager") as watcher:
        url = await watcher.url()
        assert await post(f"{url}/alertmanager", FIRING) == 200
        other = {"alerts": [{"status": "firing", "labels": {"alertname": "ArbDown"}}]}
        resolved = {"alerts": [{"status": "resolved", "labels": {"alertname": WATCHDOG}}]}
        for told in (other, resolved, {}, [], {"alerts": 3}):
            assert await post(f"{url}/alertmanager", told) == 400
        assert await post(f"{url}/alertmanager", {"alerts": ["x" * 70_000]}) == 413
        assert await post(f"{url}/elsewhere", FIRING) == 404


async def test_with_a_token_nobody_else_can_keep_it_quiet(tmp_path: Path) -> None:
    with watching(tmp_path, **{TOKEN_VARIABLE: "let me in"}) as watcher:
        url = await watcher.url()
        for place in ("ping", "alertmanager"):
            assert await post(f"{url}/{place}", FIRING) == 401
            assert await post(f"{url}/{place}", FIRING, Authorization="Bearer wrong") == 401
            assert await post(f"{url}/{place}", FIRING, Authorization="Bearer let me in") == 200


async def send_raw(url: str, data: bytes, *, hangs_up: bool = False) -> str:
    """Send bytes; return the answer's first line, unless this hangs up before it."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    line = b"" if hangs_up else await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return line.decode()


async def test_nonsense_from_the_network_is_refused_without_a_word(tmp_path: Path) -> None:
    with watching(tmp_path) as watcher:
        url = await watcher.url()
        said = watcher.said()
        told = b"POST /alertmanager HTTP/1.1\r\nHost: x\r\n"
        for body in (b'{"x":' + b"[" * 60_000, b'{"alerts":[{"status":"\xff"}]}'):
            size = b"Content-Length: %d\r\n\r\n" % len(body)
            assert " 400 " in await send_raw(url, told + size + body)
        assert " 400 " in await send_raw(url, b"\x16\x03\x01\x02 hello of TLS\r\n\r\n")
        assert " 400 " in await send_raw(url, told + b"Content-Length: abc\r\n\r\n")
        await send_raw(url, told + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        await send_raw(url, told + b"Content-Length: 9\r\n\r\nabc", hangs_up=True)
        assert await post(f"{url}/alertmanager", FIRING) == 200
        assert "Traceback" not in watcher.said()
        assert watcher.said().removeprefix(said).count("\n") == 1, "that Alertmanager is heard"


@pytest.mark.parametrize(
    ("options", "problem"),
    [(("--config", "nowhere.toml"), "nowhere.toml"), (("--listen", "9466"), "HOST:PORT")],
)
async def test_a_mistake_is_one_line_and_exit_2(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    with watching(tmp_path, *options) as watcher:
        assert await asyncio.to_thread(watcher.process.wait, 60) == 2
        assert problem in watcher.said() and watcher.said().count("\n") == 1


async def test_a_system_that_dies_is_missed(tmp_path: Path) -> None:
    """The notifier pings while risk and the executor beat; then they fall silent, then it dies."""
    with EmbeddedServer(tmp_path / "bus") as server, watching(tmp_path, "--after", "6") as watcher:
        async with providers() as there, asyncio.TaskGroup() as tasks:
            config = NOTIFIER.format(url=server.url, there=there.url, peer=await watcher.url())
            notifier = ServiceProcess("notifier", tmp_path, config)
            notifier.env["ARB_NOTIFY_PHONE_SECRET"] = TOKEN
            with notifier:
                beating = tasks.create_task(beat(server))
                heard = "the notifier's ping is heard"
                await eventually(lambda: heard in watcher.said(), timeout_s=30)
                before = watcher.said().count("DEAD")
                beating.cancel()
                await eventually(lambda: watcher.said().count("DEAD") > before, timeout_s=40)
                overs = watcher.said().count("over: ")
                beating = tasks.create_task(beat(server))
                await eventually(lambda: watcher.said().count("over: ") > overs, timeout_s=30)
                before = watcher.said().count("DEAD")
                notifier.end(signal.SIGKILL)
                server.stop()
                await eventually(lambda: watcher.said().count("DEAD") > before, timeout_s=30)
                beating.cancel()


async def beat(server: EmbeddedServer) -> None:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="risk-1")
    try:
        while True:
            now_ns = SystemClock.now_ns()
            with contextlib.suppress(BusUnavailable):
                await bus.publish([make_beat(name, now_ns) for name in ("risk", "executor")])
            await asyncio.sleep(0.5)
    finally:
        await bus.close()
