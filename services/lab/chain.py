"""The streams between services' engines on one heap, which get messages as objects. Pure.

A ``Node`` (``node.py``) does for its engine what a ``Host`` does where nothing fails: the same
inputs in the same batches at the same times, so the same decisions to the byte. Nothing is encoded
but decisions; there are no crashes, leases or checkpoints, and a stream keeps only what a later
reader looks back at, so memory does not grow with the length of a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.lab.decisions import DECISIONS, Decisions
from services.lab.kernel import Kernel
from shared.bus.memory_store import ZERO, Id, MemoryServer
from shared.bus.port import Input
from shared.bus.tuning import TUNING
from shared.bus.wire import group_by_stream, payloads
from shared.errors import ArbError
from shared.messages.base import Message
from shared.messages.market import DepthView
from shared.streams import ALL, STREAM_OF, Delivery, StreamSpec

if TYPE_CHECKING:
    from services.lab.node import Node

SHARDS = 1
FIRST_AWAKE = frozenset(("ingestor", "orderbook", "executor"))
"""Whose timers ring first after a rest: books are repeated, and heard of by all, before a strategy
decides on what is as old as the rest was long."""
REPORT = frozenset(("scanner", "risk", "executor"))
"""Whose timers also rest where they were set before the rest was known of. The ingestor's ring:
books of long bars live on what it repeats in between."""
AWAKE_LATER_NS = 50_000_000
READ_MAX = TUNING.read_entries_max


class Cursor:
    """What one node has not read yet of one stream: entries, each a few messages."""

    def __init__(self, item: Input, node: Node) -> None:
        self.spec, self.node = item.spec, node
        self.interval_ns = item.interval_ms * 1_000_000
        self.due_ns, self.is_due = 0, True
        self.entries: deque[Sequence[Message]] = deque()  # drained at every wake of its node

    def take(self) -> Sequence[Any]:
        """Return the messages of the next entries."""
        entries = self.entries
        if len(entries) == 1:
            self.node.unread -= 1
            return entries.popleft()
        count = min(len(entries), READ_MAX)
        self.node.unread -= count
        return [message for _ in range(count) for message in entries.popleft()]


@dataclass(slots=True)
class Stream:
    """One stream: who reads it, and the entries that a later reader looks back at."""

    name: str
    """Under which its entries are decisions; empty for none."""
    kept: deque[Sequence[Message]]
    cursors: list[Cursor] = field(default_factory=list)
    last_id: Id = ZERO
    keeps: bool = field(init=False)

    def __post_init__(self) -> None:
        self.keeps = bool(self.kept.maxlen)

    def next_id(self, now_ms: int) -> Id:
        """Return the id of the next entry, as a server gives it."""
        ms, seq = self.last_id
        self.last_id = (now_ms, 0) if now_ms > ms else (ms, seq + 1)
        return self.last_id


class Chain:
    """The streams between nodes.

    Args:
        kernel: Virtual time.
        hop_ns: What a hop over the bus takes.
        decisions: Takes what is decided.
    """

    def __init__(self, kernel: Kernel, hop_ns: int, decisions: Decisions) -> None:
        self.kernel, self.hop_ns = kernel, hop_ns
        self.marks = MemoryServer(kernel)
        self._decisions = decisions
        self._streams = {spec.name: _stream(spec) for spec in ALL}
        self._stream_of = {kind: self._streams[spec.name] for kind, spec in STREAM_OF.items()}
        self._sleep_ns = 0, 0
        self.sleep_until_ns = 0
        """Timers rest now, or will before more is heard, where that is still to come."""
        self.is_busy: Callable[[], bool] = lambda: True
        """Whether anything is in flight, so that every timer counts."""

    def sleep(self, from_ns: int, to_ns: int) -> None:
        """Postpone timers due between two times to the second one, while nothing is in flight."""
        self._sleep_ns = from_ns, to_ns
        self.sleep_until_ns = to_ns

    def awake_ns(self, service: str, due_ns: int) -> int:
        """Return when a timer that is due at a time rings."""
        from_ns, to_ns = self._sleep_ns
        if not from_ns < due_ns < to_ns or self.is_busy():
            return due_ns
        return to_ns if service in FIRST_AWAKE else to_ns + AWAKE_LATER_NS

    def open(self, item: Input, node: Node) -> Cursor:
        """Return a cursor that begins now."""
        cursor = Cursor(item, node)
        self._streams[item.spec.name].cursors.append(cursor)
        return cursor

    def kept(self, spec: StreamSpec) -> Sequence[Sequence[Message]]:
        """Return the entries that a reader beginning now looks back at."""
        return self._streams[spec.name].kept

    def append(self, messages: Sequence[Message]) -> None:
        """Append what one step published."""
        for spec, _, entry in group_by_stream(messages, SHARDS):
            stream = self._streams[spec.name]
            if stream.name:
                for payload in payloads(spec, entry, _refuse):
                    entry_id = stream.next_id(self.kernel.now_ns() // 1_000_000)
                    self._decisions.add(stream.name, entry_id, payload)
            _append(stream, entry)

    def pass_on(self, messages: Sequence[Message]) -> None:
        """Append one message of market data and wake who reads it: ``append`` and ``notify``."""
        message = messages[0]
        kind = type(message)
        stream = self._stream_of[kind]
        if stream.keeps:
            stream.kept.append(messages)
        kernel = self.kernel
        now_ns = kernel.time_ns
        at_ns = now_ns + self.hop_ns
        for cursor in stream.cursors:
            node = cursor.node
            if node.quiet is not None and node.quiet < (now_ns, kernel.running):
                node.pass_quiet()
            cursor.entries.append(messages)
            node.unread += 1
            node.newest = cursor
            if not cursor.interval_ns:
                node.wake_at(at_ns)
            elif kind is DepthView:
                node.note_view(cursor, message, at_ns)  # type: ignore[arg-type]
            else:
                node.wake_at(max(at_ns, cursor.due_ns))

    def notify(self, messages: Sequence[Message]) -> None:
        """Wake who reads the messages, a hop later or when their next look is due."""
        at_ns = self.kernel.time_ns + self.hop_ns
        if len(messages) == 1:
            first = messages[0]
            for cursor in self._stream_of[type(first)].cursors:
                if not cursor.interval_ns:
                    cursor.node.wake_at(at_ns)
                elif type(first) is DepthView:
                    cursor.node.note_view(cursor, first, at_ns)
                else:
                    cursor.node.wake_at(max(at_ns, cursor.due_ns))
            return
        kinds = dict.fromkeys(map(type, messages))
        if len(kinds) == 1:
            for cursor in self._stream_of[next(iter(kinds))].cursors:
                cursor.node.wake_at(max(at_ns, cursor.due_ns))
            return
        readers = [each.node for kind in kinds for each in self._stream_of[kind].cursors]
        for node in dict.fromkeys(readers):
            node.wake_at(at_ns)


def _append(stream: Stream, entry: Sequence[Message]) -> None:
    if stream.keeps:
        stream.kept.append(entry)
    for cursor in stream.cursors:
        node = cursor.node
        if node.quiet is not None:
            node.pass_quiet()
        cursor.entries.append(entry)
        node.unread += 1
        node.newest = cursor


def _stream(spec: StreamSpec) -> Stream:
    kept: deque[Sequence[Message]] = deque(
        maxlen=0 if spec.delivery is Delivery.DURABLE else spec.backfill
    )
    return Stream(DECISIONS.get(spec.key(), ""), kept)


def _refuse(code: str, text: str) -> None:
    raise ArbError(f"{code}: {text}")
