"""What is done to a running stack of processes, and how long it takes until all is well."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.cli.run import Run, say
from services.cli.venues import ControlClient
from shared.errors import Unavailable
from shared.messages.base import TradingState
from shared.messages.control import CommandKind
from tests.chaos.drill import END_BY_THEMSELVES
from tests.soak.record import FaultSeen
from tests.soak.schedule import Planned
from tests.soak.signs import NOTIFIER, Heard, first

HEAL_S, POLL_S = 120.0, 0.2
FLATTEN_S, RESUME_S = 3.0, 1.0
TELL_S = 60.0
"""A message of the notifier counts for a fault up to so long after its end."""
KEEP_DOWN_POLL_S = 0.05
STILL_HALTED_S = 30.0


class Harm:
    """Hurts one run.

    Args:
        run: It trades.
        heard: What its streams and its notifier say.
        needed: Services that must be ready for all to be well.
    """

    def __init__(self, run: Run, heard: Heard, needed: set[str]) -> None:
        self._run, self._heard, self._needed = run, heard, needed

    async def do(self, planned: Planned, at_s: float) -> FaultSeen:
        """Do it, take it back, wait until all is well, and say what was seen."""
        began_ns, began = time.time_ns(), time.monotonic()
        seen = FaultSeen(at_s=round(at_s, 1), kind=planned.kind, target=planned.target)
        await self._inflict(planned)
        ended_ns, ended = time.time_ns(), time.monotonic()
        seen.lasted_s = round(ended - began, 1)
        while time.monotonic() - ended < HEAL_S and not self._run.stop.is_set():
            await asyncio.sleep(POLL_S)
            if self.is_well(ended_ns):
                seen.healed_s = round(time.monotonic() - ended, 1)
                break
            if reason := self.needs_operator():
                seen.operator = seen.operator or reason
                await self.let_go_on()
        self.look_back(seen, began_ns)
        return seen

    def look_back(self, seen: FaultSeen, began_ns: int) -> None:
        """Note what the system has said of a fault until now."""
        until_ns = began_ns + int((seen.lasted_s + (seen.healed_s or HEAL_S) + TELL_S) * 1e9)
        target = str(seen.target)
        if sign := first(self._heard.signs, began_ns, until_ns, target):
            seen.seen_s = round((sign.ts_ns - began_ns) / 1e9, 1)
            seen.seen_by = f"{sign.source}: {sign.text[:120]}"
        told = [sign for sign in self._heard.signs if sign.source == NOTIFIER]
        if sign := first(told, began_ns, until_ns, target):
            seen.told_s = round((sign.ts_ns - began_ns) / 1e9, 1)

    def is_well(self, after_ns: int) -> bool:
        """Tell whether everyone is ready, heard since then, and trading is on."""
        alive = self._heard.alive()
        ready = {beat.service for beat in alive if beat.ready and beat.ts_ns > after_ns}
        told = self._heard.risk
        return (
            self._needed <= ready
            and told is not None
            and told.ts_ns > after_ns
            and told.state is TradingState.ACTIVE
        )

    def needs_operator(self) -> str:
        """Return why trading is halted, where that does not end by itself."""
        told = self._heard.state
        if told is None or told.state is TradingState.ACTIVE:
            return ""
        return "" if told.reason.startswith(END_BY_THEMSELVES) else told.reason

    async def let_go_on(self) -> None:
        """Do what an operator does who has looked: flatten what is open, and resume."""
        await say(self._run, CommandKind.FLATTEN, "the soak's operator")
        await asyncio.sleep(FLATTEN_S)
        await say(self._run, CommandKind.RESUME, "the soak's operator")
        await asyncio.sleep(RESUME_S)

    async def watch_for_halts(self, note: Callable[[str], Any]) -> None:
        """Until canceled, resume what has halted for long outside a fault; ``note`` its reason."""
        since = None
        while True:
            await asyncio.sleep(1.0)
            reason = self.needs_operator()
            since = (since or time.monotonic()) if reason else None
            if since is not None and time.monotonic() - since > STILL_HALTED_S:
                note(reason)
                await self.let_go_on()
                since = None

    async def _inflict(self, planned: Planned) -> None:
        pid = self._pid(planned.target)
        match planned.kind:
            case "kill -9":
                _send(pid, signal.SIGKILL)
            case "restart":
                _send(pid, signal.SIGTERM)
            case "freeze":
                _send(pid, signal.SIGSTOP)
                await asyncio.sleep(planned.seconds)
                _send(pid, signal.SIGCONT)
            case "away":
                await self._keep_down(planned.target, planned.seconds)
            case _:
                await self._tell_venues(dict(planned.told))
                await asyncio.sleep(planned.seconds)
                if planned.kind == "refuses":
                    await self._tell_venues({**planned.told, "state": "ok"})

    def _pid(self, name: str) -> int:
        used = self._run.stack.supervisor.usage().get(name)
        return used.pid if used is not None else 0

    async def _keep_down(self, name: str, seconds: float) -> None:
        """Kill a program as often as the supervisor starts it."""
        killed, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            if (pid := self._pid(name)) != killed:
                _send(pid, signal.SIGKILL)
                killed = pid
            await asyncio.sleep(KEEP_DOWN_POLL_S)

    async def _tell_venues(self, told: dict[str, Any]) -> None:
        control = self._run.control
        assert isinstance(control, ControlClient)
        try:
            await control.post("fault", told)
        except Unavailable as error:
            self._heard.note(time.time_ns(), "harness", f"{told['venue']}: {error}")


def _send(pid: int, number: signal.Signals) -> None:
    assert pid, "no such program runs"
    with suppress(ProcessLookupError):
        os.kill(pid, number)
