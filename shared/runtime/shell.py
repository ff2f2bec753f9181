"""The shell around an engine: who works, what is read, and how it begins and ends.

Steps (see ``steps.py``) run in tasks that a stop does not cancel, so a step is never torn: draining
gives the engine ``Stopping``, and waits until what is open has ended.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from shared.backoff import Backoff
from shared.bus.port import Bus, Inbox
from shared.clock import Clock
from shared.engine import Engine, InputsOpened, Stopping
from shared.errors import BusUnavailable
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.steps import Steps
from shared.runtime.tasks import Tasks
from shared.runtime.warming import CacheWarming

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""A shell reads at least this often, so that its health can be judged."""
STAND_BY_S = 0.5
DRAIN_POLL_S = 0.05


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
        self._service, self._engine, self._bus, self._observer = service, engine, bus, observer
        self._hosting, self._clock = hosting, clock
        self._tasks = tasks or Tasks()
        self._steps = Steps(service, engine, bus, clock, observer, hosting, tasks=self._tasks)
        self.step, self.deliver = self._steps.step, self._steps.deliver
        self._holds_lease = hosting.lease is None
        self._owned: tuple[int, ...] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._warming: CacheWarming | None = None
        self._warms_after_steps = hosting.warms_after_steps
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
            if left := list(self._hosting.open_work()):
                log.error("left_open", extra={"plans": left})
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

    # The start

    async def _main(self) -> None:
        hosting = self._hosting
        if hosting.lease is not None:
            await self._wait_for_lease()
        saved = await self._load()
        # Opened only now: what happened before is in the checkpoint and in the pending entries.
        inbox = await self._open(()) if hosting.shards is None else None
        await self._steps.start(saved, is_durable=inbox is not None and inbox.is_durable)
        self._tasks.spawn(self._steps.take_turns())
        await self._steps.has_begun.wait()
        self._has_started = True
        if hosting.warm is not None and hosting.warming_ms:
            turns, pause_s = self._steps.turns, hosting.warming_ms / 1_000
            self._warming = CacheWarming(hosting.warm, pause_s, self._clock, lambda: turns.is_taken)
            if not hosting.warms_after_steps:
                self._warming.start()
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
            service=self._service,
            instance=self._observer.instance,
            exclusive=self._hosting.exclusive,
        )

    # Shards

    async def _follow_shards(self) -> None:
        """Read what is owned; at a change, end reading between two batches and begin again."""
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
                if self._hosting.shards is not None:
                    await self._hosting.shards.let_go(owned)
                if not owned:
                    await self._stand_by()
                    return
                inbox = await self._open(owned)
            except BusUnavailable as error:
                log.warning("bus_lost", extra={"reason": str(error)})
                await asyncio.sleep(backoff.next_s())
            else:
                await self.step(partial(self._engine.on_message, InputsOpened()))
                await self._read(inbox)
                return

    async def _stand_by(self) -> None:
        while not self._stops_reading:
            self._observer.advance()
            await asyncio.sleep(STAND_BY_S)

    # Steps

    async def _read(self, inbox: Inbox) -> None:
        """Take in batches as they come, until it is time to stop."""
        saved_shards = self._hosting.saved_shards
        try:
            while not self._stops_reading:
                if saved_shards is not None:
                    await saved_shards.advance()
                self._is_waiting = True
                batch = await inbox.read(IDLE_S)
                self._is_waiting = False
                await self._steps.take(batch)
                if self._warms_after_steps and self._warming is not None:
                    self._warming.after_step()
                if saved_shards is not None:
                    saved_shards.note_read(batch.last_ids)
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

    # The end

    async def _end_work(self) -> None:
        await self.step(partial(self._engine.on_message, Stopping()))
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
                await self._steps.turns.take()  # no step is under way, and none begins any more
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        self._steps.stop_timer()
        if self._warming is not None:
            self._warming.stop()
        # The tasks first: one that goes on meanwhile would open again what has been closed.
        await self._tasks.cancel()
        await self._hosting.transport.close()
        if self._has_started:
            self._steps.observe()
        if self._hosting.shards is not None:
            await self._hosting.shards.leave()
        if self._hosting.lease is not None and self._holds_lease:
            await self._hosting.lease.release()
