"""The marks of the ledger, as risk keeps them on the bus (see shared/ledger.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from services.risk.checkpoint import ledger_id_of
from services.risk.engine import RiskEngine
from shared.bus.port import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.lease import Lease
from shared.ledger import RISK, LossDetector, lost_mark, open_ledger

MARKS_S = 1.0


class LedgerMarks:
    """Opens the ledger and renews its marks; lets the engine hear what is said to be lost."""

    def __init__(
        self, engine: RiskEngine, bus: Bus, clock: Clock, lease: Lease, *, mode: str, instance: str
    ) -> None:
        self._engine, self._bus, self._clock, self._lease = engine, bus, clock, lease
        self._mode, self._instance = mode, instance
        self._loss_detector = LossDetector()
        self._taken_up = ""

    async def open(self, saved: Mapping[str, bytes]) -> None:
        """Find out whose data this is, and whether all of it is there.

        Raises:
            ConfigError: It belongs to another mode.
        """
        opened = await open_ledger(
            self._bus,
            RISK,
            {"mode": self._mode},
            known_id=ledger_id_of(saved),
            instance=self._instance,
            now_ns=self._clock.now_ns(),
        )
        self._engine.take_ledger(opened)

    async def keep(self) -> None:
        """Renew the marks every second.

        The word of a loss is taken away only when the halt that follows from it is in the
        checkpoint.
        """
        heard = ""
        while True:
            await asyncio.sleep(MARKS_S)
            # Redis away or refusing: the shell notices, and decides what that means.
            with contextlib.suppress(BusUnavailable):
                heard = await self._renew(heard)

    async def _renew(self, heard: str) -> str:
        """Do it once; return the loss that the engine has heard of and the marks still say."""
        memory = self._engine.state.trading
        marks = await self._bus.marks()
        loss = marks.get(lost_mark(RISK), "") or self._loss_detector.look(marks)
        if not loss and marks.get("id") != memory.ledger_id:
            loss = "the marks of the ledger are gone"
        if loss and loss != heard:
            self._engine.note_loss(loss)
            return loss
        if not self._engine.is_saved:
            return heard
        times = {"alive_ns": self._clock.now_ns(), "command_ns": memory.command_ns}
        ours = {"id": memory.ledger_id, "mode": self._mode, RISK: memory.ledger_id}
        if not self._taken_up:
            self._taken_up = ours["taken_up_ns"] = marks.get("alive_ns", "0")
        self._lease.check()
        await self._bus.mark({**ours, **{name: str(at) for name, at in times.items()}})
        if loss:
            await self._bus.unmark(lost_mark(RISK))
        return ""
