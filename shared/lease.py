"""Who may work: one active instance of a service, or an owner per shard.

A lease is a key with a time to live that its owner renews. Its owner is a process, not a name that
two could have (see shared/process.py). The lease of a killed owner ends within ``TTL_MS``, and at
once where the instance that waits can see that the process is gone. Shards are assigned by a pure
function of the living members, and taken only when their lease is free, so two instances never own
one shard at a time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from shared.bus.port import Bus
from shared.cancel import cancel_and_wait
from shared.errors import ArbError, BusUnavailable
from shared.lease_terms import RENEW_S, STANDBY_S, TAKEOVER_PAUSE_S, TTL_MS, assign
from shared.process import describe, is_gone

log = logging.getLogger(__name__)

_T = TypeVar("_T")

STANDBY = "standby"


class LeaseLost(ArbError):  # noqa: N818 - named like the other errors of the tree
    """Another instance holds what this one held: this process must end."""


async def take(bus: Bus, name: str, owner: str) -> int:
    """Take or renew a lease, also from a process of this machine that is gone.

    Returns its fencing token; 0 if another process holds it.
    """
    if token := await bus.hold_lease(name, owner, TTL_MS):
        return token
    holder = await bus.lease_holder(name)
    if not is_gone(holder):
        return 0
    log.info("lease_of_dead_process", extra={"lease": name, "holder": holder})
    await bus.release_lease(name, holder)
    return await bus.hold_lease(name, owner, TTL_MS)


class Lease:
    """One lease of one owner."""

    def __init__(self, bus: Bus, name: str, owner: str) -> None:
        self._bus, self._name, self._owner = bus, name, owner
        self.waiting_for = ""
        """While it is not ours: why, for a person to read."""
        self._valid_until_s = -math.inf
        self._token = 0
        self._problem = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Wait until the lease is ours; meanwhile this instance is the standby.

        Args:
            on_wait: Called with the reason whenever it changes.
        """
        while True:
            try:
                reason = await self._try()
            except BusUnavailable as error:
                reason = f"waiting for Redis: {error}"
            if not reason:
                break
            if reason != self.waiting_for:
                self.waiting_for = reason
                log.warning("standby", extra={"lease": self._name, "reason": reason})
                on_wait(reason)
            await asyncio.sleep(STANDBY_S)
        self.waiting_for = ""
        log.info("lease_held", extra={"lease": self._name})

    @property
    def is_standby(self) -> bool:
        """Whether another process is active, so that waiting is what this one is for."""
        return self.waiting_for.startswith(STANDBY)

    def check(self) -> None:
        """Refuse to go on if another process may hold the lease by now.

        A process that was stopped, or got no processor, for longer than the lease lasts must not do
        what it was about to do: a standby may have done it meanwhile.

        Raises:
            LeaseLost: It was not renewed in time.
        """
        loop = self._loop or asyncio.get_running_loop()
        self._loop = loop  # to ask for it is a call of the system, and every step checks
        late_s = loop.time() - self._valid_until_s
        if late_s >= 0:
            stopped = "this process was stopped, or had no processor, for too long"
            raise LeaseLost(
                f"lease {self._name} ran out {late_s:.1f} s ago: {self._problem or stopped}"
            )

    async def _try(self) -> str:
        """Take the lease, or return why not."""
        self._valid_until_s = asyncio.get_running_loop().time() + TTL_MS / 1_000
        if token := await take(self._bus, self._name, self._owner):
            self._token = token
            self._bus.fence(self._name, self._owner, token)
            # Nobody may hold it because it was given up, or ran out, just now.
            await asyncio.sleep(TAKEOVER_PAUSE_S)
            return ""
        holder = await self._bus.lease_holder(self._name)
        return f"{STANDBY}: {describe(holder)} is active" if holder else STANDBY

    async def keep(self) -> None:
        """Renew until canceled.

        Raises:
            LeaseLost: Another instance holds it, or it could not be renewed before it ended.
        """
        loop = asyncio.get_running_loop()
        while True:
            self.check()
            asked_s = loop.time()
            try:
                token = await self._bus.hold_lease(self._name, self._owner, TTL_MS)
            except BusUnavailable as error:
                self._problem = str(error)
                self.check()
            else:
                if not token:
                    raise LeaseLost(f"lease {self._name} was lost to another instance")
                if token != self._token:  # Redis lost it: what happened meanwhile is unknown
                    raise LeaseLost(f"lease {self._name} was lost by Redis and acquired again")
                self._valid_until_s, self._problem = asked_s + TTL_MS / 1_000, ""
            await asyncio.sleep(RENEW_S)

    async def while_held(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do some work and renew meanwhile.

        Raises:
            LeaseLost: See :meth:`keep`; the work was canceled.
        """
        keeping, working = asyncio.create_task(self.keep()), asyncio.create_task(work)
        try:
            await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                keeping.result()
            return await working
        finally:
            await cancel_and_wait((keeping, working))

    async def release(self) -> None:
        """Give the lease up, so that a standby takes over at once."""
        try:
            await self._bus.release_lease(self._name, self._owner)
        except BusUnavailable as error:
            log.warning("lease_not_released", extra={"lease": self._name, "reason": str(error)})


class ShardOwner:
    """One member of a group of instances that share the shards of a service.

    Args:
        bus: Where the leases are.
        service: Whose shards.
        member: This process.
        shards: How many there are.
        others: What is shared beside shards, numbered after them: each has a lease of its own.
    """

    def __init__(
        self, bus: Bus, service: str, member: str, shards: int, others: Sequence[str] = ()
    ) -> None:
        self._bus, self._service, self._member = bus, service, member
        self._leases = [f"{service}:shard:{shard}" for shard in range(shards)]
        self._leases += [f"{service}:{other}" for other in others]
        self._owned: tuple[int, ...] = ()
        self._renewed_s = 0.0
        self._valid_until_s: dict[int, float] = {}
        """Of the leases held, also of what is no longer owned and not let go yet."""
        self.problem = ""
        """Why ownership cannot be settled, for a person to read."""

    async def owned(self) -> AsyncIterator[tuple[int, ...]]:
        """Yield the shards this instance owns, at the start and at every change, until canceled.

        A shard that is no longer in the tuple is kept from the others until :meth:`let_go`, but no
        longer than its lease lasts. Loses everything when Redis cannot be reached for ``TTL_MS``.
        """
        loop = asyncio.get_running_loop()
        self._renewed_s = loop.time()
        first = True
        while True:
            try:
                owned = await self._refresh()
                self._renewed_s, self.problem = loop.time(), ""
            except BusUnavailable as error:
                problem = f"waiting for Redis: {error}"
                if problem != self.problem:
                    log.warning("shards_not_renewed", extra={"reason": str(error)})
                self.problem = problem
                lost = loop.time() - self._renewed_s > TTL_MS / 1_000
                owned = () if lost else self._owned
            if owned != self._owned or first:
                first = False
                self._owned = owned
                log.info("shards_owned", extra={"owned": list(owned)})
                yield owned
            await asyncio.sleep(RENEW_S)

    async def _refresh(self) -> tuple[int, ...]:
        asked_s = asyncio.get_running_loop().time()
        members = await self._bus.join_members(self._service, self._member, TTL_MS)
        for gone in [member for member in members if is_gone(member)]:
            await self._bus.leave_members(self._service, gone)
            members.remove(gone)
        owners = assign(len(self._leases), members)
        owned: list[int] = []
        for shard, owner in owners.items():
            if owner == self._member and await take(self._bus, self._leases[shard], self._member):
                owned.append(shard)
                self._valid_until_s[shard] = asked_s + TTL_MS / 1_000
        return tuple(owned)

    def holds(self, shard: int) -> bool:
        """Tell whether the lease is still ours for certain: nobody else has gone on with it."""
        valid_until_s = self._valid_until_s.get(shard, -math.inf)
        return asyncio.get_running_loop().time() < valid_until_s

    async def let_go(self, owned: Sequence[int]) -> None:
        """Give up what is not in ``owned``: all that was to be done with it is done."""
        given_up = set(self._valid_until_s) - {*owned, *self._owned}
        for shard in sorted(given_up):
            del self._valid_until_s[shard]
        await self._release(sorted(given_up))

    async def leave(self) -> None:
        """Give all shards up, so that the others take them over at once."""
        held = sorted({*self._owned, *self._valid_until_s})
        self._owned, self._valid_until_s = (), {}
        try:
            await self._bus.leave_members(self._service, self._member)
        except BusUnavailable as error:
            log.warning("shards_not_released", extra={"reason": str(error)})
            return
        await self._release(held)

    async def _release(self, shards: Sequence[int]) -> None:
        try:
            for shard in shards:
                await self._bus.release_lease(self._leases[shard], self._member)
        except BusUnavailable as error:  # they end by themselves
            log.warning("shards_not_released", extra={"reason": str(error)})
