"""A service for the runner's tests: ``python -m tests.integration.runner_service KIND``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.engine import NOTHING, Result, Step
from shared.lease import Lease
from shared.messages.base import Message
from shared.observe import Observer
from shared.process import own_id
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell

KIND = sys.argv[1]


class Counting:
    """Counts what it hears; fails on the command ``c13``."""

    def __init__(self) -> None:
        self.heard = 0

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        return NOTHING

    def checkpoints(self) -> Mapping[str, bytes]:
        return {}

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        assert getattr(message, "command_id", "") != "c13", "an engine's bug"
        self.heard += 1
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        return NOTHING

    def next_deadline_ns(self) -> int | None:
        return None

    def counters(self) -> Mapping[str, int]:
        return {"heard": self.heard}

    def gauges(self) -> Mapping[str, float]:
        return {}


class Odd:
    """An app that misbehaves."""

    async def run(self) -> None:
        if KIND == "hangs":
            await asyncio.sleep(3600)

    async def drain(self) -> None:
        if KIND == "hangs":
            await asyncio.sleep(3600)

    def readiness(self) -> tuple[bool, str]:
        return True, ""


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Any]:
    if KIND in {"hangs", "returns"}:
        yield Odd()
        return
    spec = streams.CTL_COMMAND if KIND == "durable" else streams.MD_RESYNC
    bus = await open_bus(config.bus, service="risk", instance=observer.instance)
    try:
        lease = Lease(bus, "risk", str(own_id(observer.instance))) if KIND == "leased" else None
        hosting = Hosting(inputs=lambda _: [Input(spec)], lease=lease)
        yield Shell("risk", Counting(), bus, SystemClock(), observer, hosting)
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service("risk", open_app, drain_timeout_s=0.5)
