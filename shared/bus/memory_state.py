"""The bus in memory: checkpoints, positions, marks, leases and members, beside the streams."""

from __future__ import annotations

from collections.abc import Mapping

from shared.bus.memory_store import MemoryServer
from shared.errors import BusUnavailable


class MemoryState:
    """What a process keeps on the bus that is no stream."""

    _fence: tuple[str, str, int] | None = None

    def reach(self) -> MemoryServer:
        """Return the server.

        Raises:
            BusUnavailable: It is down.
        """
        raise NotImplementedError

    async def load_checkpoint(self, name: str) -> bytes | None:
        """See :class:`shared.bus.port.Bus`."""
        return self.reach().values.get(name)

    async def save_checkpoint(self, name: str, state: bytes) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.reach().values[name] = state

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.reach().positions.update(fields)

    async def marks(self) -> Mapping[str, str]:
        """See :class:`shared.bus.port.Bus`."""
        return dict(self.reach().marks)

    async def mark(self, fields: Mapping[str, str], *, only_new: bool = False) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.check_fence()
        marks = self.reach().marks
        marks.update({k: v for k, v in fields.items() if not (only_new and k in marks)})

    async def unmark(self, name: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.check_fence()
        self.reach().marks.pop(name, None)

    async def hold_lease(self, name: str, owner: str, ttl_ms: int) -> int:
        """See :class:`shared.bus.port.Bus`."""
        return self.reach().hold_lease(name, owner, ttl_ms)

    def fence(self, name: str, owner: str, token: int) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self._fence = (name, owner, token)

    def check_fence(self) -> None:
        """Refuse to write if the lease was acquired by another process.

        Raises:
            BusUnavailable: It was.
        """
        if self._fence is not None and self.reach().is_fenced(*self._fence):
            raise BusUnavailable(f"another instance took the lease {self._fence[0]}")

    async def lease_holder(self, name: str) -> str:
        """See :class:`shared.bus.port.Bus`."""
        return self.reach().lease_holder(name)

    async def release_lease(self, name: str, owner: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.reach().release_lease(name, owner)

    async def join_members(self, group: str, member: str, ttl_ms: int) -> list[str]:
        """See :class:`shared.bus.port.Bus`."""
        return self.reach().join_members(group, member, ttl_ms)

    async def leave_members(self, group: str, member: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.reach().leave_members(group, member)
