"""Replies on a connection to Redis: taken as they arrive, counted off, and waited for."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis

CLOCK_STEP_S = 0.001
"""Of the event loop's timers: one that comes earlier by less than this is not set again."""
OPTIONAL_MAX = 256
"""Optional replies still to come; they are sent a few times a second."""


class Wire(asyncio.Protocol):
    """The receiving half of an established connection.

    Takes replies as they arrive, whether or not anybody waits: counts them off, keeps the last and
    the first error. So publishing needs no reading task, and an awaited reply costs one wake-up.
    """

    def __init__(self) -> None:
        self.awaited = 0
        self.last: Any = None
        self.refused: hiredis.ReplyError | None = None
        self.refused_left = 0
        self.sent = 0
        self.optional: deque[int] = deque(maxlen=OPTIONAL_MAX)
        """Which replies, counted from the first one, may be errors without harm."""
        self.passed_over = ""
        """The last error among those."""
        self.lost = ""
        self.waiter: asyncio.Future[None] | None = None
        self._reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        """Count off the replies in ``data``."""
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self.awaited -= 1
                if type(reply) is hiredis.ReplyError:
                    reply = self._refuse(reply)
                self.last = reply
        except hiredis.ProtocolError as error:
            self.lost = f"not the Redis protocol: {error}"
        waiter = self.waiter
        if (self.awaited <= 0 or self.lost) and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _refuse(self, error: hiredis.ReplyError) -> hiredis.ReplyError | None:
        """Keep the first error, except of optional replies."""
        if self.sent - self.awaited - 1 in self.optional:
            self.passed_over = str(error)
            return None
        if self.refused is None:
            self.refused, self.refused_left = error, self.awaited
        return error

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why: callers that wait, and the next one, get it as their error."""
        self.lost = self.lost or str(exc or "the connection was closed")
        self.wake()

    def wake(self) -> None:
        """Wake the callers that wait, so that they look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Waiting:
    """Waits for connections, one wait at a time.

    Its timer outlives a wait: nearly every one is ended by an answer, and to set and cancel a timer
    for each costs a quarter of it. One that comes too early for the present wait is set again.
    """

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._until_s = self._timer_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def on(self, wires: Sequence[Wire], until_s: float) -> None:
        """Wait until one of the connections has all replies or is lost, or until a loop time."""
        loop = self._loop or asyncio.get_running_loop()
        self._loop = loop  # to ask for it is a call of the system
        waiter: asyncio.Future[None] = loop.create_future()
        for wire in wires:
            assert wire.waiter is None or wire.waiter.done(), "two wait on one connection"
            wire.waiter = waiter
            if wire.lost or wire.awaited <= 0:
                wire.wake()
        self._waiter, self._until_s = waiter, until_s
        if until_s < self._timer_s:
            self._set(loop, until_s)
        try:
            await waiter
        finally:
            waiter.cancel()  # done, whoever looks at it later

    def stop(self) -> None:
        """Let the timer go; a further wait sets it again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = None, math.inf

    def _set(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        self.stop()
        self._timer_s = at_s
        self._timer = loop.call_at(at_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_s = None, math.inf
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        loop = waiter.get_loop()
        if loop.time() >= self._until_s - CLOCK_STEP_S:
            waiter.set_result(None)
        else:
            self._set(loop, self._until_s)
