"""The bus over Redis: marks of the ledger, leases and members, beside the streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.bus.address import Endpoint
from shared.bus.connection import RedisLink
from shared.bus.fence import Fence
from shared.bus.insist import Insistence
from shared.bus.tuning import LEDGER_KEY, fence_key, lease_key, members_key
from shared.bus.wire import pack
from shared.errors import BusUnavailable

_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
local token, last = string.match(redis.call('GET', KEYS[2]) or '0 ', '^(%d+) (.*)$')
token = tonumber(token or 0)
if not owner or last ~= ARGV[1] then
  token = token + 1
  redis.call('SET', KEYS[2], string.format('%d %s', token, ARGV[1]))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
"""
REPLICA_ANSWER_MS = 500
"""How long a replica may take to confirm a lease; it is tried again before the lease ends."""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_JOIN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""


class RedisState:
    """What a process keeps in Redis that is no stream."""

    _control: RedisLink
    _insist: Insistence
    _fence: Fence
    _endpoint: Endpoint

    async def marks(self) -> Mapping[str, str]:
        """See :class:`shared.bus.port.Bus`."""
        flat = await self._insist.patiently(lambda: self._control.call("HGETALL", LEDGER_KEY))
        return {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}

    async def mark(self, fields: Mapping[str, str], *, only_new: bool = False) -> None:
        """See :class:`shared.bus.port.Bus`."""
        verb = "HSETNX" if only_new else "HSET"
        commands = [pack(verb, LEDGER_KEY, k, v) for k, v in fields.items()]
        await self._insist.patiently(lambda: self._write(commands))

    async def unmark(self, name: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._insist.patiently(lambda: self._write([pack("HDEL", LEDGER_KEY, name)]))

    async def _write(self, commands: Sequence[bytes]) -> None:
        self._fence.check_done(await self._control.call_all(*self._fence.around(commands)))

    async def hold_lease(self, name: str, owner: str, ttl_ms: int) -> int:
        """See :class:`shared.bus.port.Bus`."""
        keys = (lease_key(name), fence_key(name))
        token = int(await self._control.call("EVAL", _HOLD, 2, *keys, owner, ttl_ms))
        if token and self._endpoint.sentinels is not None:
            await self._confirm(name, self._control.connects)
        return token

    async def _confirm(self, name: str, connects: int) -> None:
        """Wait until a replica has the lease too: after a fail-over it is the one that counts.

        Raises:
            BusUnavailable: None has it, so whoever asks the new primary may be given it as well.
        """
        held_by = int(await self._control.call("WAIT", 1, REPLICA_ANSWER_MS))
        if (
            not held_by or self._control.connects != connects
        ):  # WAIT is of what one connection wrote
            raise BusUnavailable(
                f"no replica of {self._endpoint.where} confirms the lease of {name}, which a "
                "fail-over would lose; is one connected?"
            )

    def fence(self, name: str, owner: str, token: int) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self._fence.guard(fence_key(name), f"{token} {owner}")

    async def lease_holder(self, name: str) -> str:
        """See :class:`shared.bus.port.Bus`."""
        return str(await self._control.call("GET", lease_key(name)) or b"", errors="replace")

    async def release_lease(self, name: str, owner: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._control.call("EVAL", _RELEASE, 1, lease_key(name), owner)

    async def join_members(self, group: str, member: str, ttl_ms: int) -> list[str]:
        """See :class:`shared.bus.port.Bus`."""
        raw = await self._control.call("EVAL", _JOIN, 1, members_key(group), member, ttl_ms)
        return sorted(name.decode() for name in raw)

    async def leave_members(self, group: str, member: str) -> None:
        """See :class:`shared.bus.port.Bus`."""
        await self._control.call("ZREM", members_key(group), member)
