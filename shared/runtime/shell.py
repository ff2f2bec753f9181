"""The shell around an engine: read a batch, decide all of it, commit once, then act.

One step at a time: decide, start what may go at once, commit (messages, checkpoints and
acknowledgement in one transaction), then start the actions. That order is the write-ahead. Results
that come in within one turn of the event loop are taken in together, in one commit. Steps run in
tasks that a stop does not cancel, so a step is never torn: draining tells the engine that the
process is about to end, and waits until what is open has ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from shared.backoff import Backoff
from shared.bus.port import Batch, Bus, Inbox
from shared.clock import Clock
from shared.engine import NOTHING, Engine, Result, Step, Stopping
from shared.errors import ArbError, BusUnavailable
from shared.messages.base import Message
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.positions import Positions
from shared.runtime.publisher import Publisher
from shared.runtime.tasks import Tasks

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""A shell reads at least this often, so that its health can be told."""
OBSERVE_S = 0.5
STAND_BY_S = 0.5
DRAIN_POLL_S = 0.05
TIMER_S_MIN = 0.001
"""The event loop's clock: a timer that comes early must not be asked again and again."""
RESULTS_MAX = 50_000
"""Bound on the results that wait while a step is committed: several seconds of a busy market."""


class TooSlow(ArbError):  # noqa: N818 - named for what it means
    """Results wait in such numbers that this process must begin anew."""


