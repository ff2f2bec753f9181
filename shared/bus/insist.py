"""Repeats what Redis refuses: nothing of it was done, so nothing is lost or done twice.

A key of the wrong type, full memory or disk, missing rights: once that is repaired, publishing
continues without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import hiredis

from shared.bus.connection import RedisLink, ReplyError, reply_error
from shared.bus.fence import Fence
from shared.bus.wire import key_of, pack
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.logs import Throttle

log = logging.getLogger(__name__)

_T = TypeVar("_T")
REFUSED_RETRY_S = 0.5
"""Pause before asking again for what Redis has refused."""
_SAY_EVERY_S = 3.0
_MULTI, _EXEC = pack("MULTI"), pack("EXEC")


class Insistence:
    """Transactions on a publishing connection and reads on any, repeated until accepted."""

    def __init__(
        self,
        out: RedisLink,
        send: Callable[[list[bytes]], Awaitable[int]],
        clock: Clock,
        *,
        fence: Fence,
        insists: bool = True,
    ) -> None:
        self._out, self._send, self._clock = out, send, clock
        self._insists, self._fence = insists, fence
        self._problems: dict[object, str] = {}
        self._throttle = Throttle(_SAY_EVERY_S)

    @property
    def problem(self) -> str:
        """What is being asked for again, and why; empty while nothing is."""
        return next(iter(self._problems.values()), "")

    async def transact(self, commands: list[bytes]) -> None:
        """Carry out all of it; while Redis refuses a part, wait and ask again for that part."""
        try:
            while commands:
                try:
                    refused = await self._attempt(commands)
                except ReplyError as error:
                    if not error.may_pass:
                        raise
                    self._alert_refused(error, commands)  # as a whole: nothing of it was done
                else:
                    commands = refused
                if commands:
                    await asyncio.sleep(REFUSED_RETRY_S)
        finally:
            self._problems.pop(self, None)

    async def _attempt(self, commands: list[bytes]) -> list[bytes]:
        """Send commands as one transaction and return those that were refused in it."""
        is_fenced = self._fence.stands
        is_transaction = len(commands) > 1 or is_fenced
        packed = [_MULTI, *commands, _EXEC] if is_transaction and not is_fenced else commands
        try:
            sent = await self._send(packed)
        except ReplyError as error:  # of what was sent before without a promise
            self._alert_refused(error, ())
            sent = await self._send(packed)
        try:
            result = await self._out.settle()
        except ReplyError as error:
            if error.left < sent:
                raise
            self._alert_refused(error, ())
            result = await self._out.take()
        if isinstance(result, hiredis.ReplyError):
            raise reply_error(str(result))
        self._fence.check_done(result)
        parts = result if isinstance(result, list) and is_transaction else ()
        refused = []
        for command, part in zip(commands, parts, strict=False):
            if isinstance(part, Exception):
                self._alert_refused(reply_error(str(part)), [command])
                refused.append(command)
        return refused

    def _alert_refused(self, error: ReplyError, commands: Sequence[bytes]) -> None:
        """Log what Redis refuses, and where, every few seconds."""
        keys = sorted({key_of(command) for command in commands} - {""})
        self._problems[self] = f"cannot write {', '.join(keys)}: {error}" if keys else str(error)
        if self._throttle.passes(self._clock.monotonic_ns() / 1e9):
            log.error("bus_refused", extra={"reason": str(error), "keys": keys})

    async def patiently(self, ask: Callable[[], Awaitable[_T]], *, also_lost: bool = False) -> _T:
        """Ask again while Redis refuses it, with ``also_lost`` also while it is away."""
        question = object()
        try:
            while True:
                try:
                    return await ask()
                except BusUnavailable as error:
                    passes = self._insists and isinstance(error, ReplyError) and error.may_pass
                    if not (also_lost or passes):
                        raise
                    self._problems[question] = f"waiting for Redis: {error}"
                    if self._throttle.passes(self._clock.monotonic_ns() / 1e9):
                        log.warning("bus_waiting", extra={"reason": str(error)})
                await asyncio.sleep(REFUSED_RETRY_S)
        finally:
            self._problems.pop(question, None)
