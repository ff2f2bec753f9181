"""Risk's shell: wait to be the one active instance, recover, pump."""

from __future__ import annotations

import asyncio

from services.risk.checkpoint import NAMES
from services.risk.engine import RiskEngine
from shared import streams
from shared.bus.port import Bus, Input
from shared.clock import Clock
from shared.config import Config
from shared.lease import Lease
from shared.messages.execution import ApprovedPlan
from shared.observe import Observer
from shared.shell import Pump

NAME = "risk"
"""Of the service and its lease."""
DEPTH_INTERVAL_MS = 50
"""Books are only checked here, so the newest of each is enough, however busy the stream is."""
STANDBY_PULSE_S = 1.0


class RiskApp:
    """One risk engine on the bus, if this instance is the active one."""

    def __init__(self, config: Config, bus: Bus, clock: Clock, observer: Observer) -> None:
        self._config, self._bus, self._clock, self._observer = config, bus, clock, observer
        self._lease = Lease(bus, NAME, observer.instance)
        self._is_active = False
        self._pump: Pump | None = None

    async def run(self) -> None:
        """Wait for the lease, then judge until canceled or the lease is lost."""
        await self._wait_for_lease()
        keeping = asyncio.create_task(self._lease.keep())
        pumping = asyncio.create_task(self._judge())
        try:
            done, _ = await asyncio.wait({keeping, pumping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            keeping.cancel()
            pumping.cancel()
            await asyncio.wait({keeping, pumping})

    async def drain(self) -> None:
        """Stop reading and let a standby take over; what was not committed stays pending."""
        if self._pump is not None:
            await self._pump.drain()
        if self._is_active:
            await self._lease.release()

    def readiness(self) -> tuple[bool, str]:
        """Ready: standing by, or recovered."""
        if not self._is_active:
            return True, "standby: another instance is active"
        return (False, "recovering") if self._pump is None else self._pump.readiness()

    async def _wait_for_lease(self) -> None:
        acquiring = asyncio.create_task(self._lease.acquire())
        try:
            while not acquiring.done():
                self._observer.advance()  # a standby is healthy
                await asyncio.wait({acquiring}, timeout=STANDBY_PULSE_S)
            acquiring.result()
        finally:
            acquiring.cancel()
        self._is_active = True

    async def _judge(self) -> None:
        # Opened only now: what happened before is in the checkpoint and in the pending entries.
        inbox = await self._bus.open_inbox(
            [
                Input(streams.EXEC_EVENT),
                Input(streams.CTL_COMMAND),
                Input(streams.MD_INSTRUMENT),
                Input(
                    streams.MD_DEPTH,
                    tuple(range(self._config.bus.shards)),
                    interval_ms=DEPTH_INTERVAL_MS,
                ),
                Input(streams.ARB_OPPORTUNITY),
            ],
            service=NAME,
            instance=self._observer.instance,
            exclusive=True,  # we hold the lease, so whoever left entries pending is dead
        )
        self._pump = Pump(
            NAME,
            RiskEngine(self._config),
            self._bus,
            inbox,
            self._clock,
            self._observer,
            measures={ApprovedPlan: "tick_to_plan"},
            checkpoints=NAMES,
        )
        await self._pump.run()
