"""The bus in memory: the semantics of the Redis one, deterministic, for simulation and tests.

Everything happens at once and in one thread. ``MemoryInbox.poll`` and ``MemoryBus.apply`` do the
work without an event loop; the coroutines of the port only wrap them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from shared.bus.alerts import AlertOutlet
from shared.bus.memory_cursors import Cursors
from shared.bus.memory_missing import Missing
from shared.bus.memory_state import MemoryState
from shared.bus.memory_store import Cursor, Group, Id, MemoryServer, Pending, format_id
from shared.bus.port import NO_CHECKPOINTS, Batch, Input
from shared.bus.signing import NO_KEYS, Entry, SigningKeys, Verifier
from shared.bus.tuning import COUNTERS, TUNING, Tuning
from shared.bus.wire import group_by_stream, id_key, newest_per_key, payloads, produced
from shared.codec import salvage
from shared.errors import BusUnavailable, CodecError
from shared.messages.base import Message
from shared.streams import Delivery, StreamSpec

_POLL_S = 0.001


class MemoryBus(MemoryState):
    """One simulated process's connection to a :class:`MemoryServer`."""

    def __init__(
        self,
        server: MemoryServer,
        *,
        service: str,
        shards: int = 1,
        tuning: Tuning = TUNING,
        keys: SigningKeys = NO_KEYS,
    ) -> None:
        self._server, self._service, self._shards = server, service, shards
        self.tuning, self.keys = tuning, keys
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._alerts = AlertOutlet(service, server.clock)
        self.report = self._alerts.report
        self._is_open, self.problem, self._upkeep_ns = True, "", 0

    def reach(self) -> MemoryServer:
        """Return the server.

        Raises:
            BusUnavailable: It is down, or this bus was closed.
        """
        if not (self._server.is_up and self._is_open):
            raise BusUnavailable("the server in memory is down")
        return self._server

    async def open_inbox(
        self, inputs: Sequence[Input], *, service: str, instance: str, exclusive: bool = False
    ) -> MemoryInbox:
        """See :class:`shared.bus.port.Bus`."""
        return self.open(inputs, service=service, instance=instance, exclusive=exclusive)

    def open(
        self, inputs: Sequence[Input], *, service: str, instance: str, exclusive: bool = False
    ) -> MemoryInbox:
        """Open inputs without an event loop."""
        return MemoryInbox(self, inputs, (service, instance), exclusive=exclusive)

    async def publish(self, messages: Sequence[Message]) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.apply(None, messages)

    async def commit(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoints: Mapping[str, bytes] = NO_CHECKPOINTS,
    ) -> None:
        """See :class:`shared.bus.port.Bus`."""
        self.apply(batch, messages, checkpoints=checkpoints)

    def apply(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoints: Mapping[str, bytes] = NO_CHECKPOINTS,
    ) -> None:
        """Do what ``commit`` says, at once."""
        server = self.reach()
        self.check_fence()
        self._add(server, self._alerts.outgoing(messages))
        self._trim_produced()
        server.values.update(checkpoints)
        for key, ids in (batch.pending if batch is not None else {}).items():
            group = server.stream(key).groups.get(self._service)
            for entry_id in ids:
                if group is not None:
                    group.pending.pop(id_key(entry_id), None)

    def _add(self, server: MemoryServer, messages: Sequence[Message]) -> None:
        for spec, key, entry in group_by_stream(messages, self._shards) if messages else ():
            for payload in payloads(spec, entry, self.report):
                signature = self.keys.sign(spec, payload) if spec.signed_with else b""
                server.append(key, payload, signature)
            server.stream(key).trim(spec)
        self.counters["published"] += len(messages)

    def now_ns(self) -> int:
        """Return the server's time (UNIX ns)."""
        return self._server.clock.now_ns()

    def _trim_produced(self) -> None:
        """Hold the streams this service writes to their bounds, whoever wrote into them."""
        now_ns = self.now_ns()
        if now_ns >= self._upkeep_ns:
            self._upkeep_ns = now_ns + int(self.tuning.maintenance_s * 1e9)
            for spec, key in produced(self._service, self._shards):
                self._server.stream(key).trim(spec)

    async def stats(self) -> Mapping[str, int]:
        """See :class:`shared.bus.port.Bus`."""
        return dict(self.counters)

    async def close(self) -> None:
        """See :class:`shared.bus.port.Bus`."""
        if self._is_open and self._server.is_up:
            self._add(self._server, self._alerts.rest())
        self._is_open = False


