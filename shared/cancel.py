"""Ending tasks and child processes for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 2.0
"""Longer than a task needs to close what it holds, and shorter than any service has to end."""


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until all have ended; what they raised stays with them.

    One cancellation may be lost: ``asyncio.wait_for`` of Python 3.11, which redis-py sends with,
    returns its result where both come in the same turn of the event loop, and the task goes on. So
    tasks that have not ended after ``AGAIN_S`` are canceled again.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)


async def reap(child: asyncio.subprocess.Process) -> None:
    """Wait for a killed child however often this is canceled: else its pipes would stay open.

    Raises:
        asyncio.CancelledError: It was canceled meanwhile; the child has ended.
    """
    waiting = asyncio.ensure_future(child.wait())
    canceled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            canceled = error
    if canceled is not None:
        raise canceled
