"""One service of the lab's fast host: its engine, and when that is called. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.lab.chain import READ_MAX, REPORT, SHARDS, Chain, Cursor
from services.lab.lease import TAKEOVER_PAUSE_NS
from services.lab.marks import MarkPort
from services.lab.node_reads import NodeReads
from services.lab.process import Process
from shared.bus.wire import newest_per_key
from shared.engine import NOTHING, Engine, InputsOpened, Result, ShardedEngine, Step
from shared.ledger import MarkAction
from shared.ledger_engine import LedgerEngine
from shared.messages.base import Message
from shared.messages.market import DepthView
from shared.services import Instances
from shared.streams import Delivery


class Node(NodeReads):
    """One service: its engine, alive from the start of the run to its end.

    Args:
        process: How it is wired.
        chain: The streams.
        publish: Called with the service and what it published, to append it and wake its readers.
    """

    def __init__(
        self,
        process: Process,
        chain: Chain,
        publish: Callable[[str, Sequence[Message]], None],
    ) -> None:
        super().__init__(chain)
        self.process, self.service = process, process.service
        self.engine: Engine | None = None
        self._on_message: Callable[[Any, int], Step]
        self._next_deadline_ns: Callable[[], int | None]
        self._publish = publish
        self._marks = MarkPort(chain.kernel, chain.marks, lambda: chain.hop_ns)
        self._is_open = self._has_begun = False
        self._is_plain = False
        """Whether it reads every entry as it comes, and no durable ones."""
        self._wake_ns: int | None = None
        self._timer_ns: int | None = None
        self._only_keeps: Callable[[DepthView], bool] | None = None

    def start(self) -> None:
        """Begin, a leased service when it would have waited for another's lease to end."""
        if self.process.row.instances is Instances.LEASED:
            self._kernel.after(TAKEOVER_PAUSE_NS, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        now_ns = self._kernel.time_ns
        engine = self.engine = self.process.make()
        self._on_message, self._next_deadline_ns = engine.on_message, engine.next_deadline_ns
        if isinstance(engine, LedgerEngine):
            self._only_keeps = engine.only_keeps
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
        self._is_plain = not self._durable and not self._paced
        self._is_open = True
        self.wake_at(self._kernel.time_ns)

    # What wakes it

    def deliver(self, result: Result) -> None:
        """Hand over what came of an action."""
        if self._kept or self.quiet is not None:
            self._settle()
        self._finish(self._on_message(result, self._kernel.time_ns))

    def wake_at(self, at_ns: int) -> None:
        """Read at a time, unless a read is due earlier."""
        if self.quiet is not None:
            self._make_loud()
        wake_ns = self._wake_ns
        if self._is_open and (wake_ns is None or at_ns < wake_ns):
            self._wake_ns = at_ns
            self._kernel.at(at_ns, self._on_wake)

    def note_view(self, cursor: Cursor, view: DepthView, at_ns: int) -> None:
        """Read a view that has come, at a time or when the next look is due."""
        kernel, only_keeps, unread = self._kernel, self._only_keeps, self.unread
        now_ns = kernel.time_ns
        if (
            only_keeps is None
            or self._wake_ns is not None
            or not self._has_begun
            or self._first is not None
            or unread != len(cursor.entries)
            or unread > READ_MAX
            or self._chain.sleep_until_ns > now_ns
            or not only_keeps(view)
        ):
            self.wake_at(max(at_ns, cursor.due_ns))
        elif self.quiet is None:
            due_ns = cursor.due_ns
            self.quiet = at_ns if at_ns > due_ns else due_ns, kernel.take_place()

    def _settle(self) -> None:
        """Give the engine what quiet reads have taken; one that is to come is no longer quiet."""
        if self.quiet is not None:
            self.pass_quiet()
            self._make_loud()
        if self._kept:
            now_ns = self._kernel.time_ns
            for view in self._kept.values():
                self._on_message(view, now_ns)
            self._kept.clear()

    def _make_loud(self) -> None:
        if self.quiet is not None:
            (self._wake_ns, place), self.quiet = self.quiet, None
            self._kernel.at_place(self._wake_ns, place, self._on_wake)

    def _wake(self, at_ns: int) -> None:
        if self.quiet is not None:
            self._make_loud()
        if self._is_open and (self._wake_ns is None or at_ns < self._wake_ns):
            self._wake_ns = at_ns
            self._kernel.at(at_ns, self._on_wake)

    def _on_wake(self) -> None:
        now_ns = self._kernel.time_ns
        if self._wake_ns != now_ns:
            return  # another one came first
        self._wake_ns = None
        if not self._has_begun:
            return
        if self.unread == 1 and self._is_plain and self._first is None:  # nearly always
            self._read_one(now_ns)
            return
        if self._kept or self.quiet is not None:
            self._settle()
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
        now_ns = self._kernel.time_ns
        if now_ns < self._chain.sleep_until_ns and self.service in REPORT:
            awake_ns = self._chain.awake_ns(self.service, now_ns)
            if awake_ns > now_ns:  # it was set before this rest was known of
                self._ring_at(awake_ns)
                return
        deadline_ns = self._next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            if self._kept or self.quiet is not None:
                self._settle()
            self._finish(engine.on_timer(now_ns))
        elif deadline_ns is not None:
            self._set_timer(deadline_ns)

    def _set_timer(self, deadline_ns: int) -> None:
        due_ns = deadline_ns
        if due_ns < self._chain.sleep_until_ns:
            due_ns = self._chain.awake_ns(self.service, deadline_ns)
        if self._timer_ns is not None and self._timer_ns <= due_ns:
            return
        self._ring_at(due_ns)

    def _ring_at(self, due_ns: int) -> None:
        self._timer_ns = due_ns
        self._kernel.at(due_ns, partial(self._on_timer, due_ns))

    # One step

    def _read_one(self, now_ns: int) -> None:
        """Take in the one entry that is there, where every entry is read as it comes."""
        assert self.newest is not None
        self.unread = 0
        entry = self.newest.entries.popleft()
        if len(entry) == 1:
            self._finish(self._on_message(entry[0], now_ns))
        else:
            self._take(newest_per_key([*entry], self.newest.spec.conflate)[0], now_ns)
        if self.unread:  # it came meanwhile
            self._wake(now_ns)

    def _read(self, now_ns: int) -> None:
        """Take in all that is there, batch by batch."""
        is_first = self._first is not None
        messages = self._poll(now_ns)
        if messages is None:
            self._wake_when_due(now_ns)
            return
        if len(messages) == 1:
            self._finish(self._on_message(messages[0], now_ns))
        elif messages:
            self._take(messages, now_ns)
        if not self._durable:
            self._wake_when_due(now_ns)
        elif is_first or self._timer_is_due(now_ns) or not self._pass_empty(now_ns):
            self.wake_at(now_ns)  # one batch has either durable entries or newest ones
        else:
            self._wake_ns = None
            self._wake_when_due(now_ns)

    def _wake_when_due(self, now_ns: int) -> None:
        """Read again when a stream with something unread is due; what comes later wakes it."""
        due_ns = [cursor.due_ns for cursor in self._latest if cursor.entries]
        if due_ns:
            self._wake(max(now_ns, min(due_ns)))

    def _timer_is_due(self, now_ns: int) -> bool:
        return self._timer_ns is not None and self._timer_ns <= now_ns

    def _take(self, messages: Sequence[Message], now_ns: int) -> None:
        self._finish(_answers(self._on_message, messages, now_ns))

    def _finish(self, step: Step) -> None:
        """Give a step its effects, in the order of the shell."""
        if step is not NOTHING:
            # An engine may reuse its step at the next call, which an effect can cause.
            messages, actions = step.messages, step.actions
            for action in step.at_once:
                self._carry_out(action)
            if messages:
                self._publish(self.service, messages)
            for action in actions:
                self._carry_out(action)
        deadline_ns, timer_ns = self._next_deadline_ns(), self._timer_ns
        if deadline_ns is not None and (timer_ns is None or timer_ns > deadline_ns):
            self._set_timer(deadline_ns)
        if not self._has_begun and self.process.has_begun(self._engine()):
            self._has_begun = True
            if self._is_open:
                self.wake_at(self._kernel.time_ns)

    def _engine(self) -> Engine:
        assert self.engine is not None
        return self.engine

    def _carry_out(self, action: Any) -> None:
        if isinstance(action, MarkAction):
            self._marks.carry_out(action, self.deliver)
            return
        assert self.process.transport is not None, f"{self.service} has nobody to act for it"
        self.process.transport.carry_out(action, self.deliver)


def _answers(answer: Callable[[Any, int], Step], messages: Sequence[Message], now_ns: int) -> Step:
    """Return what an engine answers to one message after the other, in one step."""
    whole = NOTHING
    for message in messages:
        step = answer(message, now_ns)
        if step is not NOTHING:  # a step is its engine's until the next call
            whole = Step(
                whole.messages + step.messages,
                whole.actions + step.actions,
                whole.at_once + step.at_once,
            )
    return whole
