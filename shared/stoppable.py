"""An inbox whose pump can be ended between two batches.

Canceling the pump instead could cut a commit in half and leave the connection in the middle.
"""

from __future__ import annotations

from shared.bus.port import Batch, Inbox
from shared.errors import ArbError


class Stopped(ArbError):  # noqa: N818 - not a failure: it ends a pump between two batches
    """``stopping`` was set."""


class StoppableInbox:
    """The inbox underneath, until ``stopping`` is set."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.stopping = False

    @property
    def is_durable(self) -> bool:
        """What the inbox underneath is."""
        return self._inbox.is_durable

    async def read(self, timeout_s: float | None = None) -> Batch:
        """Return the next batch.

        Raises:
            Stopped: ``stopping`` was set.
        """
        if self.stopping:
            raise Stopped
        await self.between_batches()
        return await self._inbox.read(timeout_s)

    async def between_batches(self) -> None:
        """Do what has to be done before the next batch; nothing here."""

    async def close(self) -> None:
        """Close the inbox underneath."""
        await self._inbox.close()
