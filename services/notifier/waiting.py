"""Tells that Redis is away where the notifier itself waits for it at its start. IO.

Until then there is no engine that could say so, and no state that says what was told before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from services.notifier.texts import moment
from shared.alerting.table import RULE_OF
from shared.cancel import cancel_and_wait
from shared.clock import Clock
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.notify.courier import Courier
from shared.notify.requests import Send

TOLD_AFTER_S: Final = 30.0
AGAIN_S: Final = 3_600.0

T = TypeVar("T")


class Waiting:
    """Waits for Redis, and tells over the channels that it has to.

    Args:
        section: Its channels.
        courier: Of them.
        clock: Since when it waits.
        told_after_s: It tells after so long; again every hour, or so soon if nobody took it.
    """

    def __init__(
        self,
        section: NotifierConfig,
        courier: Courier,
        clock: Clock,
        *,
        told_after_s: float = TOLD_AFTER_S,
    ) -> None:
        self._section, self._courier, self._clock = section, courier, clock
        self._told_after_s, self._since_ns = told_after_s, clock.now_ns()
        self._sent = 0

    async def until(self, opening: Coroutine[Any, Any, T]) -> T:
        """Return what comes of opening the bus."""
        task = asyncio.create_task(opening)
        pause_s, told = self._told_after_s, False
        try:
            while not (await asyncio.wait({task}, timeout=pause_s))[0]:
                is_taken = await self._tell("")
                told |= is_taken
                pause_s = AGAIN_S if is_taken else self._told_after_s
            if told and not task.exception():
                await self._tell("over: ")
            return task.result()
        finally:
            await cancel_and_wait((task,))

    async def _tell(self, word: str) -> bool:
        """Tell every channel for critical messages, else the first that takes it; was it taken?"""
        channels = self._section.channels
        first = [each for each in channels if "critical" in each.severities]
        taken = [await self._send(each, word) for each in first]
        if any(taken):
            return True
        for each in channels:
            if each not in first and await self._send(each, word):
                return True
        return False

    async def _send(self, channel: NotifyChannel, word: str) -> bool:
        rule, system = RULE_OF["ArbBusDown"], self._section.system
        heading = f"[{system}] {word}{rule.severity.upper()} {rule.name}"
        lines = [
            heading,
            rule.summary,
            f"Since: {moment(self._since_ns)}, when the notifier started",
        ]
        if not word:
            lines.append(f"Do: `{rule.first}`. {rule.remedy}")
        self._sent += 1
        sent = await self._courier.send(
            Send(
                channel=channel.name,
                note_id=self._sent,
                subject=heading,
                text="\n".join(lines),
                severity=rule.severity.value,
                ts_ns=self._clock.now_ns(),
            )
        )
        return not sent.problem
