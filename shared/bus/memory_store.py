"""What a Redis server holds for the bus, in memory: streams with groups, values, leases. Pure.

Deterministic: time comes from the given clock, ids are made from it, nothing iterates a set. Shared
by the :class:`~shared.bus.memory.MemoryBus` of every simulated process.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import Any

from shared.bus.port import Input
from shared.bus.tuning import DEAD_BYTES_MAX, DEAD_ENTRIES_MAX
from shared.clock import Clock
from shared.codec import decode
from shared.streams import Delivery, StreamSpec

Id = tuple[int, int]
ZERO: Id = (0, 0)


def format_id(entry_id: Id) -> str:
    """Return an id as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"


@dataclass(slots=True)
class Pending:
    """An entry delivered to a consumer and not acknowledged yet."""

    consumer: str
    deliveries: int
    delivered_ns: int


@dataclass(slots=True)
class Group:
    """A consumer group of one stream."""

    last_id: Id = ZERO
    pending: dict[Id, Pending] = field(default_factory=dict)

    def needs_from(self) -> Id:
        """Return the lowest id this group still needs."""
        return min(self.pending, default=self.last_id)

    def copy(self) -> Group:
        """Return the group as it is now."""
        return Group(self.last_id, {key: replace(one) for key, one in self.pending.items()})


