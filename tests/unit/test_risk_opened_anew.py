"""Risk that lost its lease and is opened anew by the same process, with the file it read before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.risk.__main__ import builder
from services.risk.engine import RiskEngine
from shared.bus.keys import OPERATOR_KEY
from shared.bus.memory import MemoryBus, MemoryInbox
from shared.bus.memory_store import MemoryServer
from shared.bus.port import Bus, Input
from shared.bus.signing import SigningKeys
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.messages.execution import RiskReport
from shared.messages.limits import LimitsReport
from shared.observe import Observer
from shared.runtime.shell import Shell
from shared.streams import RISK_EVENT
from tests.decision_builders import make_config, make_limits_change
from tests.support import eventually

Build = Callable[[Config, Bus, Clock, Observer], Shell]
CONFIG = make_config()
KEYS = SigningKeys({OPERATOR_KEY: [b"k" * 32]})


@asynccontextmanager
async def running(server: MemoryServer, build: Build) -> AsyncIterator[MemoryInbox]:
    """Risk as its process opens it, and what it tells from now on."""
    bus = MemoryBus(server, service="risk", keys=KEYS)
    inbox = MemoryBus(server, service="exporter").open(
        [Input(RISK_EVENT)], service="exporter", instance="exporter-1"
    )
    inbox.poll()
    shell = build(CONFIG, bus, SystemClock(), Observer("risk", "risk-1"))
    task = asyncio.create_task(shell.run())
    try:
        yield inbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await shell.drain()


async def told(inbox: MemoryInbox, wanted: Callable[[LimitsReport], bool]) -> LimitsReport:
    def newest() -> LimitsReport | None:
        reports = [m for m in inbox.poll().messages if isinstance(m, RiskReport)]
        limits = [m.limits for m in reports if m.limits is not None and wanted(m.limits)]
        return limits[-1] if limits else None

    found = await eventually(newest, what="a report of risk")
    assert found is not None
    return found


async def change_and_open_again(first: Build, second: Build) -> tuple[LimitsReport, LimitsReport]:
    """Return what is in force after a change of limits, and after risk is opened once more."""
    server = MemoryServer(SystemClock())
    change = make_limits_change(RiskEngine(CONFIG), SystemClock.now_ns(), daily_loss_max="100")
    async with running(server, first) as inbox:
        MemoryBus(server, service="operator", keys=KEYS).apply(None, [change])
        before = await told(inbox, lambda limits: limits.command == change.command_id)
    async with running(server, second) as inbox:
        return before, await told(inbox, lambda _: True)


async def test_a_change_outlives_a_lost_lease() -> None:
    build = builder(SystemClock.now_ns())
    before, after = await change_and_open_again(build, build)
    assert (before.in_force["daily_loss_max"], before.refused) == ("100", "")
    assert after == before


async def test_a_process_that_reads_the_file_later_goes_by_the_file() -> None:
    later_ns = SystemClock.now_ns() + 3_600_000_000_000
    before, after = await change_and_open_again(builder(SystemClock.now_ns()), builder(later_ns))
    assert before.in_force["daily_loss_max"] == "100"
    assert after.in_force["daily_loss_max"] == "1000"
