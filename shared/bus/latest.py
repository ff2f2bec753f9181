"""LATEST inputs over Redis: XREAD without a group, conflation, counts of what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from shared.bus.connection import TEMPORARY, RedisLink, ReplyError
from shared.bus.port import Batch, Input
from shared.bus.replies import Wire
from shared.bus.signing import SIGNATURE, Entry, Report, SigningKeys, Verifier
from shared.bus.tuning import Tuning
from shared.bus.wire import id_key, newest_per_key, pack
from shared.codec import FIELD, decode, salvage
from shared.errors import BusUnavailable, CodecError
from shared.streams import StreamSpec

_COUNT_MIN = 8
_EMPTY = "$0\r\n\r\n"
_AUDIT_S = 0.1
"""Least time between two audits: a reader that is behind has better things to do."""


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """What all readers of one bus share.

    ``now_ns`` returns UNIX ns. ``refused`` holds what Redis refuses them now, and why. ``keys``
    verify what is signed.
    """

    counters: dict[str, int]
    tuning: Tuning
    report: Report
    now_ns: Callable[[], int]
    refused: dict[str, str]
    keys: SigningKeys


class Cursor:
    """How far one stream has been read.

    ``ordinal`` is the number of entries ever added up to ``last_id`` (``None`` while unknown): with
    the server's own count it tells how many entries were trimmed away before they were read.
    """

    def __init__(self, spec: StreamSpec, key: str, start: str) -> None:
        self.spec, self.key, self.start = spec, key, start
        self.raw_key = key.encode()
        self.last_id = "0-0"
        self.ordinal: int | None = None
        self.behind = False


def payload_of(fields: Any, name: bytes = FIELD) -> bytes | None:
    """Return a field of an entry's flat field list, the one of its messages if none is named."""
    if not fields:
        return None
    for index in range(0, len(fields) - 1, 2):
        if fields[index] == name:
            payload: bytes = fields[index + 1]
            return payload
    return None


def entry_of(entry_id: str, fields: Any) -> Entry:
    """Return an entry of its flat field list."""
    if fields and len(fields) == 2 and fields[0] == FIELD:  # nearly always
        return Entry(fields[1], b"", entry_id)
    return Entry(payload_of(fields) or b"", payload_of(fields, SIGNATURE) or b"", entry_id)