class Stream:
    """One stream: entries in order, and its groups."""

    def __init__(self) -> None:
        self.ids: list[Id] = []
        self.payloads: list[bytes] = []
        self.signatures: dict[Id, bytes] = {}
        """Of the entries that have one."""
        self.last_id: Id = ZERO
        self.added = 0
        self.bytes = 0
        self.removed_to: Id = ZERO
        self.groups: dict[str, Group] = {}

    def append(self, payload: bytes, now_ms: int, signature: bytes = b"") -> Id:
        """Add an entry and return its id."""
        ms, seq = self.last_id
        self.last_id = (now_ms, 0) if now_ms > ms else (ms, seq + 1)
        self.ids.append(self.last_id)
        self.payloads.append(payload)
        self.added += 1
        self.bytes += len(payload)
        if signature:
            self.signatures[self.last_id] = signature
        return self.last_id

    def after(self, entry_id: Id, count: int) -> list[tuple[Id, bytes]]:
        """Return up to ``count`` entries that come after ``entry_id``."""
        if entry_id >= self.last_id:
            return []
        ids = self.ids
        if count and ids and (len(ids) == 1 or ids[-2] <= entry_id):  # mostly one is new
            return [(ids[-1], self.payloads[-1])] if ids[-1] > entry_id else []
        start = bisect_right(ids, entry_id)
        stop = start + count
        return list(zip(ids[start:stop], self.payloads[start:stop], strict=True))

    def newest(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return payload and signature of the newest entries, oldest first."""
        kept = zip(self.ids[-count:], self.payloads[-count:], strict=True)
        return [(payload, self.signatures.get(entry_id, b"")) for entry_id, payload in kept]

    def get(self, entry_id: Id) -> bytes | None:
        """Return one entry's payload, ``None`` if it was trimmed."""
        index = bisect_right(self.ids, entry_id) - 1
        if index < 0 or self.ids[index] != entry_id:
            return None
        return self.payloads[index]

    def trim(self, spec: StreamSpec) -> None:
        """Hold the stream to its bounds; a DURABLE one never past what a group still needs."""
        excess = max(0, len(self.ids) - spec.entries_max)
        if not excess and self.bytes <= spec.bytes_max:
            return
        left = sum(map(len, self.payloads[excess:])) if self.bytes > spec.bytes_max else 0
        while left > spec.bytes_max:
            left -= len(self.payloads[excess])
            excess += 1
        if excess <= 0:
            return
        if spec.delivery is Delivery.DURABLE:
            if not set(spec.consumers) <= set(self.groups):
                return
            floor = min(group.needs_from() for group in self.groups.values())
            excess = min(excess, sum(entry_id < floor for entry_id in self.ids))
        self.bytes -= sum(map(len, self.payloads[:excess]))
        if excess > 0:
            self.removed_to = max(self.removed_to, self.ids[excess - 1])
        if self.signatures:
            for entry_id in self.ids[: max(0, excess)]:
                self.signatures.pop(entry_id, None)
        del self.ids[:excess]
        del self.payloads[:excess]

    def copy(self) -> Stream:
        """Return the stream as it is now."""
        twin = Stream()
        twin.ids, twin.payloads = self.ids[:], self.payloads[:]
        twin.signatures = self.signatures.copy()
        twin.last_id, twin.removed_to = self.last_id, self.removed_to
        twin.added, twin.bytes = self.added, self.bytes
        twin.groups = {name: group.copy() for name, group in self.groups.items()}
        return twin

    def delete(self, entry_id: Id) -> None:
        """Remove one entry, as any client of the server could."""
        index = self.ids.index(entry_id)
        self.bytes -= len(self.payloads[index])
        del self.ids[index], self.payloads[index]
        self.signatures.pop(entry_id, None)
        self.removed_to = max(self.removed_to, entry_id)


class MemoryServer:
    """The simulated server."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.streams: dict[str, Stream] = {}
        self.values: dict[str, bytes] = {}
        self.positions: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self.dead: dict[str, list[dict[str, str | bytes]]] = {}
        self.is_up = True
        self.losses = 0
        self._leases: dict[str, tuple[str, int]] = {}
        self._fences: dict[str, tuple[int, str]] = {}
        self._members: dict[str, dict[str, int]] = {}

    def stream(self, key: str) -> Stream:
        """Return a stream, made on first use."""
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = Stream()
        return stream

    def add(self, key: str, payload: bytes, signature: bytes = b"") -> str:
        """Append raw bytes to a stream, as any client of the server could; return the id."""
        return format_id(self.append(key, payload, signature))

    def append(self, key: str, payload: bytes, signature: bytes = b"") -> Id:
        """Append an entry; return its id, not written out."""
        return self.stream(key).append(payload, self.clock.now_ns() // 1_000_000, signature)

    def add_dead(
        self, stream: str, entry_id: Id, payload: bytes, *, reason: str, group: str
    ) -> None:
        """Put an entry aside that a group cannot read."""
        dead = self.dead.setdefault(stream, [])
        shown = payload[:DEAD_BYTES_MAX]
        dead.append({"id": format_id(entry_id), "m": shown, "reason": reason, "group": group})
        del dead[:-DEAD_ENTRIES_MAX]

    def decode(self, spec: StreamSpec, payload: bytes, now_ns: int) -> list[Any]:
        """Return the messages of an entry for one reader.

        Raises:
            CodecError: As ``shared.codec.decode``.
        """
        return decode(spec, payload, now_ns)

    def lose_everything(self) -> None:
        """Forget all data, as a server without persistence does when it restarts."""
        self.losses += 1
        self.streams.clear()
        self.values.clear()
        self.positions.clear()
        self.marks.clear()
        self._leases.clear()
        self._fences.clear()
        self._members.clear()

    def now_ms(self) -> int:
        """Return UNIX time in milliseconds."""
        return self.clock.now_ns() // 1_000_000

    def hold_lease(self, name: str, owner: str, ttl_ms: int) -> int:
        """Take or renew a lease; return its fencing token, 0 if it is not held."""
        holder = self.lease_holder(name)
        if holder and holder != owner:
            return 0
        token, last = self._fences.get(name, (0, ""))
        if not holder or last != owner:
            token += 1
            self._fences[name] = (token, owner)
        self._leases[name] = (owner, self.now_ms() + ttl_ms)
        return token

    def is_fenced(self, name: str, owner: str, token: int) -> bool:
        """Tell whether a lease was acquired by anybody since it had this token."""
        return self._fences.get(name) != (token, owner)

    def lease_holder(self, name: str) -> str:
        """Return who holds a lease; empty if there is none."""
        holder, until_ms = self._leases.get(name, ("", 0))
        return holder if until_ms > self.now_ms() else ""

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease up if ``owner`` holds it."""
        if self._leases.get(name, ("", 0))[0] == owner:
            del self._leases[name]

    def join_members(self, group: str, member: str, ttl_ms: int) -> list[str]:
        """Register a member and return the living ones, sorted."""
        now_ms = self.now_ms()
        alive = {name: end for name, end in self._members.get(group, {}).items() if end > now_ms}
        alive[member] = now_ms + ttl_ms
        self._members[group] = alive
        return sorted(alive)

    def leave_members(self, group: str, member: str) -> None:
        """Remove a member at once."""
        self._members.get(group, {}).pop(member, None)


class Cursor:
    """How far a LATEST stream was read; ``ordinal`` counts entries ever added up to there."""

    def __init__(self, item: Input, key: str) -> None:
        self.spec, self.key, self.start = item.spec, key, item.start
        self.interval_ns = item.interval_ms * 1_000_000
        self.last_id: Id = ZERO
        self.ordinal = 0
        self.due_ns = 0
        self.losses = 0
        self.stream: Stream | None = None
        """The stream itself, where its inbox has found it."""
