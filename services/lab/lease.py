"""Leases and shards of the lab's processes, in virtual time: as ``shared/lease.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.lab.kernel import Kernel
from shared.bus.memory import MemoryBus
from shared.errors import BusUnavailable
from shared.lease_terms import RENEW_S, STANDBY_S, TAKEOVER_PAUSE_S, TTL_MS, assign

RENEW_NS = int(RENEW_S * 1e9)
STANDBY_NS = int(STANDBY_S * 1e9)
TTL_NS = TTL_MS * 1_000_000
TAKEOVER_PAUSE_NS = int(TAKEOVER_PAUSE_S * 1e9)


class Witness(Protocol):
    """What tells whether the process that holds a lease is gone."""

    @property
    def kernel(self) -> Kernel:
        """Virtual time."""

    def is_gone(self, owner: str) -> bool:
        """Tell whether a process has ended where one can see it: on the same machine."""


class LabLease:
    """One lease of one process."""

    def __init__(self, lab: Witness, bus: MemoryBus, name: str, owner: str) -> None:
        self._lab, self._bus, self.name, self.owner = lab, bus, name, owner
        self._valid_until_ns = self._token = 0

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can hold it now."""
        return self._lab.kernel.now_ns() < self._valid_until_ns

    def hold(self) -> bool:
        """Take or renew it; false if another process holds it, or cannot be asked for.

        While the bus is away it stays valid for as long as it was held.
        """
        asked_ns = self._lab.kernel.now_ns()
        try:
            held = take(self._lab, self._bus, self.name, self.owner)
        except BusUnavailable:
            return self.is_valid
        if held:
            self._valid_until_ns = asked_ns + TTL_NS
            if not self._token:
                self._token = held
                self._bus.fence(self.name, self.owner, held)
        return held == self._token and held > 0


class LabShards:
    """Which shards a process owns among the members of its service."""

    def __init__(self, lab: Witness, bus: MemoryBus, service: str, owner: str, shards: int) -> None:
        self._lab, self._bus, self._service, self._owner = lab, bus, service, owner
        self._shards = shards
        self.owned: tuple[int, ...] = ()
        self._renewed_ns = lab.kernel.now_ns()

    def refresh(self) -> tuple[int, ...]:
        """Return the shards owned now; without the bus they are kept while the leases last."""
        now_ns = self._lab.kernel.now_ns()
        try:
            self.owned = self._ask()
            self._renewed_ns = now_ns
        except BusUnavailable:
            if now_ns - self._renewed_ns > TTL_NS:
                self.owned = ()
        return self.owned

    def _ask(self) -> tuple[int, ...]:
        server = self._bus.reach()
        members = server.join_members(self._service, self._owner, TTL_MS)
        for gone in [member for member in members if self._lab.is_gone(member)]:
            server.leave_members(self._service, gone)
            members.remove(gone)
        owned = []
        for shard, owner in assign(self._shards, members).items():
            name = f"{self._service}:shard:{shard}"
            if owner == self._owner:
                if take(self._lab, self._bus, name, self._owner):
                    owned.append(shard)
            elif shard in self.owned:
                server.release_lease(name, self._owner)
        return tuple(owned)


class Pause:
    """What waits while a process is stopped (SIGSTOP): it all comes when it goes on."""

    def __init__(self) -> None:
        self.is_on = False
        self._waiting: list[Callable[[], None]] = []

    def begin(self) -> None:
        """The process stands still."""
        self.is_on = True

    def wait(self, event: Callable[[], None]) -> None:
        """Let it happen when the process goes on."""
        self._waiting.append(event)

    def wait_first(self, event: Callable[[], None]) -> None:
        """Let it happen before all else when the process goes on."""
        self._waiting.insert(0, event)

    def end(self) -> list[Callable[[], None]]:
        """Return what has waited, in order; the process goes on, or is no more."""
        self.is_on = False
        waiting, self._waiting = self._waiting, []
        return waiting


def take(lab: Witness, bus: MemoryBus, name: str, owner: str) -> int:
    """Take or renew a lease, also from a process that can be seen to be gone; return its token.

    Raises:
        BusUnavailable: The bus is away.
    """
    server = bus.reach()
    if token := server.hold_lease(name, owner, TTL_MS):
        return token
    holder = server.lease_holder(name)
    if not lab.is_gone(holder):
        return 0
    server.release_lease(name, holder)
    return server.hold_lease(name, owner, TTL_MS)
