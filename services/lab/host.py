"""Hosts one engine on the bus in memory, as its process would, and kills it on demand.

The order of effects is the shell's: decide, carry out what may go at once, commit (messages,
checkpoints and acknowledgement together), carry out the actions. Between any two of them the
process may die; what had its effect stays, and the next start is the recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.lab.kernel import Kernel
from services.lab.marks import MarkPort
from shared.bus.memory import MemoryBus, MemoryInbox
from shared.bus.memory_store import MemoryServer, next_due_ns
from shared.bus.port import Batch, Input
from shared.engine import Action, Engine, Result, ShardedEngine, Step
from shared.errors import BusUnavailable, ConfigError
from shared.ledger import MarkAction
from shared.messages.base import Message
from shared.services import ServiceSpec
from shared.streams import STREAM_OF

T = TypeVar("T")

RETRY_NS = 50_000_000
"""Pause of a service that lives through the loss of the bus."""


class Crashed(Exception):  # noqa: N818 - not an error: the process is meant to die here
    """The process ended at this point."""


class Transport(Protocol):
    """Carries out an engine's actions; what comes of them is delivered later, or never."""

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Begin the work."""


class Lab(Protocol):
    """What a host needs of the world around it."""

    @property
    def kernel(self) -> Kernel:
        """Virtual time."""

    @property
    def server(self) -> MemoryServer:
        """The bus's server."""

    def hop_ns(self) -> int:
        """Return how long the next hop over the bus takes."""

    def crash_point(self, service: str) -> None:
        """A point between two effects of a service.

        Raises:
            Crashed: The process ends here.
        """

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """An action is carried out now."""

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Messages are on the bus: who reads them is woken."""

    def on_crash(self, host: Host) -> None:
        """A process ended."""


@dataclass(frozen=True, slots=True)
class Process:
    """One service, as it is wired.

    Attributes:
        row: Its row in the table of services.
        make: Builds the engine of a new process.
        inputs: What it reads; may depend on the engine (where to read on after a restart).
        names: What its checkpoints are saved under.
        transport: Carries out its actions, if it has any.
        has_begun: Whether its engine takes messages; nothing is read before.
        on_read: Called with every message that it reads, before its engine is.
        lives_without_bus: Whether it goes on when the bus refuses a commit.
        bus_news: Its engine's inputs for a lost bus and for its return, if it wants them.
    """

    row: ServiceSpec
    make: Callable[[], Engine]
    inputs: Callable[[Engine], Sequence[Input]]
    names: tuple[str, ...] = ()
    transport: Transport | None = None
    has_begun: Callable[[Engine], bool] = lambda engine: True
    on_read: Callable[[Message], None] | None = None
    lives_without_bus: bool = False
    bus_news: tuple[Result, Result] | None = None

    @property
    def service(self) -> str:
        """Its name in the table of services."""
        return self.row.name


class Host:
    """A process of the lab: at most one engine alive."""

    def __init__(self, process: Process, lab: Lab) -> None:
        self.process, self._lab = process, lab
        self.service = process.service
        self.engine: Engine | None = None
        self.starts = 0
        self.refusal = ""
        """Why the process ended for good: it would not work with what it found."""
        self._marks = MarkPort(lab.kernel, lab.server, lab.hop_ns)
        self._has_begun = False
        self._bus: MemoryBus | None = None
        self._inbox: MemoryInbox | None = None
        self._wake_ns: int | None = None
        self._timer_ns: int | None = None
        self._has_lost_bus = False

    # Life and death

    def start(self) -> None:
        """Begin a process: load, decide what follows from it, open the inputs."""
        if self.engine is not None or self.refusal:
            return
        self.starts += 1
        self._bus = MemoryBus(self._lab.server, service=self.service)
        self._guard(self._begin)

    def crash(self) -> None:
        """End the process where it stands; what it had not committed is gone."""
        self.engine = self._bus = self._inbox = None
        self._wake_ns = self._timer_ns = None
        self._has_lost_bus = self._has_begun = False
        self._lab.on_crash(self)

    def _begin(self) -> None:
        assert self._bus is not None
        process = self.process
        engine = process.make()
        if isinstance(engine, ShardedEngine):
            engine.own(0, None, self._lab.kernel.now_ns())
        loaded = {name: at_once(self._bus.load_checkpoint(name)) for name in process.names}
        saved = {name: state for name, state in loaded.items() if state is not None}
        self.engine = engine
        self._finish(engine.start(saved, self._lab.kernel.now_ns()), None)
        self._inbox = self._bus.open(
            process.inputs(engine),
            service=self.service,
            instance=f"{self.service}-{self.starts}",
            exclusive=True,
        )
        self._wake(0)

    # What wakes it

    def notify(self) -> None:
        """Something was written to a stream that it reads."""
        if self._inbox is not None:
            self._wake(self._lab.hop_ns())

    def deliver(self, start: int, result: Result) -> None:
        """Hand over what came of an action, unless the process that asked is gone."""
        if start == self.starts and self.engine is not None:
            self._guard(lambda: self._take([result], None, redelivered=False))

    def _wake(self, delay_ns: int) -> None:
        at_ns = self._lab.kernel.now_ns() + delay_ns
        if self._wake_ns is None or at_ns < self._wake_ns:
            self._wake_ns = at_ns
            self._later(delay_ns, lambda: self._on_wake(at_ns))

    def _on_wake(self, at_ns: int) -> None:
        if self._wake_ns == at_ns:
            self._wake_ns = None
            self._guard(self._read)

    def _on_timer(self, at_ns: int) -> None:
        if self._timer_ns == at_ns and self.engine is not None:
            self._timer_ns = None
            now_ns = self._lab.kernel.now_ns()
            deadline_ns = self.engine.next_deadline_ns()
            if deadline_ns is not None and deadline_ns <= now_ns:
                self._finish(self.engine.on_timer(now_ns), None)
            self._set_timer()

    def _set_timer(self) -> None:
        assert self.engine is not None
        deadline_ns = self.engine.next_deadline_ns()
        if deadline_ns is None or (self._timer_ns is not None and self._timer_ns <= deadline_ns):
            return
        self._timer_ns = deadline_ns
        delay_ns = deadline_ns - self._lab.kernel.now_ns()
        self._later(max(0, delay_ns), lambda: self._guard(lambda: self._on_timer(deadline_ns)))

    def _later(self, delay_ns: int, event: Callable[[], None]) -> None:
        """Do something later, unless this process has ended by then."""
        start = self.starts

        def due() -> None:
            if start == self.starts and self._bus is not None:
                event()

        self._lab.kernel.after(delay_ns, due)

    def _guard(self, work: Callable[[], None]) -> None:
        """Work, and die of what a process dies of."""
        if self._bus is None:
            return
        try:
            work()
        except (Crashed, BusUnavailable):
            self.crash()
        except ConfigError as error:
            self.refusal = str(error)
            self.crash()

    # One step

    def _read(self) -> None:
        """Take in all that is there, batch by batch."""
        if not self._has_begun:
            return
        assert self._inbox is not None
        try:
            batch = self._inbox.poll()
        except BusUnavailable:
            if self.process.lives_without_bus:
                self._wake(RETRY_NS)
                return
            raise
        if not batch.last_ids:
            due_ns = next_due_ns(self._inbox.cursors, self._lab.server)
            if due_ns is not None:
                self._wake(max(0, due_ns - self._lab.kernel.now_ns()))
            return
        if self.process.on_read is not None:
            for message in batch.messages:
                self.process.on_read(message)
        if batch.messages or batch.pending:
            self._take(batch.messages, batch, redelivered=batch.redelivered)
        self._wake(0)

    def _take(
        self, inputs: Sequence[Message | Result], batch: Batch | None, *, redelivered: bool
    ) -> None:
        assert self.engine is not None
        now_ns = self._lab.kernel.now_ns()
        whole = Step()
        for message in inputs:
            step = self.engine.on_message(message, now_ns, redelivered=redelivered)
            whole.messages += step.messages
            whole.actions += step.actions
            whole.at_once += step.at_once
        self._finish(whole, batch)

    def _finish(self, step: Step, batch: Batch | None) -> None:
        """Give a step its effects, one after another."""
        assert self.engine is not None
        assert self._bus is not None
        lab = self._lab
        for action in step.at_once:
            lab.crash_point(self.service)
            self._carry_out(action, is_at_once=True)
        if step.messages or (batch is not None and batch.pending):
            lab.crash_point(self.service)
            saved = self.engine.checkpoints() if self.process.names else {}
            if self._commit(batch, step.messages, saved):
                lab.on_published(self.service, step.messages)
        for action in step.actions:
            lab.crash_point(self.service)
            self._carry_out(action, is_at_once=False)
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

    def lose_bus(self) -> None:
        """The bus broke off for a moment, and what was published lately may be lost."""
        self._guard(self._lose_bus)

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

    def _carry_out(self, action: Action, *, is_at_once: bool) -> None:
        start = self.starts
        self._lab.on_action(action, is_at_once=is_at_once)
        if isinstance(action, MarkAction):
            self._marks.carry_out(action, lambda result: self.deliver(start, result))
            return
        assert self.process.transport is not None, f"{self.service} has nobody to act for it"
        self.process.transport.carry_out(action, lambda result: self.deliver(start, result))


def readers_of(messages: Sequence[Message]) -> list[str]:
    """Return the services that read these messages, in the order of the map."""
    return list(
        dict.fromkeys(
            service for message in messages for service in STREAM_OF[type(message)].consumers
        )
    )


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, as those of the bus in memory are, and return its result.

    Raises:
        RuntimeError: It waits for something.
    """
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("what runs in the lab must not wait")
