"""The services' engines on one heap, handing messages on as objects: the lab's fast host. Pure.

A ``Node`` does for its engine what a ``Host`` does where nothing fails: the same inputs in the same
batches at the same times, so the same decisions to the byte. Nothing is encoded but decisions;
there are no crashes, leases or checkpoints, and a stream keeps only what a later reader looks back
at, so memory does not grow with the length of a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from services.lab.decisions import DECISIONS, Decisions
from services.lab.kernel import Kernel
from services.lab.lease import TAKEOVER_PAUSE_NS
from services.lab.marks import MarkPort
from services.lab.process import Process
from shared.bus.memory_store import ZERO, Id, MemoryServer
from shared.bus.port import Input
from shared.bus.tuning import TUNING
from shared.bus.wire import group_by_stream, newest_per_key, payloads
from shared.engine import NOTHING, Engine, InputsOpened, Result, ShardedEngine, Step
from shared.errors import ArbError
from shared.ledger import MarkAction
from shared.messages.base import Message
from shared.services import Instances
from shared.streams import ALL, STREAM_OF, Delivery, StreamSpec

SHARDS = 1
FIRST_AWAKE = frozenset(("ingestor", "executor"))
AWAKE_LATER_NS = 50_000_000
READ_MAX = TUNING.read_entries_max


class Cursor:
    """What one node has not read yet of one stream: entries, each a few messages."""

    def __init__(self, item: Input, node: Node) -> None:
        self.spec, self.node = item.spec, node
        self.interval_ns = item.interval_ms * 1_000_000
        self.due_ns, self.is_due = 0, True
        self.entries: deque[Sequence[Message]] = deque()  # drained at every wake of its node

    def take(self) -> list[Any]:
        """Return the messages of the next entries."""
        entries = self.entries
        if len(entries) == 1:
            self.node.unread -= 1
            return list(entries.popleft())
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
        self.is_busy: Callable[[], bool] = lambda: True
        """Whether anything is in flight, so that every timer counts."""

    def sleep(self, from_ns: int, to_ns: int) -> None:
        """Let timers that are due between two times wait for the second, while nobody is busy."""
        self._sleep_ns = from_ns, to_ns

    def awake_ns(self, service: str, due_ns: int) -> int:
        """Return when a timer that is due at a time rings."""
        from_ns, to_ns = self._sleep_ns
        if not from_ns < due_ns < to_ns or self.is_busy():
            return due_ns
        # whoever watches others must hear of them first
        return to_ns if service in FIRST_AWAKE else to_ns + AWAKE_LATER_NS

    def open(self, item: Input, node: Node) -> Cursor:
        """Return a cursor that begins now."""
        cursor = Cursor(item, node)
        self._streams[item.spec.name].cursors.append(cursor)
        return cursor

    def kept(self, spec: StreamSpec) -> Sequence[Sequence[Message]]:
        """Return the entries that whoever begins to read now looks back at."""
        return self._streams[spec.name].kept

    def append(self, messages: Sequence[Message]) -> None:
        """Append what one step published."""
        if len(messages) == 1:
            stream = self._stream_of[type(messages[0])]
            if not stream.name:  # nearly always: market data
                _append(stream, messages)
                return
        for spec, _, entry in group_by_stream(messages, SHARDS):
            stream = self._streams[spec.name]
            if stream.name:
                for payload in payloads(spec, entry, _refuse):
                    entry_id = stream.next_id(self.kernel.now_ns() // 1_000_000)
                    self._decisions.add(stream.name, entry_id, payload)
            _append(stream, entry)

    def notify(self, messages: Sequence[Message]) -> None:
        """Wake who reads the messages, a hop later or when their next look is due."""
        at_ns = self.kernel.now_ns() + self.hop_ns
        if len(messages) == 1:
            for cursor in self._stream_of[type(messages[0])].cursors:
                cursor.node.wake_at(max(at_ns, cursor.due_ns) if cursor.interval_ns else at_ns)
            return
        streams = dict.fromkeys(id(self._stream_of[type(each)]) for each in messages)
        by_id = {id(stream): stream for stream in self._stream_of.values()}
        for node in dict.fromkeys(c.node for one in streams for c in by_id[one].cursors):
            node.wake_at(at_ns)


def _append(stream: Stream, entry: Sequence[Message]) -> None:
    if stream.kept.maxlen:
        stream.kept.append(entry)
    for cursor in stream.cursors:
        cursor.entries.append(entry)
        cursor.node.unread += 1


def _stream(spec: StreamSpec) -> Stream:
    kept: deque[Sequence[Message]] = deque(
        maxlen=0 if spec.delivery is Delivery.DURABLE else spec.backfill
    )
    return Stream(DECISIONS.get(spec.key(), ""), kept)


def _refuse(code: str, text: str) -> None:
    raise ArbError(f"{code}: {text}")


class Node:
    """One service: its engine, alive from the start of the run to its end.

    Args:
        process: How it is wired.
        chain: The streams.
        publish: Called with the service and what it published.
    """

    def __init__(
        self,
        process: Process,
        chain: Chain,
        publish: Callable[[str, Sequence[Message]], None],
    ) -> None:
        self.process, self.service = process, process.service
        self.engine: Engine | None = None
        self._chain, self._kernel, self._publish = chain, chain.kernel, publish
        self._marks = MarkPort(chain.kernel, chain.marks, lambda: chain.hop_ns)
        self._durable: list[Cursor] = []
        self._latest: list[Cursor] = []
        self._paced: list[Cursor] = []
        self.unread = 0
        """Entries in all its cursors."""
        self._is_open = self._has_begun = False
        self._first: list[Message] | None = None
        self._wake_ns: int | None = None
        self._read_ns = 0
        """When it last read all there was."""
        self._timer_ns: int | None = None

    def start(self) -> None:
        """Begin, a leased service when it would have waited for another's lease to end."""
        if self.process.row.instances is Instances.LEASED:
            self._kernel.after(TAKEOVER_PAUSE_NS, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        now_ns = self._kernel.now_ns()
        engine = self.engine = self.process.make()
        self._finish(engine.start({}, now_ns))
        if self.process.row.instances is not Instances.SHARDED:
            self._open()
            return
        if isinstance(engine, ShardedEngine):
            for shard in range(SHARDS):
                engine.own(shard, None, now_ns)
        self._open()
        self._finish(engine.on_message(InputsOpened(), now_ns))

    def _open(self) -> None:
        first: list[Message] = []
        is_first = False
        for item in self.process.inputs(range(SHARDS), {}):
            cursor = self._chain.open(item, self)
            if item.spec.delivery is Delivery.DURABLE:
                self._durable.append(cursor)
                continue
            self._latest.append(cursor)
            if cursor.interval_ns:
                self._paced.append(cursor)
            kept = self._chain.kept(item.spec)
            if kept:
                is_first = True
                messages = [message for entry in kept for message in entry]
                first += newest_per_key(messages, item.spec.conflate)[0]
        self._first = first if is_first else None
        self._is_open = True
        self.wake_at(self._kernel.now_ns())

    # What wakes it

    def deliver(self, result: Result) -> None:
        """Hand over what came of an action."""
        assert self.engine is not None
        self._finish(self.engine.on_message(result, self._kernel.now_ns()))

    def wake_at(self, at_ns: int) -> None:
        """Read at a time, unless that is to happen earlier anyway.

        Who has just read looks once more at once, so it sees what comes at that very moment.
        """
        now_ns = self._kernel.now_ns()
        self._wake(now_ns if self._read_ns == now_ns else at_ns)

    def _wake(self, at_ns: int) -> None:
        if self._is_open and (self._wake_ns is None or at_ns < self._wake_ns):
            self._wake_ns = at_ns
            self._kernel.at(at_ns, self._on_wake)

    def _on_wake(self) -> None:
        now_ns = self._kernel.now_ns()
        if self._wake_ns != now_ns:
            return  # another one came first
        self._wake_ns = None
        if not self._has_begun:
            return
        if self.unread or self._first is not None:
            self._read(now_ns)
            return
        for cursor in self._paced:  # it was a look all the same
            if now_ns >= cursor.due_ns:
                cursor.due_ns = now_ns + cursor.interval_ns

    def _on_timer(self, at_ns: int) -> None:
        engine = self.engine
        if self._timer_ns != at_ns or engine is None:
            return
        self._timer_ns = None
        now_ns = self._kernel.now_ns()
        deadline_ns = engine.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            self._finish(engine.on_timer(now_ns))
        self._set_timer()

    def _set_timer(self) -> None:
        assert self.engine is not None
        deadline_ns = self.engine.next_deadline_ns()
        if deadline_ns is None or (self._timer_ns is not None and self._timer_ns <= deadline_ns):
            return
        due_ns = self._chain.awake_ns(self.service, deadline_ns)
        if self._timer_ns is not None and self._timer_ns <= due_ns:
            return
        self._timer_ns = due_ns
        self._kernel.at(due_ns, partial(self._on_timer, due_ns))

    # One step

    def _read(self, now_ns: int) -> None:
        """Take in all that is there, batch by batch."""
        messages, is_durable = self._poll(now_ns)
        if messages is None:
            due_ns = [cursor.due_ns for cursor in self._paced if cursor.entries]
            if due_ns:
                self._wake(max(now_ns, min(due_ns)))
            return
        assert self.engine is not None
        if len(messages) == 1:
            self._finish(self.engine.on_message(messages[0], now_ns))
        elif messages:
            self._take(messages, now_ns)
        if not self._durable:
            due_ns = [cursor.due_ns for cursor in self._latest if cursor.entries]
            if due_ns:
                self._wake(max(now_ns, min(due_ns)))
        elif self.unread or is_durable:
            self.wake_at(now_ns)
        else:
            self._read_ns = now_ns

    def _take(self, messages: Sequence[Message], now_ns: int) -> None:
        engine, whole = self._engine(), NOTHING
        for message in messages:
            step = engine.on_message(message, now_ns)
            if step is not NOTHING:  # a step is its engine's until the next call
                whole = Step(
                    whole.messages + step.messages,
                    whole.actions + step.actions,
                    whole.at_once + step.at_once,
                )
        self._finish(whole)

    def _poll(self, now_ns: int) -> tuple[list[Message] | None, bool]:
        """Return a batch, ``None`` where nothing is there, and whether it is of durable streams."""
        if self._first is not None:
            messages, self._first = self._first, None
            return messages, True  # as if: there may be more
        found: list[Message] | None = None
        for cursor in self._durable:
            if cursor.entries:
                found = (found or []) + cursor.take()
        if found is not None:
            return found, True
        for cursor in self._paced:
            cursor.is_due = now_ns >= cursor.due_ns
            if cursor.is_due:
                cursor.due_ns = now_ns + cursor.interval_ns
        for cursor in self._latest:
            if cursor.entries and cursor.is_due:
                messages = cursor.take()
                if len(messages) > 1:
                    messages = newest_per_key(messages, cursor.spec.conflate)[0]
                found = messages if found is None else found + messages
        return found, False

    def _finish(self, step: Step) -> None:
        """Give a step its effects, in the order of the shell."""
        # An engine may reuse its step at the next call, which an effect can cause.
        messages, actions = step.messages, step.actions
        for action in step.at_once:
            self._carry_out(action)
        if messages:
            self._chain.append(messages)
            self._publish(self.service, messages)
        for action in actions:
            self._carry_out(action)
        self._set_timer()
        if not self._has_begun and self.process.has_begun(self._engine()):
            self._has_begun = True
            if self._is_open:
                self.wake_at(self._kernel.now_ns())

    def _engine(self) -> Engine:
        assert self.engine is not None
        return self.engine

    def _carry_out(self, action: Any) -> None:
        if isinstance(action, MarkAction):
            self._marks.carry_out(action, self.deliver)
            return
        assert self.process.transport is not None, f"{self.service} has nobody to act for it"
        self.process.transport.carry_out(action, self.deliver)


def nodes_of(
    processes: Sequence[Process],
    chain: Chain,
    publish: Callable[[str, Sequence[Message]], None],
) -> Iterator[Node]:
    """Yield a node for every process."""
    for process in processes:
        yield Node(process, chain, publish)
