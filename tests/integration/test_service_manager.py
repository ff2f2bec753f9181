"""What systemd is told, over a real datagram socket in its place."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.cancel import cancel_and_wait
from shared.clock import ManualClock
from shared.embedded import EmbeddedServer
from shared.observe import STALL_NS, Observer
from shared.service_manager import ServiceManager
from shared.services import ALL_SERVICES
from tests.integration.processes import ServiceProcess
from tests.support import ROOT, eventually

CONFIG = """
[bus]
url = "{url}"
[venues.kraken]
instruments = ["BTC/USDT"]
trade = true
[recorder]
enabled = true
dir = "{dir}"
"""


class Manager:
    """systemd's end: the socket, and what came in."""

    def __init__(self, address: str) -> None:
        self.address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.told: list[str] = []

    def heard(self) -> list[str]:
        """Everything told so far, a line each."""
        while True:
            try:
                self.told += self._socket.recv(65_536).decode().splitlines()
            except BlockingIOError:
                return self.told

    def has(self, line: str) -> bool:
        return line in self.heard()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    yield made
    made.stop()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def run(tmp_path: Path, server: EmbeddedServer) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a service of the runner's tests under a manager."""
    started: list[subprocess.Popen[bytes]] = []

    def _run(kind: str, notify: str) -> subprocess.Popen[bytes]:
        env = {
            **os.environ,
            "ARB_REDIS_URL": server.url,
            "ARB_CONFIG": str(tmp_path / "arb.toml"),
            "NOTIFY_SOCKET": notify,
            "WATCHDOG_USEC": "30000000",
        }
        (tmp_path / "arb.toml").write_text("")
        with (tmp_path / "log").open("ab") as log:
            program = [sys.executable, "-m", "tests.integration.runner_service", kind]
            started.append(subprocess.Popen(program, cwd=ROOT, env=env, stderr=log))
        return started[-1]

    yield _run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["latest", "leased"])
