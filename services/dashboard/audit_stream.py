"""Puts the audit trail on the stream ``sys.audit``, as soon as Redis takes it. IO.

The file comes first: what waits here is in it. Entries beyond ``WAITING_MAX`` are on no stream; how
many is told, and a dashboard that is started puts those there that are still in its newest file.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from shared.backoff import Backoff
from shared.cancel import cancel_and_wait
from shared.errors import ArbError
from shared.messages.control import Audited
from shared.streams import SYS_AUDIT
from shared.watch.link import Link, Target, open_link

log = logging.getLogger(__name__)

WAITING_MAX: Final = 2_000
LOOKED_BACK: Final = 4_000
"""Entries of the stream that are looked at for what is there already."""
END_WITHIN_S: Final = 1.0


class AuditStream:
    """Publishes entries in their order, each at least once; readers know them by their hash.

    Args:
        target: Redis, as the dashboard's own user.
        before: Entries that the file has; those that are on no stream are published.
    """

    def __init__(self, target: Target, before: Iterable[Audited]) -> None:
        self._target = target
        self._waiting = deque(before, maxlen=WAITING_MAX)
        self._is_new = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.left_out = 0
        self.problem = ""

    def put(self, entry: Audited) -> None:
        """Publish an entry as soon as it can be."""
        self.left_out += len(self._waiting) == WAITING_MAX
        self._waiting.append(entry)
        self._is_empty.clear()
        self._is_new.set()

    def start(self) -> None:
        """Begin to publish."""
        self._running = asyncio.create_task(self._run(), name="audit stream")

    async def close(self) -> None:
        """Give what waits a moment, and end."""
        if self._running is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN_S):
                await self._is_empty.wait()
        await cancel_and_wait((self._running,))

    @property
    def state(self) -> str:
        """What an operator should know of it; empty where nothing waits."""
        if not self.problem:
            return ""
        more = f", {self.left_out} are only in the file" if self.left_out else ""
        return f"{len(self._waiting)} entries wait for sys.audit{more}: {self.problem}"

    async def _run(self) -> None:
        backoff, is_looked_back = Backoff(0.2, 5.0), False
        while True:
            try:
                async with open_link(self._target) as link:
                    if not is_looked_back:
                        await self._skip_what_is_there(link)
                        is_looked_back = True
                    while True:
                        await self._publish(link)
                        self.problem, backoff = "", Backoff(0.2, 5.0)
                        await self._is_new.wait()
            except ArbError as error:
                if not self.problem:
                    log.error("audit_not_on_stream", extra={"reason": str(error)})
                self.problem = str(error)
            await asyncio.sleep(backoff.next_s())

    async def _skip_what_is_there(self, link: Link) -> None:
        there = {
            item.message.hash
            for item in await link.newest(SYS_AUDIT, count=LOOKED_BACK)
            if isinstance(item.message, Audited)
        }
        kept = [entry for entry in self._waiting if entry.hash not in there]
        self._waiting.clear()
        self._waiting.extend(kept)

    async def _publish(self, link: Link) -> None:
        self._is_new.clear()
        while self._waiting:
            entry = self._waiting[0]
            await link.publish(entry, SYS_AUDIT)
            # While it was sent the oldest may have made room.
            if self._waiting and self._waiting[0] is entry:
                self._waiting.popleft()
        self._is_empty.set()
