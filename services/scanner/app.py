"""The scanner's shell: the shards it owns and the pump over them."""

from __future__ import annotations

import asyncio

from services.scanner.engine import ScannerEngine
from shared import streams
from shared.bus.port import Bus, Input
from shared.clock import Clock
from shared.config_sections import Config
from shared.lease import ShardOwner
from shared.messages.arb import Opportunity
from shared.observe import Observer
from shared.process import own_id
from shared.shell import Pump
from shared.stoppable import StoppableInbox, Stopped


class ScannerApp:
    """Scans whatever shards this instance owns."""

    def __init__(self, config: Config, bus: Bus, clock: Clock, observer: Observer) -> None:
        self._bus, self._clock, self._observer = bus, clock, observer
        # One engine for all shards: books of a shard given up grow old and price nothing.
        self._engine = ScannerEngine(config.scanner)
        self._owner = ShardOwner(bus, "scanner", str(own_id(observer.instance)), config.bus.shards)
        self._inbox: StoppableInbox | None = None
        self._owned: tuple[int, ...] | None = None

    async def run(self) -> None:
        """Scan the owned shards until canceled."""
        pumping: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            async for owned in self._owner.owned():
                if pumping is not None and self._inbox is not None:
                    self._inbox.stopping = True
                    await asyncio.wait({pumping})
                self._owned = owned
                self._observer.gauge("shards_owned", len(owned))
                inputs = [Input(streams.MD_INSTRUMENT), Input(streams.MD_DEPTH, owned)]
                inbox = await self._bus.open_inbox(
                    inputs if owned else inputs[:1],
                    service="scanner",
                    instance=self._observer.instance,
                )
                self._inbox = StoppableInbox(inbox)
                pumping = tasks.create_task(self._pump(self._inbox))

    async def drain(self) -> None:
        """Give the shards up, so that others take over at once; the scanner owns no orders."""
        if self._inbox is not None:
            await self._inbox.close()
        await self._owner.leave()

    def readiness(self) -> tuple[bool, str]:
        """Ready: ownership is settled."""
        if self._owned is None:
            return False, "waiting for shards"
        if problem := self._owner.problem or self._bus.problem:
            return False, problem
        return True, "" if self._owned else "standby: others own all shards"

    async def _pump(self, inbox: StoppableInbox) -> None:
        pump = Pump(
            "scanner",
            self._engine,
            self._bus,
            inbox,
            self._clock,
            self._observer,
            measures={Opportunity: "tick_to_opportunity"},
        )
        try:
            await pump.run()
        except Stopped:
            await inbox.close()
