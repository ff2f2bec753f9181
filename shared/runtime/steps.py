"""Steps: an engine's decisions made safe on the bus and acted on, one after the other.

Decide, start what may go at once, commit (messages, checkpoints and acknowledgement in one
transaction), then start the actions. That order is the write-ahead. Results that come in within one
turn of the event loop are taken in together, in one commit.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

from shared.bus.port import Batch, Bus
from shared.clock import Clock
from shared.engine import NOTHING, Action, Engine, Result, Step
from shared.errors import ArbError
from shared.ledger import MarkAction
from shared.messages.base import Message
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.marks import MarkRequests
from shared.runtime.positions import Positions
from shared.runtime.publisher import Publisher
from shared.runtime.tasks import Tasks
from shared.turns import Turns

OBSERVE_S = 0.5
TIMER_S_MIN = 0.001
"""The event loop's clock: a timer that comes early must not be asked again and again."""
RESULTS_MAX = 50_000
"""Bound on the results that wait while a step is committed: several seconds of a busy market."""


class TooSlow(ArbError):  # noqa: N818 - named for what it means
    """More results wait than this process can take; it must restart."""


class Steps:
    """Takes batches, results and time into one engine; no two steps at a time."""

    def __init__(  # noqa: PLR0917 - what stands around an engine
        self,
        service: str,
        engine: Engine,
        bus: Bus,
        clock: Clock,
        observer: Observer,
        hosting: Hosting,
        *,
        tasks: Tasks,
    ) -> None:
        self._engine, self._bus, self._clock, self._observer = engine, bus, clock, observer
        self._hosting, self._tasks = hosting, tasks
        self._publisher = Publisher(bus, engine, clock, observer)
        self._publisher.saves = self._publisher.is_durable = bool(hosting.checkpoints)
        if hosting.reports_bus_state:
            self._publisher.report_bus_state(tasks, self.deliver)
        self._positions = Positions(service, hosting, self._publisher, observer)
        self._marks = MarkRequests(bus, hosting.lease, tasks)
        self._measures = {kind: observer.latency(m) for kind, m in hosting.measures.items()}
        self.turns = Turns()
        """Taken during a step."""
        self._is_begun = False
        self.has_begun = asyncio.Event()
        """Set once the engine takes messages."""
        self._results: list[Result] = []
        self._is_woken = False
        self._sleep: asyncio.Future[None] | None = None
        self._now_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._deadline_ns: int | None = None
        self._observe_due_s = 0.0

    async def start(self, saved: Mapping[str, bytes], *, is_durable: bool) -> None:
        """Begin, from what was saved."""
        self._publisher.is_durable |= is_durable
        await self.step(lambda now_ns: self._engine.start(saved, now_ns))

    async def step(self, decide: Callable[[int], Step]) -> None:
        """Let the engine decide on something that is neither a batch nor a result."""
        async with self.turns:
            self._begin_step()
            await self._finish(None, decide(self._now_ns))
        self._wake()

    def deliver(self, result: Result) -> None:
        """Take what came of an action; it is decided on in the next turn of the event loop."""
        if len(self._results) >= RESULTS_MAX:
            text = f"more than {RESULTS_MAX} results of actions wait to be taken in"
            self._tasks.fail(TooSlow(text))
            return
        self._results.append(result)
        self._wake()

    def observe(self) -> None:
        """Bring the observer up to date with the engine."""
        self._observer.take_in(self._engine.counters(), self._engine.gauges())
        self._observer.notes = dict(self._hosting.notes())

    def stop_timer(self) -> None:
        """Cancel the timer for good."""
        if self._timer is not None:
            self._timer.cancel()

    async def take(self, batch: Batch) -> None:
        """Take in a batch, and note how far it went."""
        if batch.messages or batch.pending:
            if not self.turns.try_take():
                await self.turns.take()
            try:
                await self._take_batch(batch)
            finally:
                self.turns.give()
        if batch.last_ids:
            self._positions.read.update(batch.last_ids)
            if self._positions.due_s == math.inf:  # else the timer comes for them
                await self._positions.note()
            self._arm()

    async def _take_batch(self, batch: Batch) -> None:
        self._begin_step()
        steps: list[Step] = []
        now_ns, watch = self._now_ns, self._hosting.watch
        on_message, redelivered = self._engine.on_message, batch.redelivered
        for message in batch.messages:
            if watch is not None:
                watch(message)
            step = on_message(message, now_ns, redelivered=redelivered)
            if step is not NOTHING:
                steps.append(step)
        out = _together(steps)
        if await self._finish(batch, out) and self._measures:
            self._measure(out.messages)

    async def take_turns(self) -> None:
        """Take in results and time, as they come."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._is_woken:
                self._sleep = loop.create_future()
                await self._sleep
            self._is_woken = False
            if not self.turns.try_take():
                await self.turns.take()
            try:
                await self._take_turn()
            finally:
                self.turns.give()
            await self._positions.note()
            if loop.time() >= self._observe_due_s:
                self._observe_due_s = loop.time() + OBSERVE_S
                self.observe()
                self._observer.take_in(await self._bus.stats(), {}, "bus_")
            self._arm()

    async def _take_turn(self) -> None:
        self._begin_step()
        results, self._results = self._results, []
        steps: list[Step] = []
        now_ns, on_message = self._now_ns, self._engine.on_message
        for result in results:
            step = on_message(result, now_ns)
            if step is not NOTHING:
                steps.append(step)
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns is not None and now_ns >= deadline_ns:
            steps.append(self._engine.on_timer(now_ns))
        out = _together(steps)
        if await self._finish(None, out) and self._measures:
            self._measure(results[:1])

    def _begin_step(self) -> None:
        if self._hosting.lease is not None:
            self._hosting.lease.check()
        self._now_ns = max(self._now_ns, self._clock.now_ns())

    async def _finish(self, batch: Batch | None, out: Step) -> bool:
        """Make a step safe on the bus, and act on it; return whether anything was published.

        Raises:
            BusUnavailable: Not confirmed; nothing of this step was acted on but what went at once,
                whose cause is still pending.
            LeaseLost: Another instance may be active by now; nothing was committed.
        """
        if out.at_once:
            for action in out.at_once:
                self._carry_out(action)
            await asyncio.sleep(0)  # now they go, before the commit is even prepared
        written = False
        if out.messages or (batch is not None and batch.pending):
            if self._hosting.lease is not None:
                self._hosting.lease.check()
            written = await self._publisher.commit(batch, out)
        if out.actions and self._hosting.lease is not None:
            self._hosting.lease.check()  # the commit took its time
        for action in out.actions:
            self._carry_out(action)
        if not self._is_begun and self._hosting.has_begun():
            self._is_begun = True
            self.has_begun.set()
        return written

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, MarkAction):
            self._marks.carry_out(action, self.deliver)
        else:
            self._hosting.transport.carry_out(action, self.deliver)

    def _measure(self, of: list[Message] | list[Result]) -> None:
        done_ns = self._clock.now_ns()
        for each in of:
            histogram = self._measures.get(type(each))
            if histogram is not None:
                histogram.record(done_ns - each.ts_recv_ns)  # type: ignore[union-attr]

    # Time

    def _arm(self) -> None:
        """Set the one timer to what is due next; one that comes too early only looks again."""
        due_s = min(self._observe_due_s, self._positions.due_s)
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns != self._deadline_ns or self._timer is None:
            self._deadline_ns = deadline_ns
            if deadline_ns is not None:
                due_s = min(due_s, _now_s() + (deadline_ns - self._clock.now_ns()) / 1e9)
        if self._timer is not None:
            if due_s >= self._timer_s:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_s = max(due_s, loop.time() + TIMER_S_MIN)
        self._timer = loop.call_at(self._timer_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        """Have results and time looked at, in the next turn of the event loop."""
        self._is_woken = True
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)


def _together(steps: Sequence[Step]) -> Step:
    """Return what some steps ask for, in their order; nearly always there is one."""
    if len(steps) == 1:
        return steps[0]
    if not steps:
        return NOTHING
    together = Step()
    for step in steps:
        together.messages += step.messages
        if step.actions:
            together.actions += step.actions
        if step.at_once:
            together.at_once += step.at_once
    return together


def _now_s() -> float:
    return asyncio.get_running_loop().time()