class MemoryInbox:
    """Open inputs of one consumer. To crash the consumer, forget the inbox without closing it."""

    def __init__(
        self, bus: MemoryBus, inputs: Sequence[Input], consumer: tuple[str, str], *, exclusive: bool
    ) -> None:
        self._bus = bus
        self._group, self._consumer = consumer
        self.latest = Cursors(inputs)
        self._durable = {
            item.spec.key(): item.spec for item in inputs if item.spec.delivery is Delivery.DURABLE
        }
        self._left: deque[tuple[str, Id]] = deque()  # bounded by what is pending
        self._verifier = Verifier(bus.keys, bus.counters, bus.report)
        self._upkeep_ns = 0
        self._missing = Missing(bus, self._group)
        self._first = Batch([])
        for cursor in self.latest.all:
            self._position(cursor)
        for key, spec in self._durable.items():
            self._join_group(key, spec, exclusive=exclusive)

    def _position(self, cursor: Cursor) -> None:
        cursor.losses = self._bus.reach().losses
        stream = self._bus.reach().stream(cursor.key)
        trimmed = stream.added - len(stream.ids)
        if cursor.start == "new":
            cursor.last_id, cursor.ordinal = stream.last_id, stream.added
            backfill = list(zip(stream.ids, stream.payloads, strict=True))
            backfill = backfill[len(backfill) - min(cursor.spec.backfill, len(backfill)) :]
            messages = self._decode(self._first, cursor, backfill)
            self._first.messages += newest_per_key(messages, cursor.spec.conflate)[0]
            if backfill:
                self._first.last_ids[cursor.key] = format_id(cursor.last_id)
        elif cursor.start == "first":
            cursor.ordinal = trimmed
        else:
            start = id_key(cursor.start)
            if start <= stream.last_id:
                cursor.last_id = start
                cursor.ordinal = trimmed + sum(entry_id <= start for entry_id in stream.ids)
                if stream.ids and stream.ids[0] > start and trimmed:
                    self._bus.counters["lost"] += 1

    def _join_group(self, key: str, spec: StreamSpec, *, exclusive: bool) -> None:
        self._missing.create_groups(key, spec, self._bus.reach().stream(key))
        pending = self._group_of(key).pending
        for entry_id in sorted(pending):
            if exclusive:
                pending[entry_id].consumer = self._consumer
            if pending[entry_id].consumer == self._consumer:
                self._left.append((key, entry_id))

    @property
    def is_durable(self) -> bool:
        """See :class:`shared.bus.port.Inbox`."""
        return bool(self._durable)

    async def read(self, timeout_s: float | None = None) -> Batch:
        """See :class:`shared.bus.port.Inbox`."""
        loop = asyncio.get_running_loop()
        deadline_s = None if timeout_s is None else loop.time() + timeout_s
        while True:
            try:
                batch = self.poll()
            except BusUnavailable:
                if self._durable:
                    raise
                batch = Batch([])  # a LATEST reader waits for the server to come back
            if batch.last_ids or (deadline_s is not None and loop.time() >= deadline_s):
                return batch
            await asyncio.sleep(_POLL_S)

    def poll(self) -> Batch:
        """Return what is there now; an empty batch if nothing is.

        Raises:
            BusUnavailable: The server is down, or lost a consumer group.
        """
        server = self._bus.reach()
        if self._first.last_ids:
            batch, self._first = self._first, Batch([])
            return batch
        now_ns = server.clock.now_ns()
        if now_ns >= self._upkeep_ns:
            self._upkeep_ns = now_ns + int(self._bus.tuning.maintenance_s * 1e9)
            self._maintain(now_ns)
        if self._left and (batch := self._redeliver(now_ns)).last_ids:
            return batch
        return self._read_durable(server, now_ns) or self._read_latest(server, now_ns)

    def passes_empty(self, server: MemoryServer) -> bool:
        """Tell whether ``poll`` would find nothing; if so, it is as if it had been called.

        False too where only a reading can tell: the server is down, or lost data.
        """
        now_ns = server.clock.now_ns()
        if self._left or self._first.last_ids or now_ns >= self._upkeep_ns or not server.is_up:
            return False
        for key in self._durable:
            stream = server.streams.get(key)
            group = None if stream is None else stream.groups.get(self._group)
            if stream is None or group is None or group.last_id < stream.last_id:
                return False
        return self.latest.pass_empty(server, now_ns)

    def _maintain(self, now_ns: int) -> None:
        """Claim what other consumers left for too long, and trim."""
        idle_ns = self._bus.tuning.claim_idle_ms * 1_000_000
        for key, spec in self._durable.items():
            stream, group = self._bus.reach().stream(key), self._group_of(key)
            self._missing.look(key, group)
            for entry_id, pending in group.pending.items():
                other = pending.consumer != self._consumer
                if other and now_ns - pending.delivered_ns >= idle_ns:
                    pending.consumer, pending.delivered_ns = self._consumer, now_ns
                    self._left.append((key, entry_id))
                    self._bus.counters["claimed"] += 1
            stream.trim(spec)

    def _group_of(self, key: str) -> Group:
        stream = self._bus.reach().streams.get(key)
        group = None if stream is None else stream.groups.get(self._group)
        if group is None:
            raise BusUnavailable("a consumer group is gone: the server lost its data")
        return group

    def _redeliver(self, now_ns: int) -> Batch:
        """Deliver the next pending entry again, alone; dead-letter it after too many tries."""
        batch = Batch([], redelivered=True)
        while self._left and not batch.last_ids:
            key, entry_id = self._left.popleft()
            pending = self._group_of(key).pending.get(entry_id)
            if pending is None or pending.consumer != self._consumer:
                continue
            payload = self._bus.reach().stream(key).get(entry_id)
            if payload is None:
                self._missing.lose_pending(key, self._group_of(key), entry_id)
                continue
            if pending.deliveries >= self._bus.tuning.deliveries_max:
                self._dead_letter(key, entry_id, payload, f"delivered {pending.deliveries} times")
                continue
            pending.deliveries += 1
            pending.delivered_ns = now_ns
            self._bus.counters["redelivered"] += 1
            self._take(batch, key, entry_id, payload)
        return batch

    def _read_durable(self, server: MemoryServer, now_ns: int) -> Batch | None:
        batch: Batch | None = None
        for key in self._durable:
            group = self._group_of(key)
            stream = server.streams[key]
            if group.last_id >= stream.last_id:  # nearly always
                continue
            entries = stream.after(group.last_id, self._bus.tuning.read_entries_max)
            if not entries:  # they were deleted
                continue
            batch = Batch([]) if batch is None else batch
            for entry_id, payload in entries:
                group.last_id = entry_id
                group.pending[entry_id] = Pending(self._consumer, 1, now_ns)
                self._take(batch, key, entry_id, payload)
        return batch

    def _take(self, batch: Batch, key: str, entry_id: Id, payload: bytes) -> None:
        try:
            messages = self._verified(self._durable[key], key, entry_id, payload)
        except CodecError as error:
            batch.rejected += 1
            self._bus.counters["rejected"] += 1
            self._dead_letter(key, entry_id, payload, str(error))
        else:
            batch.messages += messages
            batch.pending.setdefault(key, []).append(format_id(entry_id))
            self._bus.counters["read"] += len(messages)
        batch.last_ids[key] = format_id(entry_id)

    def _verified(self, spec: StreamSpec, key: str, entry_id: Id, payload: bytes) -> list[Message]:
        server, now_ns = self._bus.reach(), self._bus.now_ns()
        signature = server.stream(key).signatures.get(entry_id, b"")
        entry = Entry(payload, signature, format_id(entry_id))
        return self._verifier.read(spec, entry, now_ns, server.decode)

    def _dead_letter(self, key: str, entry_id: Id, payload: bytes, reason: str) -> None:
        self._group_of(key).pending.pop(entry_id, None)
        stream = self._durable[key].name
        self._bus.reach().add_dead(stream, entry_id, payload, reason=reason, group=self._group)
        self._bus.counters["dead_lettered"] += 1
        self._bus.report("DEAD_LETTER", f"{key} {format_id(entry_id)}: {reason}")

    def _read_latest(self, server: MemoryServer, now_ns: int) -> Batch:
        batch = Batch([])
        for cursor, stream in self.latest.unread(server, now_ns):
            entries = stream.after(cursor.last_id, self._bus.tuning.read_entries_max)
            if not entries:
                continue
            messages = self._decode(batch, cursor, entries)
            if len(messages) > 1:
                messages, skipped = newest_per_key(messages, cursor.spec.conflate)
                batch.skipped += skipped
                self._bus.counters["skipped"] += skipped
            batch.messages += messages
            self._account(cursor, entries, stream.added - len(stream.ids))
            batch.last_ids[cursor.key] = format_id(cursor.last_id)
        return batch

    def _account(self, cursor: Cursor, entries: list[tuple[Id, bytes]], trimmed: int) -> None:
        """Move on, and count what was trimmed away before it was read."""
        if trimmed > cursor.ordinal:
            self._bus.counters["lost"] += trimmed - cursor.ordinal
            cursor.ordinal = trimmed
        cursor.ordinal += len(entries)
        cursor.last_id = entries[-1][0]

    def _decode(
        self, batch: Batch, cursor: Cursor, entries: list[tuple[Id, bytes]]
    ) -> list[Message]:
        messages: list[Message] = []
        spec, key = cursor.spec, cursor.key
        server, now_ns = self._bus.reach(), self._bus.now_ns()
        for entry_id, payload in entries:
            try:
                if spec.signed_with:
                    messages += self._verified(spec, key, entry_id, payload)
                else:
                    messages += server.decode(spec, payload, now_ns)
            except CodecError as error:
                if not spec.signed_with:  # of what is signed, all or nothing
                    messages += salvage(spec, payload, now_ns)
                batch.rejected += 1
                self._bus.counters["rejected"] += 1
                text = f"{cursor.key} {format_id(entry_id)}: {error}"
                self._bus.report("UNDECODABLE_ENTRY", text)
        self._bus.counters["read"] += len(messages)
        return messages

    async def close(self) -> None:
        """See :class:`shared.bus.port.Inbox`."""
        self._left.clear()
