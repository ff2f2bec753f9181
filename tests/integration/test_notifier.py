"""The notifier as a process on a real server: restarts, a killed service, a Redis that is gone."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import redis

from services.notifier.saved import Saved
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.bus.tuning import checkpoint_key
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.control import Alert, Severity
from tests.fake_channels import TOKEN, Providers, providers
from tests.integration.processes import ServiceProcess
from tests.support import eventually

CONFIG = """
[bus]
url = "{url}"
[venues.kraken]
instruments = ["BTC/USDT"]
[[notifier.channels]]
name = "phone"
kind = "telegram"
chat = "7"
url = "{there}"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    yield made
    made.stop()


def notifier(tmp_path: Path, server: EmbeddedServer, there: Providers) -> ServiceProcess:
    made = ServiceProcess(
        "notifier", tmp_path, CONFIG.format(url=server.url, there=there.url), instance="notifier-1"
    )
    made.env["ARB_NOTIFY_PHONE_SECRET"] = TOKEN
    return made


@asynccontextmanager
async def opened(server: EmbeddedServer) -> AsyncIterator[Bus]:
    bus = await open_bus(BusConfig(url=server.url), service="risk", instance="risk-1")
    try:
        yield bus
    finally:
        await bus.close()


def alert(code: str) -> Alert:
    return Alert(
        ts_ns=SystemClock.now_ns(),
        service="risk",
        severity=Severity.CRITICAL,
        code=code,
        text="0.5 BTC left",
    )


def heads(there: Providers) -> list[str]:
    return [post.fields["text"].splitlines()[0] for post in there.posts]


async def test_alerts_arrive_once_also_over_a_kill_and_none_is_lost(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    server.start()
    async with providers() as there, opened(server) as bus:
        with notifier(tmp_path, server, there) as running:
            await eventually(lambda: "[arbstream] test: this channel works" in heads(there))
            await bus.publish([alert("FIRST")])
            await eventually(lambda: "[arbstream] CRITICAL FIRST" in heads(there))
            await eventually(lambda: is_told(server, "FIRST"), what="its state is saved")
            running.end(signal.SIGKILL)
        await bus.publish([alert("MISSED")])
        with notifier(tmp_path, server, there) as running:
            await eventually(lambda: "[arbstream] CRITICAL MISSED" in heads(there))
            assert running.end(signal.SIGTERM) == 0
        for code in ("FIRST", "MISSED"):
            assert heads(there).count(f"[arbstream] CRITICAL {code}") == 1
        assert heads(there).count("[arbstream] test: this channel works") == 1


def is_told(server: EmbeddedServer, code: str) -> bool:
    """Whether it is on record that an alert was told, and that nothing waits."""
    with redis.Redis.from_url(server.url) as client:
        saved = msgspec.json.decode(client.get(checkpoint_key("notifier")) or b"{}", type=Saved)
    return any(code in key for key in saved.troubles) and not saved.channels["phone"].queue


async def test_a_redis_that_is_gone_is_told(tmp_path: Path, server: EmbeddedServer) -> None:
    server.start()
    async with providers() as there:
        with notifier(tmp_path, server, there) as running:
            await eventually(lambda: heads(there))
            server.stop()
            await eventually(
                lambda: "[arbstream] CRITICAL ArbBusDown" in heads(there), timeout_s=30
            )
            assert running.process is not None and running.process.poll() is None


async def test_without_a_channel_or_its_secret_it_says_what_is_missing(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    async with providers() as there:
        made = notifier(tmp_path, server, there)
        del made.env["ARB_NOTIFY_PHONE_SECRET"]
        with made as running:
            assert running.process.wait(20) == 2
        assert "ARB_NOTIFY_PHONE_SECRET" in made.log.read_text()
