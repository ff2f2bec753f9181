"""Risk's shell: wait to be the one active instance, recover, pump."""

from __future__ import annotations

import asyncio
import contextlib

from services.risk.checkpoint import NAMES, ledger_id_of
from services.risk.engine import RiskEngine
from shared import streams
from shared.bus.port import Bus, Input
from shared.clock import Clock
from shared.config_sections import Config
from shared.errors import BusUnavailable
from shared.lease import Lease
from shared.ledger import Opened, Witness, lost_mark, open_ledger
from shared.messages.execution import ApprovedPlan
from shared.observe import Observer
from shared.process import own_id
from shared.shell import Pump

NAME = "risk"
"""Of the service and its lease."""
DEPTH_INTERVAL_MS = 50
"""Books are only checked here, so the newest of each is enough, however busy the stream is."""
STANDBY_PULSE_S = 1.0
MARKS_S = 1.0


class RiskApp:
    """One risk engine on the bus, if this instance is the active one."""

    def __init__(self, config: Config, bus: Bus, clock: Clock, observer: Observer) -> None:
        self._config, self._bus, self._clock, self._observer = config, bus, clock, observer
        self._lease = Lease(bus, NAME, str(own_id(observer.instance)))
        self._is_active = False
        self._pump: Pump | None = None
        self._engine: RiskEngine | None = None
        self._witness = Witness()
        self._taken_up = ""

    async def run(self) -> None:
        """Wait for the lease, then judge until canceled or the lease is lost."""
        await self._wait_for_lease()
        work = (self._lease.keep(), self._judge(), self._keep_marks())
        tasks = [asyncio.create_task(part) for part in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:  # of several failures the lease says why
                if task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def drain(self) -> None:
        """Stop reading and let a standby take over; what was not committed stays pending."""
        if self._pump is not None:
            await self._pump.drain()
        if self._is_active:
            await self._lease.release()

    def readiness(self) -> tuple[bool, str]:
        """Ready: standing by, or recovered."""
        if not self._is_active:
            return self._lease.is_standby, self._lease.waiting_for or "waiting for the lease"
        if self._pump is None:
            return False, self._bus.problem or "recovering"
        return self._pump.readiness()

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

    async def _open_ledger(self) -> Opened:
        """Find out whose data this is, and whether all of it is there."""
        loaded = {name: await self._bus.load_checkpoint(name) for name in NAMES}
        saved = {name: state for name, state in loaded.items() if state is not None}
        return await open_ledger(
            self._bus,
            NAME,
            {"mode": self._config.executor.mode},
            known_id=ledger_id_of(saved),
            instance=self._observer.instance,
            now_ns=self._clock.now_ns(),
        )

    async def _keep_marks(self) -> None:
        """Renew the ledger's marks every second, and let the engine hear what is said to be lost.

        The word is taken away only when the halt that follows from it is in the checkpoint.
        """
        heard = ""
        while True:
            await asyncio.sleep(MARKS_S)
            if self._engine is not None:
                # Redis away or refusing: the pump notices, and decides what that means.
                with contextlib.suppress(BusUnavailable):
                    heard = await self._renew_marks(self._engine, heard)

    async def _renew_marks(self, engine: RiskEngine, heard: str) -> str:
        """Do it once; return the loss that the engine has heard of and the marks still say."""
        memory = engine.state.trading
        marks = await self._bus.marks()
        loss = marks.get(lost_mark(NAME), "") or self._witness.look(marks)
        if not loss and marks.get("id") != memory.ledger_id:
            loss = "the marks of the ledger are gone"
        if loss and loss != heard:
            engine.note_loss(loss)
            return loss
        if not engine.is_saved:
            return heard
        times = {"alive_ns": self._clock.now_ns(), "command_ns": memory.command_ns}
        mode = self._config.executor.mode
        ours = {"id": memory.ledger_id, "mode": mode, NAME: memory.ledger_id}
        if not self._taken_up:
            self._taken_up = ours["taken_up_ns"] = marks.get("alive_ns", "0")
        self._lease.check()
        await self._bus.mark({**ours, **{name: str(at) for name, at in times.items()}})
        if loss:
            await self._bus.unmark(lost_mark(NAME))
        return ""

    async def _judge(self) -> None:
        opened = await self._open_ledger()
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
        self._engine = RiskEngine(self._config, opened)
        self._pump = Pump(
            NAME,
            self._engine,
            self._bus,
            inbox,
            self._clock,
            self._observer,
            measures={ApprovedPlan: "tick_to_plan"},
            checkpoints=NAMES,
            check=self._lease.check,
        )
        await self._pump.run()
