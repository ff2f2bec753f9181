"""How far a service is in its inputs, said at most once per interval."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.publisher import Publisher


class Positions:
    """Notes positions after the outputs that they speak of."""

    def __init__(
        self, service: str, hosting: Hosting, publisher: Publisher, observer: Observer
    ) -> None:
        self.read: dict[str, str] = {}
        """Stream key -> entry that was read, not said yet."""
        self._prefix = f"{service}:{observer.instance}:"
        self._own, self._interval_s = hosting.positions, hosting.position_interval_s
        self._publisher, self._observer = publisher, observer
        self._own_said: Mapping[str, str] = {}
        self._next_s = 0.0
        self.due_s = math.inf
        """Loop time at which ``note`` has something to say."""

    async def note(self) -> None:
        """Say what is new, or when to come back for it; all of it must have been committed."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_s:  # without a look at what is new: once per step is too dear
            self.due_s = self._next_s
            return
        own = self._own()
        if not self.read and own == self._own_said:
            self.due_s = math.inf
            return
        self._next_s, self.due_s = now_s + self._interval_s, math.inf
        said, self.read, self._own_said = self.read, {}, own
        self._observer.inputs.update(said)
        fields = {self._prefix + key: at for key, at in (*said.items(), *own.items())}
        await self._publisher.note_positions(fields)