class Shell:
    """One engine on the bus: see the module's first lines, and :class:`Hosting` for what varies."""

    def __init__(  # noqa: PLR0917 - what a service is made of
        self,
        service: str,
        engine: Engine,
        bus: Bus,
        clock: Clock,
        observer: Observer,
        hosting: Hosting,
        *,
        tasks: Tasks | None = None,
    ) -> None:
        self._engine, self._bus, self._clock, self._observer = engine, bus, clock, observer
        self._hosting = hosting
        self._tasks = tasks or Tasks()
        self._publisher = Publisher(bus, engine, clock, observer)
        self._publisher.saves = self._publisher.is_durable = bool(hosting.checkpoints)
        if hosting.tells_bus_state:
            self._publisher.tell_bus_state(self._tasks, self.deliver)
        self._positions = Positions(service, hosting, self._publisher, observer)
        self._measures = {kind: observer.latency(m) for kind, m in hosting.measures.items()}
        self._lock = asyncio.Lock()
        self._results: list[Result] = []
        self._woken = asyncio.Event()
        self._now_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._deadline_ns: int | None = None
        self._observe_due_s = 0.0
        self._holds_lease = hosting.lease is None
        self._owned: tuple[int, ...] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_waiting = False
        self._stops_reading = False
        self._has_started = self._is_ending = False

    async def run(self) -> None:
        """Recover, then work until canceled; whatever fails in the work is raised here.

        Raises:
            BusUnavailable: Redis was lost and this service makes durable promises.
            LeaseLost: Another instance may be active by now.
        """
        self._tasks.spawn(self._main())
        await self._tasks.until_one_fails()
        if self._hosting.lease is not None and self._holds_lease:
            self._hosting.lease.check()  # then that is why: a process that was stopped fails oddly
        self._tasks.raise_failure()

    async def drain(self) -> None:
        """Stop in order; what was not committed stays pending for the next start."""
        try:
            if self._has_started and not self._tasks.has_failed:
                await self._end_work()
        except asyncio.CancelledError:
            log.error("left_open", extra={"plans": list(self._hosting.open_work())})
            raise
        finally:
            await self._close()

    def readiness(self) -> tuple[bool, str]:
        """Tell whether this instance does its work, and if not, why."""
        lease, shards = self._hosting.lease, self._hosting.shards
        if lease is not None and not self._holds_lease:
            return lease.is_standby, lease.waiting_for or "waiting for the lease"
        if not self._has_started:
            return False, self._bus.problem or "recovering"
        if shards is not None and self._owned is None:
            return False, "waiting for shards"
        if problem := (shards.problem if shards is not None else "") or self._bus.problem:
            return False, problem
        if shards is not None and not self._owned:
            return True, "standby: others own all shards"
        obstacle = self._hosting.obstacle()
        return not obstacle, obstacle

    def deliver(self, result: Result) -> None:
        """Take what came of an action; it is decided on in the next turn of the event loop."""
        if len(self._results) >= RESULTS_MAX:
            text = f"more than {RESULTS_MAX} results of actions wait to be taken in"
            self._tasks.fail(TooSlow(text))
            return
        self._results.append(result)
        self._woken.set()

    def observe(self) -> None:
        """Bring the observer up to date with the engine."""
        self._observer.take_in(self._engine.counters(), self._engine.gauges())

    # The start

    async def _main(self) -> None:
        hosting = self._hosting
        if hosting.lease is not None:
            await self._wait_for_lease()
        saved = await self._load()
        if hosting.prepare is not None:
            await hosting.prepare(saved)
        # Opened only now: what happened before is in the checkpoint and in the pending entries.
        inbox = await self._open(()) if hosting.shards is None else None
        if inbox is not None and inbox.is_durable:
            self._publisher.is_durable = True
        self._now_ns = self._clock.now_ns()
        await self._finish(None, self._engine.start(saved, self._now_ns))
        self._has_started = True
        self._tasks.spawn(self._take_turns())
        self._woken.set()
        for work in hosting.background:
            self._tasks.spawn(work())
        if inbox is not None:
            self._reading = self._tasks.spawn(self._read(inbox))
        else:
            await self._follow_shards()

    async def _wait_for_lease(self) -> None:
        lease = self._hosting.lease
        assert lease is not None
        acquiring = self._tasks.spawn(lease.acquire())
        while not acquiring.done():
            self._observer.advance()  # a standby is healthy
            await asyncio.wait({acquiring}, timeout=STAND_BY_S)
        acquiring.result()
        self._holds_lease = True
        self._tasks.spawn(lease.keep())

    async def _load(self) -> dict[str, bytes]:
        names = self._hosting.checkpoints
        loaded = {name: await self._bus.load_checkpoint(name) for name in names}
        return {name: state for name, state in loaded.items() if state is not None}

    async def _open(self, owned: tuple[int, ...]) -> Inbox:
        return await self._bus.open_inbox(
            self._hosting.inputs(owned),
            service=self._positions.service,
            instance=self._observer.instance,
            exclusive=self._hosting.exclusive,
        )

    # Shards

    async def _follow_shards(self) -> None:
        """Read what is owned; at a change, end reading between two batches and begin anew."""
        assert self._hosting.shards is not None
        async for owned in self._hosting.shards.owned():
            await self._stop_reading()
            if self._is_ending:
                return
            self._owned = owned
            self._observer.gauge("shards_owned", len(owned))
            self._stops_reading = False
            self._reading = self._tasks.spawn(self._serve(owned))

    async def _serve(self, owned: tuple[int, ...]) -> None:
        backoff = Backoff(0.1, 2.0)
        while not self._stops_reading:
            try:
                if self._hosting.saved_shards is not None:
                    await self._hosting.saved_shards.own(owned)
                if not owned:
                    await self._stand_by()
                    return
                inbox = await self._open(owned)
            except BusUnavailable as error:
                log.warning("bus_lost", extra={"reason": str(error)})
                await asyncio.sleep(backoff.next_s())
            else:
                await self._read(inbox)
                return

    async def _stand_by(self) -> None:
        while not self._stops_reading:
            self._observer.advance()
            await asyncio.sleep(STAND_BY_S)

    # Steps

    async def _read(self, inbox: Inbox) -> None:
        """Take in batches as they come, until it is time to stop."""
        saved_shards, lock = self._hosting.saved_shards, self._lock
        try:
            while not self._stops_reading:
                if saved_shards is not None:
                    await saved_shards.advance()
                self._is_waiting = True
                batch = await inbox.read(IDLE_S)
                self._is_waiting = False
                if batch.messages or batch.pending:
                    async with lock:
                        await self._take_batch(batch)
                if batch.last_ids:
                    if saved_shards is not None:
                        saved_shards.note_read(batch.last_ids)
                    self._positions.read.update(batch.last_ids)
                    await self._positions.note()
                    self._arm()
                self._observer.advance()
        finally:
            self._is_waiting = False
            await inbox.close()

    async def _stop_reading(self) -> None:
        """End reading between two batches: a commit cut in half would tear the connection."""
        self._stops_reading = True
        if self._reading is None:
            return
        if self._is_waiting:
            self._reading.cancel()
        await asyncio.wait({self._reading})

    async def _take_batch(self, batch: Batch) -> None:
        self._begin_step()
        out, now_ns, watch = Step(), self._now_ns, self._hosting.watch
        on_message, redelivered = self._engine.on_message, batch.redelivered
        for message in batch.messages:
            if watch is not None:
                watch(message)
            step = on_message(message, now_ns, redelivered=redelivered)
            if step is not NOTHING:
                _add(out, step)
        if await self._finish(batch, out) and self._measures:
            self._measure(out.messages)

    async def _take_turns(self) -> None:
        """Take in results and time, as they come."""
        loop = asyncio.get_running_loop()
        while True:
            await self._woken.wait()
            self._woken.clear()
            async with self._lock:
                await self._take_turn()
            await self._positions.note()
            if loop.time() >= self._observe_due_s:
                self._observe_due_s = loop.time() + OBSERVE_S
                self.observe()
                self._observer.take_in(await self._bus.stats(), {}, "bus_")
            self._arm()

    async def step(self, decide: Callable[[int], Step]) -> None:
        """Let the engine decide on something that is no message and no result."""
        async with self._lock:
            self._begin_step()
            await self._finish(None, decide(self._now_ns))
        self._arm()

    async def _take_turn(self) -> None:
        self._begin_step()
        results, self._results = self._results, []
        out, now_ns = Step(), self._now_ns
        for result in results:
            _add(out, self._engine.on_message(result, now_ns))
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns is not None and now_ns >= deadline_ns:
            _add(out, self._engine.on_timer(now_ns))
        if await self._finish(None, out) and self._measures:
            self._measure(results[:1])

    def _begin_step(self) -> None:
        if self._hosting.lease is not None:
            self._hosting.lease.check()
        self._now_ns = max(self._now_ns, self._clock.now_ns())

    async def _finish(self, batch: Batch | None, out: Step) -> bool:
        """Make a step safe on the bus, and act on it; tell whether anything was published.

        Raises:
            BusUnavailable: Not confirmed; nothing of this step was acted on but what went at once,
                whose cause is still pending.
            LeaseLost: Another instance may be active by now; nothing was committed.
        """
        if out.at_once:
            for action in out.at_once:
                self._hosting.transport.carry_out(action, self.deliver)
            await asyncio.sleep(0)  # now they go, before the commit is even prepared
        written = False
        if out.messages or (batch is not None and batch.pending):
            if self._hosting.lease is not None:
                self._hosting.lease.check()
            written = await self._publisher.commit(batch, out)
        for action in out.actions:
            self._hosting.transport.carry_out(action, self.deliver)
        return written

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
        self._woken.set()

    # The end

    async def _end_work(self) -> None:
        async with self._lock:
            self._begin_step()
            await self._finish(None, self._engine.on_message(Stopping(), self._now_ns))
        has_failed = self._tasks.has_failed
        while self._hosting.open_work() and not has_failed:
            await asyncio.sleep(DRAIN_POLL_S)
            has_failed = self._tasks.has_failed
        self._is_ending = True
        await self._stop_reading()
        if self._hosting.saved_shards is not None:
            await self._hosting.saved_shards.save_all()

    async def _close(self) -> None:
        try:
            if not self._tasks.has_failed:
                await self._lock.acquire()  # no step is under way, and none begins any more
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._hosting.transport.close()
        await self._tasks.cancel()
        if self._has_started:
            self.observe()
        if self._hosting.shards is not None:
            await self._hosting.shards.leave()
        if self._hosting.lease is not None and self._holds_lease:
            await self._hosting.lease.release()


def _add(out: Step, step: Step) -> None:
    out.messages += step.messages
    if step.actions:
        out.actions += step.actions
    if step.at_once:
        out.at_once += step.at_once


def _now_s() -> float:
    return asyncio.get_running_loop().time()
