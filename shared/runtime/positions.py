"""How far a service is in its inputs, published at most once per interval."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.publisher import Publisher


class Positions:
    """Notes positions after the outputs that they stand for."""

    def __init__(
        self, service: str, hosting: Hosting, publisher: Publisher, observer: Observer
    ) -> None:
        self.read: dict[str, str] = {}
        """Stream key -> entry that was read, not published yet."""
        self._prefix = f"{service}:{observer.instance}:"
        self._own, self._interval_s = hosting.positions, hosting.position_interval_s
        self._publisher, self._observer = publisher, observer
        self._own_noted: Mapping[str, str] = {}
        self._next_s = 0.0
        self.due_s = math.inf
        """Loop time at which ``note`` has something to publish."""

    async def note(self) -> None:
        """Publish new positions, or set when to come back; their outputs must be committed."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_s:  # without a look at what is new: once per step is too dear
            self.due_s = self._next_s
            return
        own = self._own()
        if not self.read and own == self._own_noted:
            self.due_s = math.inf
            return
        self._next_s, self.due_s = now_s + self._interval_s, math.inf
        noted, self.read, self._own_noted = self.read, {}, own
        self._observer.inputs.update(noted)
        fields = {self._prefix + key: at for key, at in (*noted.items(), *own.items())}
        await self._publisher.note_positions(fields)
