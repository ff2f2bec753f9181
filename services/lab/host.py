"""Hosts one engine on the bus in memory, as its process would, and kills it on demand.

The order of effects is the shell's: decide, carry out what may go at once, commit (messages,
checkpoints and acknowledgement together), carry out the actions. Between any two of them the
process may die; effects already made stay, and the next start is the recovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from services.lab.lease import RENEW_NS
from services.lab.life import Life
from services.lab.process import Lab, Process, at_once
from services.lab.shared_strategies import Shards, shards_of
from shared.bus.memory import MemoryInbox
from shared.bus.port import Batch
from shared.engine import NOTHING, InputsOpened, Result, Step
from shared.errors import BusUnavailable
from shared.messages.base import Message
from shared.streams import StreamSpec

RETRY_NS = 50_000_000
"""Pause of a service that lives through the loss of the bus."""


class Host(Life):
    """A process of the lab and what it does: at most one engine alive."""

    def __init__(self, process: Process, lab: Lab) -> None:
        super().__init__(process, lab)
        self._has_begun = False
        self._inbox: MemoryInbox | None = None
        self._shards: Shards | None = None
        self._wake_ns: int | None = None
        self._timer_ns: int | None = None
        self._has_lost_bus = False
        self._reads_durable = process.reads_durable

    def crash(self) -> None:
        """End the process where it stands; what it had not committed is gone."""
        self._inbox = self._shards = self._wake_ns = self._timer_ns = None
        self._has_lost_bus = self._has_begun = False
        super().crash()

    def break_off(self) -> None:
        """Its connection to the bus is broken: it ends, or lives through it, once it notices."""
        if self._pause.is_on:
            self._pause.wait_first(self.break_off)  # a commit would find it broken
        elif self.process.bus_news is not None:
            self._guard(self._lose_bus)
        elif self.lives:
            self.crash()

    def _begin(self) -> None:
        """Load, decide what follows from it, open the inputs."""
        assert self._bus is not None
        process, now_ns = self.process, self._lab.kernel.now_ns()
        engine = process.make()
        loaded = {name: at_once(self._bus.load_checkpoint(name)) for name in process.names}
        saved = {name: state for name, state in loaded.items() if state is not None}
        self.engine = engine
        self._shards = shards_of(process, engine, self._lab, self._bus, self.owner)
        self._finish(engine.start(saved, now_ns), None)
        if self._shards is None:
            self._open(range(process.shards), {})
        else:
            self._follow_shards(self._shards)

    def _follow_shards(self, shards: Shards) -> None:
        self._later(RENEW_NS, lambda: self._guard(lambda: self._follow_shards(shards)))
        if shards.refresh(self._lab.kernel.now_ns()):
            self._inbox = None
            if shards.owned:
                self._open(shards.owned, shards.positions)
                assert self.engine is not None
                step = self.engine.on_message(InputsOpened(), self._lab.kernel.now_ns())
                if step is not NOTHING:
                    self._finish(step, None)

    def _open(self, owned: Sequence[int], positions: Mapping[str, Mapping[int, str]]) -> None:
        assert self._bus is not None
        self._inbox = self._bus.open(
            self.process.inputs(owned, positions),
            service=self.service,
            instance=f"{self.name}-{self.starts}",
            exclusive=self._lease is not None,
        )
        self._wake(0)

    # What wakes it

    def notify(self, written: Iterable[StreamSpec] = ()) -> None:
        """Something was written to these streams; one that is read at intervals can wait."""
        if self._inbox is not None:
            at_ns = self._lab.kernel.time_ns + self._lab.hop_ns()
            self._wake_at(max(at_ns, self._inbox.latest.reads_from_ns(written)))

    def deliver(self, start: int, result: Result) -> None:
        """Hand over what came of an action, unless the process that asked is gone."""
        if start != self.starts or self.engine is None:
            return
        if self._pause.is_on:
            self._pause.wait(lambda: self.deliver(start, result))
        else:
            self._guard(partial(self._take, [result], None, redelivered=False))

    def _wake(self, delay_ns: int) -> None:
        self._wake_at(self._lab.kernel.time_ns + delay_ns)

    def _wake_at(self, at_ns: int) -> None:
        if self._wake_ns is None or at_ns < self._wake_ns:
            self._wake_ns = at_ns
            self._lab.kernel.at(at_ns, partial(self._on_wake, at_ns, self.starts))

    def _on_wake(self, at_ns: int, start: int) -> None:
        if start != self.starts or self._bus is None:
            return
        if self._pause.is_on:
            self._pause.wait(partial(self._on_wake, at_ns, start))
        elif self._wake_ns == at_ns:
            self._wake_ns = None
            if self._inbox is not None and self._has_begun:
                self._guard(self._read)

    def _on_timer(self, at_ns: int) -> None:
        if self._timer_ns == at_ns and self.engine is not None:
            self._timer_ns = None
            self._guard(self._do_what_is_due)

    def _do_what_is_due(self) -> None:
        assert self.engine is not None
        self._check_lease()
        now_ns, deadline_ns = self._lab.kernel.time_ns, self.engine.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            self._finish(self.engine.on_timer(now_ns), None)
        if self._timer_ns is None:
            self._set_timer()

    def _set_timer(self) -> None:
        assert self.engine is not None
        deadline_ns = self.engine.next_deadline_ns()
        if deadline_ns is None or (self._timer_ns is not None and self._timer_ns <= deadline_ns):
            return
        self._timer_ns = deadline_ns
        due = partial(self._due, self.starts, partial(self._on_timer, deadline_ns))
        self._lab.kernel.at(deadline_ns, due)

    # One step

    def _read(self) -> None:
        """Take in all that is there, batch by batch."""
        assert self._inbox is not None
        try:
            batch = self._inbox.poll()
        except BusUnavailable:
            if self.process.lives_without_bus:
                self._wake(RETRY_NS)
                return
            raise
        if not batch.last_ids:
            self._wake_when_due()
            return
        if self.process.on_read is not None:
            for message in batch.messages:
                self.process.on_read(message)
        if batch.messages or batch.pending:
            self._take(batch.messages, batch, redelivered=batch.redelivered)
        if self._shards is not None:
            self._shards.note_read(batch.last_ids)
        if not self._reads_durable:
            self._wake_when_due()
        elif self._has_nothing_left(self._inbox):
            self._wake_ns = None
            self._wake_when_due()
        else:
            self._wake(0)  # one batch has either durable entries or newest ones

    def _has_nothing_left(self, inbox: MemoryInbox) -> bool:
        """Whether another reading at this moment would find nothing, as is mostly so."""
        is_due = self._timer_ns is not None and self._timer_ns <= self._lab.kernel.now_ns()
        return not is_due and not self._pause.is_on and inbox.passes_empty(self._lab.server)

    def _wake_when_due(self) -> None:
        """Read again when a stream with something unread is due; what is written later wakes it."""
        due_ns = None if self._inbox is None else self._inbox.latest.next_due_ns(self._lab.server)
        if due_ns is not None:
            self._wake(max(0, due_ns - self._lab.kernel.now_ns()))

    def _take(
        self, inputs: Sequence[Message | Result], batch: Batch | None, *, redelivered: bool
    ) -> None:
        assert self.engine is not None
        self._check_lease()
        now_ns, whole = self._lab.kernel.time_ns, NOTHING
        for message in inputs:
            step = self.engine.on_message(message, now_ns, redelivered=redelivered)
            if step is not NOTHING:  # a step is its engine's until the next call, so it is copied
                whole = _joined(whole, step) if len(inputs) > 1 else step
        self._finish(whole, batch)

    def _finish(self, step: Step, batch: Batch | None) -> None:
        """Give a step its effects, one after another."""
        has_effect = step is not NOTHING and (step.messages or step.actions or step.at_once)
        if has_effect or (batch is not None and batch.pending):
            self._give_effects(self._effects(step, batch))
        else:
            self._end_step()

    def _give_effects(self, effects: Iterator[None]) -> None:
        """Go from effect to effect; the process may die before any of them, or be stopped."""
        for _ in effects:
            self._lab.crash_point(self.service)
            if self._inbox is not None and self._lab.pauses(self):
                self._pause.wait(lambda: self._guard(lambda: self._give_effects(effects)))
                return

    def _effects(self, step: Step, batch: Batch | None) -> Iterator[None]:
        """Yield before each effect of a step."""
        assert self.engine is not None
        messages, actions = step.messages, step.actions  # an effect may call the engine again
        for action in step.at_once:
            yield
            self._carry_out(action, is_at_once=True)
        if messages or (batch is not None and batch.pending):
            yield
            self._check_lease()
            saved = self.engine.checkpoints() if self.process.names else {}
            self._lab.on_effect(self)
            if self._commit(batch, messages, saved):
                self._lab.on_published(self.service, messages)
        for action in actions:
            yield
            self._carry_out(action, is_at_once=False)
        self._end_step()

    def _end_step(self) -> None:
        """Ask when the engine wants to be called, and whether it takes messages by now."""
        assert self.engine is not None
        self._set_timer()
        if not self._has_begun and self.process.has_begun(self.engine):
            self._has_begun = True
            if self._inbox is not None:
                self._wake(0)

    def _commit(
        self, batch: Batch | None, messages: Sequence[Message], saved: Mapping[str, bytes]
    ) -> bool:
        assert self._bus is not None
        try:
            self._bus.apply(batch, messages, checkpoints=saved)
        except BusUnavailable:
            if self.process.lives_without_bus:
                self._lose_bus()
                return False
            raise
        return True

    def _lose_bus(self) -> None:
        """Tell the engine, now and when it is over."""
        news, engine = self.process.bus_news, self.engine
        if news is None or engine is None or self._has_lost_bus:
            return
        self._has_lost_bus = True
        self._finish(engine.on_message(news[0], self._lab.kernel.now_ns()), None)
        self._later(RETRY_NS, self._look_for_bus)

    def _look_for_bus(self) -> None:
        news, engine = self.process.bus_news, self.engine
        if news is None or engine is None:
            return
        if not self._lab.server.is_up:
            self._later(RETRY_NS, self._look_for_bus)
            return
        self._has_lost_bus = False
        back = engine.on_message(news[1], self._lab.kernel.now_ns())
        self._guard(lambda: self._finish(back, None))


def _joined(first: Step, second: Step) -> Step:
    """Return what both steps decided, the first one first."""
    return Step(
        first.messages + second.messages,
        first.actions + second.actions,
        first.at_once + second.at_once,
    )
