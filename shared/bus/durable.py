"""DURABLE inputs over Redis: consumer groups, recovery of what was left pending, dead letters.

Order of delivery: first what is pending for this consumer, one entry at a time, so that an entry
that kills the process is the only one whose delivery count rises; then new entries in batches.

Commands are laid out as Redis documents them, each name beside its value, hence ``fmt: skip``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from shared.bus.connection import RedisLink, ReplyError
from shared.bus.latest import ReaderContext, as_dict, entry_of, payload_of
from shared.bus.missing import Missing
from shared.bus.port import Batch
from shared.bus.replies import Wire
from shared.bus.signing import Verifier
from shared.bus.tuning import DEAD_BYTES_MAX, DEAD_ENTRIES_MAX, POSITION_KEY, dead_key
from shared.bus.upkeep import DurableTrimmer
from shared.bus.wire import newest_position, pack, previous_id
from shared.cancel import cancel_and_wait
from shared.codec import FIELD, decode
from shared.errors import BusUnavailable, CodecError
from shared.streams import StreamSpec

_PENDING_PAGE = 1_000
REFUSED_PAUSE_S = 0.5


class DurableReader:
    """Reads DURABLE streams as one consumer of a group.

    Of ``links``, the first blocks on new entries and the second does everything else. A lost
    connection surfaces as :class:`BusUnavailable`.
    """

    def __init__(
        self,
        links: tuple[RedisLink, RedisLink],
        specs: Iterable[StreamSpec],
        consumer: tuple[str, str],
        context: ReaderContext,
    ) -> None:
        counters, tuning, report = context.counters, context.tuning, context.report
        self._refused, self._now_ns = context.refused, context.now_ns
        self._verifier = Verifier(context.keys, counters, report)
        self._link, self._control = links
        self._specs = {spec.key(): spec for spec in specs}
        self._names = ", ".join(self._specs)
        self._group, self._consumer = consumer
        self._counters, self._tuning, self._report = counters, tuning, report
        self._left: deque[tuple[str, str, int]] = deque()  # bounded by what is pending
        self._trimmer = DurableTrimmer(self._control, self._group, report)
        self._missing = Missing(self._control, self._group, counters, report)
        self._sent_s = 0.0
        self._is_asked = False
        self._pause_until_s = 0.0
        self._answer_s = tuning.block_ms / 1_000 + tuning.answer_s
        self._upkeep: asyncio.Task[None] | None = None

    async def start(self, *, exclusive: bool) -> None:
        """Create the groups, take over what dead consumers left, find our own pending entries."""
        await self._link.connect()
        flat = await self._control.call("HGETALL", POSITION_KEY)
        noted = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}
        for key, spec in self._specs.items():
            for group in {*spec.consumers, self._group}:
                await self._missing.create_group(key, group, newest_position(noted, group, key))
            await self._missing.look(key)
            if exclusive:
                await self._take_over(key)
            await self._list_own_pending(key)
        self._upkeep = asyncio.create_task(self._maintain(), name="durable-upkeep")

    async def _take_over(self, key: str) -> None:
        """Claim everything other consumers hold, then remove them: we are the only one alive."""
        start = "0-0"
        while True:
            reply = await self._control.call(
                "XAUTOCLAIM", key, self._group, self._consumer, 0, start,
                "COUNT", _PENDING_PAGE, "JUSTID",
            )  # fmt: skip
            if len(reply) > 2 and reply[2]:  # the server has dropped them from what is pending
                self._missing.lose_pending(key, reply[2])
            start = reply[0].decode()
            if start == "0-0":
                break
        for flat in await self._control.call("XINFO", "CONSUMERS", key, self._group):
            info = as_dict(flat)
            if info[b"name"].decode() != self._consumer and not info[b"pending"]:
                await self._control.call("XGROUP", "DELCONSUMER", key, self._group, info[b"name"])

    async def _list_own_pending(self, key: str) -> None:
        start = "-"
        while True:
            page = await self._control.call(
                "XPENDING", key, self._group, start, "+", _PENDING_PAGE, self._consumer
            )
            self._left.extend((key, raw.decode(), int(count)) for raw, _, _, count in page)
            if len(page) < _PENDING_PAGE:
                return
            start = f"({page[-1][0].decode()}"

    @property
    def waiting_on(self) -> Wire | None:
        """The connection that owes an answer, if any does."""
        return self._link.wire if self._is_asked else None

    def is_waiting(self, now_s: float) -> bool:
        """Tell whether ``poll`` would find nothing new: the answer is still to come, and may be."""
        wire, upkeep = self._link.wire, self._upkeep
        return (
            self._is_asked
            and wire.awaited > 0
            and not wire.lost
            and not self._left
            and now_s < self._sent_s + self._answer_s
            and (upkeep is None or not upkeep.done())
        )

    def due_s(self) -> float:
        """Return the loop time at which ``poll`` must be called even if nothing arrives."""
        return self._sent_s + self._answer_s if self._is_asked else self._pause_until_s

    async def poll(self) -> Batch | None:
        """Return the entries that have arrived, or ``None``; asks for the next ones by itself.

        Raises:
            BusUnavailable: The connection or the group is lost.
        """
        if self._upkeep is not None and self._upkeep.done():
            self._upkeep.result()
        while self._left:
            batch = await self._redeliver(*self._left.popleft())
            if batch is not None:
                return batch
        if self._is_asked:
            if self._link.wire.awaited and self._link.is_connected:
                if asyncio.get_running_loop().time() >= self.due_s():
                    raise BusUnavailable("Redis does not answer a blocking read")
                return None
            self._is_asked = False
            try:
                link = self._link
                reply = link.take_now() if link.is_connected else await link.take()
            except ReplyError as error:
                if not error.may_pass:
                    raise
                self._pause(error)
                return None
            if self._refused:
                self._refused.pop(self._names, None)
            if reply and (batch := await self._take(reply)) is not None:
                return batch
        if asyncio.get_running_loop().time() < self._pause_until_s:
            return None
        await self._link.send(self._command(), 1)
        self._is_asked = True
        self._sent_s = asyncio.get_running_loop().time()
        return None

    def _pause(self, error: ReplyError) -> None:
        """Ask again a little later: nothing was delivered."""
        self._pause_until_s = asyncio.get_running_loop().time() + REFUSED_PAUSE_S
        self._refused[self._names] = f"cannot read {self._names}: {error}"
        self._report("INPUT_REFUSED", f"{self._names}: {error}")

    def _command(self) -> bytes:
        return pack(
            "XREADGROUP", "GROUP", self._group, self._consumer,
            "COUNT", self._tuning.read_entries_max, "BLOCK", self._tuning.block_ms,
            "STREAMS", *self._specs, *(">" for _ in self._specs),
        )  # fmt: skip

    async def _take(self, reply: list[Any], *, redelivered: bool = False) -> Batch | None:
        """Decode entries; what does not decode goes to the dead letters at once."""
        batch = Batch([], redelivered=redelivered)
        now_ns = self._now_ns()
        for raw_key, entries in reply:
            key = raw_key.decode()
            for raw_id, fields in entries:
                entry_id = raw_id.decode()
                entry = entry_of(entry_id, fields)
                try:
                    batch.messages += self._verifier.read(self._specs[key], entry, now_ns, decode)
                except CodecError as error:
                    batch.rejected += 1
                    self._counters["rejected"] += 1
                    await self._dead_letter(key, entry_id, entry.payload, str(error))
                else:
                    batch.pending.setdefault(key, []).append(entry_id)
                batch.last_ids[key] = entry_id
        self._counters["read"] += len(batch.messages)
        return batch if batch.messages or batch.rejected else None

    async def _redeliver(self, key: str, entry_id: str, deliveries: int) -> Batch | None:
        """Deliver one pending entry again, or dead-letter it if that was tried often enough."""
        if deliveries >= self._tuning.deliveries_max:
            found = await self._control.call("XRANGE", key, entry_id, entry_id)
            payload = payload_of(found[0][1]) if found else None
            await self._dead_letter(key, entry_id, payload or b"", f"delivered {deliveries} times")
            return None
        reply = await self._control.call(
            "XREADGROUP", "GROUP", self._group, self._consumer,
            "COUNT", 1, "STREAMS", key, previous_id(entry_id),
        )  # fmt: skip
        entries = reply[0][1] if reply else []
        if not entries or entries[0][0].decode() != entry_id:
            return None  # acknowledged or claimed by another meanwhile
        if entries[0][1] is None:
            await self._control.call("XACK", key, self._group, entry_id)
            self._missing.lose_pending(key, [entry_id.encode()])
            return None
        self._counters["redelivered"] += 1
        return await self._take(reply, redelivered=True)

    async def _dead_letter(self, key: str, entry_id: str, payload: bytes, reason: str) -> None:
        """Move an entry to the dead-letter stream and acknowledge it, in one transaction."""
        spec = self._specs[key]
        commands = (
            ("MULTI",),
            (
                "XADD", dead_key(spec.name), "MAXLEN", "~", DEAD_ENTRIES_MAX, "*",
                "id", entry_id, FIELD, payload[:DEAD_BYTES_MAX],
                "reason", reason, "group", self._group,
            ),
            ("XACK", key, self._group, entry_id),
            ("EXEC",),
        )  # fmt: skip
        await self._control.call_all(*(pack(*command) for command in commands))
        self._counters["dead_lettered"] += 1
        text = f"{key} {entry_id} for {self._group}: {reason}"
        self._report("DEAD_LETTER", text, subject=key)

    async def _maintain(self) -> None:
        """Claim what dead consumers left and trim, every few seconds; ends only by failing."""
        while True:
            await asyncio.sleep(self._tuning.maintenance_s)
            for key, spec in self._specs.items():
                try:
                    await self._missing.look(key)
                    await self._claim(key)
                    await self._trimmer.trim(key, spec)
                except ReplyError as error:
                    if not error.may_pass:
                        raise
                    self._report("UPKEEP_REFUSED", f"{key}: {error}", subject=key)

    async def _claim(self, key: str) -> None:
        """Take over entries another consumer has left pending for too long.

        Not XAUTOCLAIM: it would also hand our own entries, still being worked on, to us again.
        """
        idle_ms = self._tuning.claim_idle_ms
        page = await self._control.call(
            "XPENDING", key, self._group, "IDLE", idle_ms, "-", "+", _PENDING_PAGE
        )
        counts = {raw: int(count) for raw, who, _, count in page if who.decode() != self._consumer}
        ids = list(counts)[: self._tuning.claim_entries_max]
        gone = [raw for raw in ids if not await self._control.call("XRANGE", key, raw, raw)]
        if gone:  # XCLAIM would drop them without a word
            await self._control.call("XACK", key, self._group, *gone)
            self._missing.lose_pending(key, gone)
        ids = [raw for raw in ids if raw not in gone]
        if not ids:
            return
        claimed = await self._control.call(
            "XCLAIM", key, self._group, self._consumer, idle_ms, *ids, "JUSTID"
        )
        self._left.extend((key, raw.decode(), counts[raw]) for raw in claimed)
        self._counters["claimed"] += len(claimed)

    async def close(self) -> None:
        """Stop reading; what was not acknowledged stays pending."""
        if self._upkeep is not None:
            await cancel_and_wait([self._upkeep])
        await self._link.drop()