async def test_it_is_ready_once_it_works_alive_while_it_does_and_says_that_it_stops(
    kind: str,
    manager: Manager,
    server: EmbeddedServer,
    run: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = run(kind, manager.address)
    await eventually(lambda: any("EXTEND_TIMEOUT_USEC" in line for line in manager.heard()))
    assert not manager.has("READY=1"), "Redis is not there yet"
    assert not manager.has("WATCHDOG=1")
    server.start()
    await eventually(lambda: manager.has("READY=1"), timeout_s=30)
    await eventually(lambda: manager.heard().count("WATCHDOG=1") >= 2, timeout_s=30)
    assert manager.has("STATUS=ready")
    process.send_signal(signal.SIGTERM)
    await eventually(lambda: manager.has("STOPPING=1"))
    assert process.wait(10) == 0
    assert manager.heard().count("READY=1") == 1


async def test_a_main_loop_that_stands_still_is_not_told_as_alive(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.service_manager.EVERY_S", 0.01)
    clock = ManualClock()
    observer = Observer("risk", "risk-1", clock)
    observer.set_ready(True)
    observer.advance()
    teller = ServiceManager({"NOTIFY_SOCKET": manager.address})
    telling = asyncio.create_task(teller.keep_told(observer))
    try:
        await eventually(lambda: manager.has("WATCHDOG=1"))
        clock.advance(STALL_NS)
        observer.set_ready(True, "stalled")
        await eventually(lambda: manager.has("STATUS=stalled"))
        assert manager.told[-1] == "STATUS=stalled"
        observer.set_ready(True, "a second look")
        await eventually(lambda: manager.has("STATUS=a second look"))
        assert manager.told[-2:] == ["STATUS=stalled", "STATUS=a second look"]
        observer.advance()
        await eventually(lambda: manager.heard()[-1] == "WATCHDOG=1")
    finally:
        await cancel_and_wait((telling,))
        teller.close()


async def test_what_nobody_took_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.service_manager.EVERY_S", 0.01)
    monkeypatch.setattr("shared.service_manager.STARTING_EVERY_S", 0.01)
    looks = 0

    class Looked(Observer):
        def is_alive(self) -> bool:
            nonlocal looks
            looks += 1
            return super().is_alive()

    observer = Looked("risk", "risk-1", ManualClock())
    observer.set_ready(True, "standby")
    teller = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    telling = asyncio.create_task(teller.keep_told(observer))
    try:
        await eventually(lambda: looks >= 3)
        manager = Manager(str(tmp_path / "notify"))
        await eventually(lambda: manager.heard().count("WATCHDOG=1") >= 2)
        assert manager.told.count("READY=1") == manager.told.count("STATUS=standby") == 1
        manager.close()
    finally:
        await cancel_and_wait((telling,))
        teller.close()


async def test_a_process_that_is_ended_for_hanging_says_where(
    tmp_path: Path,
    manager: Manager,
    server: EmbeddedServer,
    run: Callable[..., subprocess.Popen[bytes]],
) -> None:
    server.start()
    process = run("latest", manager.address)
    await eventually(lambda: manager.has("READY=1"), timeout_s=30)
    process.send_signal(signal.SIGABRT)  # as systemd does
    assert process.wait(10) == -signal.SIGABRT
    assert "most recent call first" in (tmp_path / "log").read_text()


def test_nobody_is_told_where_nobody_asks() -> None:
    manager = ServiceManager({})
    manager.stopping()
    asyncio.run(asyncio.wait_for(manager.keep_told(Observer("risk", "risk-1")), 5))


async def test_an_abstract_address_is_told_as_well(
    server: EmbeddedServer, run: Callable[..., subprocess.Popen[bytes]]
) -> None:
    server.start()
    manager = Manager(f"@arbstream-test-{os.getpid()}")
    try:
        run("latest", f"@{manager.address[1:]}")
        await eventually(lambda: manager.has("READY=1"), timeout_s=30)
    finally:
        manager.close()


@pytest.mark.parametrize("name", ["risk", "executor", "recorder"])
async def test_who_stands_by_is_ready(
    name: str, tmp_path: Path, manager: Manager, server: EmbeddedServer
) -> None:
    server.start()
    config = CONFIG.format(url=server.url, dir=tmp_path / "frames")
    first = ServiceProcess(name, tmp_path, config, instance=f"{name}-1")
    second = ServiceProcess(name, tmp_path, config, instance=f"{name}-2")
    second.env["NOTIFY_SOCKET"] = manager.address
    with first:
        await eventually(lambda: holds(first), timeout_s=60, what="the lease is held")
        with second:
            await eventually(lambda: manager.has("READY=1"), timeout_s=60)
            assert any(line.startswith("STATUS=standby") for line in manager.heard())
            await eventually(lambda: manager.has("WATCHDOG=1"))


def test_the_unit_asks_to_be_told_and_is_right(tmp_path: Path) -> None:
    units = ROOT / "deploy" / "systemd"
    text = (units / "arbstream@.service").read_text()
    assert "\nType=notify\n" in text
    assert "\nWatchdogSec=30\n" in text
    job_s, stop_s = (
        int(re.findall(rf"^{name}=(\d+)$", text, re.MULTILINE)[0])
        for name in ("JobRunningTimeoutSec", "TimeoutStopSec")
    )
    assert job_s > stop_s, "a restart whose stop takes its time is given up, and starts nothing"
    if shutil.which("systemd-analyze") is None:
        return
    for path in units.iterdir():
        if path.is_file():
            program = re.compile(r"^(ExecStart\w*)=.*$", re.MULTILINE)
            (tmp_path / path.name).write_text(program.sub(r"\1=/bin/true", path.read_text()))
    asked = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "arbstream@risk.service")]
    (tmp_path / "arbstream@risk.service").symlink_to("arbstream@.service")
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert not [line for line in said.stderr.splitlines() if str(tmp_path) in line], said.stderr


def test_every_unit_may_do_little(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        return
    shutil.copytree(ROOT / "deploy" / "systemd", tmp_path, dirs_exist_ok=True)
    template = tmp_path / "arbstream@.service"
    units = [tmp_path / f"arbstream@{spec.name}.service" for spec in ALL_SERVICES]
    for unit in units:
        shutil.copy(template, unit)
    for unit in (tmp_path / "arbstream-redis.service", *units):
        asked = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


def holds(process: ServiceProcess) -> bool:
    return any(event["event"] == "lease_held" for event in process.events())