def as_dict(flat: list[Any]) -> dict[bytes, Any]:
    """Return an XINFO reply (alternating names and values) as a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


class LatestReader:
    """Reads LATEST streams on one connection; reconnects by itself and goes on where it was."""

    def __init__(
        self,
        link: RedisLink,
        inputs: Iterable[Input],
        context: ReaderContext,
        *,
        wake: bool,
    ) -> None:
        tuning = context.tuning
        self._refused, self._now_ns = context.refused, context.now_ns
        self._link, self._counters, self._report = link, context.counters, context.report
        self._verifier = Verifier(context.keys, context.counters, context.report)
        self._cursors = {
            key.encode(): Cursor(item.spec, key, item.start)
            for item in inputs
            for key in (item.spec.key(shard) for shard in item.shards)
        }
        self._names = ", ".join(cursor.key for cursor in self._cursors.values())
        self._count_max = tuning.read_entries_max if wake else tuning.sample_entries_max
        self._count = self._count_max
        self._messages_max = tuning.read_messages_max
        self._block: tuple[str, int] | tuple[()] = ("BLOCK", tuning.block_ms) if wake else ()
        self._asks_for: tuple[int, tuple[str, int] | tuple[()]] = (0, ())
        self._head = b""
        """The command that asks for that, up to the ids: they alone are new each time."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent_s = 0.0
        self._is_asked = False
        self._is_behind = False
        self._audit_due_s = 0.0
        self._answer_s = tuning.answer_s + (tuning.block_ms / 1_000 if wake else 0)

    async def start(self) -> Batch:
        """Find the positions to read from; return the backfill, newest per key.

        Raises:
            BusUnavailable: Redis was lost meanwhile.
        """
        batch = Batch([])
        for cursor in self._cursors.values():
            await self._position(cursor)
            if cursor.start == "new" and cursor.spec.backfill and cursor.last_id != "0-0":
                entries = await self._link.call(
                    "XREVRANGE", cursor.key, cursor.last_id, "-", "COUNT", cursor.spec.backfill
                )
                self._take_stream(batch, cursor, entries[::-1], backfill=True)
        return batch

    async def _position(self, cursor: Cursor) -> None:
        first_id, last_id, added, length = await self._bounds(cursor)
        if cursor.start == "new":
            cursor.last_id, cursor.ordinal = last_id, added
        elif cursor.start == "first":
            cursor.last_id, cursor.ordinal = "0-0", added - length
        else:
            cursor.last_id = cursor.start
            if id_key(cursor.start) > id_key(last_id):
                _restart(cursor)
            elif first_id and id_key(first_id) > id_key(cursor.start) and added > length:
                self._counters["lost"] += 1  # how many is unknown: the id does not tell
                cursor.ordinal = added - length

    async def _bounds(self, cursor: Cursor) -> tuple[str, str, int, int]:
        """Return first id, last id, entries ever added and entries kept."""
        try:
            info = as_dict(await self._link.call("XINFO", "STREAM", cursor.key))
        except ReplyError as error:
            if error.code == "ERR":  # no such key
                return "", "0-0", 0, 0
            raise
        first = info[b"first-entry"]
        return (
            first[0].decode() if first else "",
            info[b"last-generated-id"].decode(),
            int(info[b"entries-added"]),
            int(info[b"length"]),
        )

    @property
    def waiting_on(self) -> Wire | None:
        """The connection that owes an answer, if any does."""
        return self._link.wire if self._is_asked else None

    def is_waiting(self, now_s: float) -> bool:
        """Tell whether ``poll`` would find nothing new: the answer is still to come, and may be."""
        wire = self._link.wire
        return (
            self._is_asked
            and wire.awaited > 0
            and not wire.lost
            and now_s < self._sent_s + self._answer_s
        )

    def due_s(self) -> float:
        """Return the loop time at which ``poll`` must be called even if nothing arrives."""
        if not self._link.is_connected:
            return asyncio.get_running_loop().time() + self._link.retry_in_s()
        return self._sent_s + self._answer_s

    async def poll(self) -> Batch | None:
        """Return the entries that have arrived, or ``None``; asks for the next ones by itself.

        A lost connection is made again when its backoff allows, and reading goes on.
        """
        try:
            if not self._link.is_connected and not await self._come_back():
                return None
            if self._is_asked:
                if self._link.wire.awaited:
                    if (self._loop or self._find_loop()).time() >= self._sent_s + self._answer_s:
                        await self._link.drop()
                    return None
                self._is_asked = False
                reply = self._link.take_now()
                if self._refused:
                    self._refused.pop(self._names, None)
                if reply:
                    return self._take(reply)
                if not self._block:
                    return Batch([])
                await self._check_positions()  # silence: or did the stream begin again below us?
            now_s = (self._loop or self._find_loop()).time()
            if now_s >= self._audit_due_s and self._is_behind:
                self._audit_due_s = now_s + _AUDIT_S
                await self._audit()
            await self._link.send(self._command(), 1)
            self._is_asked, self._sent_s = True, now_s
        except ReplyError as error:
            # It passes by itself or somebody mends it; meanwhile these inputs are silent.
            if error.code not in TEMPORARY:
                self._refused[self._names] = f"cannot read {self._names}: {error}"
                self._report("INPUT_REFUSED", f"{self._names}: {error}")
            await self._link.lose(str(error))
            self._is_asked = False
        except BusUnavailable:
            self._is_asked = False
        return None

    def _command(self) -> bytes:
        # While an audit is due the server must not hold the request for long.
        block = ("BLOCK", int(_AUDIT_S * 1_000)) if self._block and self._is_behind else self._block
        if (asks_for := (self._count, block)) != self._asks_for:
            none = [""] * len(self._cursors)
            packed = pack("XREAD", "COUNT", self._count, *block, "STREAMS", *self._cursors, *none)
            self._asks_for, self._head = asks_for, packed[: -len(_EMPTY * len(none))]
        ids = [cursor.last_id for cursor in self._cursors.values()]
        return self._head + "".join([f"${len(at)}\r\n{at}\r\n" for at in ids]).encode()

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        """Keep the event loop: to ask for it is a call of the system."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    async def _come_back(self) -> bool:
        """Connect again and check the positions; false if it is too early or fails."""
        self._is_asked = False
        if self._link.retry_in_s() > 0:
            return False
        await self._link.connect()
        await self._check_positions()
        for cursor in self._cursors.values():
            cursor.behind = True
        self._is_behind = True
        self._counters["reconnects"] += 1
        return True

    async def _check_positions(self) -> None:
        """Start again where a stream ends before our position: Redis lost its data."""
        for cursor in self._cursors.values():
            _, last_id, added, _ = await self._bounds(cursor)
            if id_key(last_id) < id_key(cursor.last_id) or added < (cursor.ordinal or 0):
                _restart(cursor)

    def _take(self, reply: list[Any]) -> Batch:
        batch = Batch([])
        most_entries = 0
        for raw_key, entries in reply:
            self._take_stream(batch, self._cursors[raw_key], entries)
            most_entries = max(most_entries, len(entries))
        if self._block:
            per_entry = (len(batch.messages) + batch.skipped) // most_entries + 1
            self._count = max(_COUNT_MIN, min(self._count_max, self._messages_max // per_entry))
        return batch

    def _take_stream(
        self, batch: Batch, cursor: Cursor, entries: list[Any], *, backfill: bool = False
    ) -> None:
        messages: list[Any] = []
        skipped, most = 0, self._messages_max
        now_ns = self._now_ns()
        for raw_id, fields in entries:
            if len(messages) > most:  # after a stall: hold no more than the newest of each
                messages, older = newest_per_key(messages, cursor.spec.conflate)
                skipped, most = skipped + older, 2 * len(messages) + self._messages_max
            # Nearly always the message is the only field.
            payload = (fields[1] if fields and fields[0] == FIELD else payload_of(fields)) or b""
            try:
                if cursor.spec.signed_with:
                    entry = entry_of(raw_id.decode(), fields)
                    messages += self._verifier.read(cursor.spec, entry, now_ns, decode)
                else:
                    messages += decode(cursor.spec, payload, now_ns)
            except CodecError as error:
                if not cursor.spec.signed_with:  # of what is signed, all or nothing
                    messages += salvage(cursor.spec, payload, now_ns)
                batch.rejected += 1
                self._counters["rejected"] += 1
                text = f"{cursor.key} {raw_id.decode()}: {error}"
                self._report("UNDECODABLE_ENTRY", text, subject=cursor.key)
        self._counters["read"] += len(messages) + skipped
        if not backfill and entries:
            cursor.last_id = entries[-1][0].decode()
            if cursor.ordinal is not None:
                cursor.ordinal += len(entries)
            if len(entries) >= self._count:
                cursor.behind = self._is_behind = True
        if len(messages) > 1:
            messages, older = newest_per_key(messages, cursor.spec.conflate)
            skipped += older
        batch.messages += messages
        batch.last_ids[cursor.key] = cursor.last_id
        if not backfill:
            batch.skipped += skipped
            self._counters["skipped"] += skipped

    async def _audit(self) -> None:
        """Count what was trimmed before it was read; exact once the reader has caught up."""
        for cursor in self._cursors.values():
            if not cursor.behind:
                continue
            first_id, last_id, added, length = await self._bounds(cursor)
            caught_up = cursor.last_id == last_id
            if cursor.ordinal is None:
                if first_id and id_key(first_id) > id_key(cursor.last_id) and not caught_up:
                    self._counters["lost"] += 1
            else:
                trimmed = (added if caught_up else added - length) - cursor.ordinal
                if trimmed > 0:
                    self._counters["lost"] += trimmed
                    cursor.ordinal += trimmed
            if caught_up:
                cursor.ordinal, cursor.behind = added, False
        self._is_behind = any(cursor.behind for cursor in self._cursors.values())

    async def close(self) -> None:
        """Stop reading."""
        await self._link.drop()


def _restart(cursor: Cursor) -> None:
    """The stream ends before our position: Redis lost data, so everything in it is new."""
    cursor.last_id, cursor.ordinal = "0-0", 0
