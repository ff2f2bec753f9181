"""What one recorder process does: raw frames, the ledger, or both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.runner import App


class Parts:
    """Several apps as one: if any ends, all end."""

    def __init__(self, parts: Sequence[App]) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Work until canceled."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.run())

    async def drain(self) -> None:
        """Finish what must be finished."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.drain())

    def readiness(self) -> tuple[bool, str]:
        """Tell whether all do their work, and if not, why."""
        states = [part.readiness() for part in self._parts]
        return all(ready for ready, _ in states), "; ".join(why for _, why in states if why)
