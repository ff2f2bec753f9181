"""The tasks of one process: the first that fails ends the service."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

from shared.cancel import cancel_and_wait
from shared.lease import LeaseLost


class Tasks:
    """Tasks that outlive a canceled ``run``: a stop does not cut a step in half.

    A transport that needs tasks takes ``spawn``, so that what fails in them ends the service too.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._failed = asyncio.Event()

    @property
    def has_failed(self) -> bool:
        """Whether one of them failed."""
        return self._failed.is_set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def fail(self, error: BaseException) -> None:
        """End the service for something that is not raised in a task."""
        self._failures.append(error)
        self._failed.set()

    async def until_one_fails(self) -> None:
        """Wait, possibly for ever."""
        await self._failed.wait()

    def raise_failure(self) -> NoReturn:
        """Raise what the first that failed has raised, or LeaseLost if any did: it says why.

        Raises:
            LeaseLost: See above.
        """
        lost = [error for error in self._failures if isinstance(error, LeaseLost)]
        raise (lost or self._failures)[0]

    async def cancel(self) -> None:
        """End all of them, and those that they start while they end."""
        while self._running:
            await cancel_and_wait(self._running)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)
