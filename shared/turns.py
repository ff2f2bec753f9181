"""A fair lock among the tasks of one event loop, first come, first served.

Like ``asyncio.Lock``, but one without waiters costs one call to take and one to release. A
message passes a dozen of them between a tick and its order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Turns:
    """One turn at a time. Where every call counts::

        if not turns.try_take():
            await turns.take()
        try:
            ...
        finally:
            turns.give()

    and elsewhere ``async with turns``.
    """

    __slots__ = ("_waiting", "is_taken")

    def __init__(self) -> None:
        self.is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()  # bounded by the tasks that wait

    def try_take(self) -> bool:
        """Take the turn if it is free, and tell whether that was so."""
        if self.is_taken:
            return False
        self.is_taken = True
        return True

    async def take(self) -> None:
        """Wait for the turn, behind those who wait already."""
        if self.try_take():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was handed over just before
                self.give()
            raise

    def give(self) -> None:
        """End the turn: it goes to the first who waits, without ever being free between."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else it was canceled
                waiter.set_result(None)
                return
        self.is_taken = False

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give()
