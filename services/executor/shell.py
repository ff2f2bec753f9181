"""The executor's shell: carries messages, checkpoints, actions and time between engine and world.

One step at a time: decide, commit (messages, checkpoint and acknowledgement in one transaction, and
wait for the bus), then start the actions. That order is the write-ahead. The legs of a plan go
first: their record is the plan, which stays pending until the commit acknowledges it. Steps run in
tasks that a stop does not cancel, so a step is never torn: draining only makes the engine refuse
new plans and waits until what is open has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from services.executor.actions import Report
from services.executor.carry import Carrier
from services.executor.checkpoint import NAMES
from services.executor.engine import ExecutorEngine
from services.executor.paper import PaperGateway
from shared.bus.port import Batch, Bus, Inbox, Input
from shared.clock import Clock
from shared.engine import Action, Step
from shared.errors import BusUnavailable
from shared.lease import Lease, LeaseLost
from shared.ledger import DATA_LOST, RISK, Opened, lost_mark
from shared.messages.base import Message
from shared.messages.control import Alert
from shared.messages.market import DepthView
from shared.observe import Observer
from shared.streams import CTL_COMMAND, EXEC_PLAN, MD_DEPTH, MD_INSTRUMENT, RISK_EVENT

log = logging.getLogger(__name__)

NAME = "executor"
"""Of the service and its lease."""
DEPTH_INTERVAL_MS = 20
IDLE_S = 1.0
DRAIN_POLL_S = 0.05
MARKS_S = 1.0


def inputs(shards: int) -> list[Input]:
    """Return what the executor reads."""
    return [
        Input(EXEC_PLAN),
        Input(CTL_COMMAND),
        Input(RISK_EVENT),
        Input(MD_INSTRUMENT),
        Input(MD_DEPTH, tuple(range(shards)), interval_ms=DEPTH_INTERVAL_MS),
    ]


class ExecutorApp:
    """Runs an engine over an inbox, a bus and the venues' gateways."""

    def __init__(
        self,
        engine: ExecutorEngine,
        bus: Bus,
        inbox: Inbox,
        carrier: Carrier,
        *,
        clock: Clock,
        observer: Observer,
        lease: Lease | None = None,
        opened: Opened | None = None,
        position_interval_ms: int = 200,
    ) -> None:
        self._engine, self._bus, self._inbox = engine, bus, inbox
        self._carrier, self._clock, self._observer = carrier, clock, observer
        self._lease = lease
        self._opened = opened
        self._views = [g for g in carrier.gateways.values() if isinstance(g, PaperGateway)]
        self._lock = asyncio.Lock()
        self._woken = asyncio.Event()
        self._ended: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._now_ns = 0
        self._position_interval_s = position_interval_ms / 1_000
        self._position_due_s = 0.0
        self._positions: dict[str, str] = {}
        self._started = False

    async def run(self) -> None:
        """Recover, then work until canceled; whatever fails in the work is raised here."""
        self._ended = asyncio.get_running_loop().create_future()
        await (self._recover() if self._lease is None else self._lease.while_held(self._recover()))
        self._started = True
        self._spawn(self._read())
        self._spawn(self._keep_time())
        self._spawn(self._watch_marks())
        if self._lease is not None:
            self._spawn(self._lease.keep())
        await asyncio.shield(self._ended)

    async def _recover(self) -> None:
        """Start the engine from what was saved."""
        loaded = {name: await self._bus.load_checkpoint(name) for name in NAMES}
        saved = {name: state for name, state in loaded.items() if state is not None}
        self._engine.opened = self._opened
        await self._step(lambda now_ns: self._engine.start(saved, now_ns))
        if self._opened is not None:
            await self._bus.mark({NAME: self._opened.ledger_id})
            if self._opened.loss:
                await self._bus.unmark(lost_mark(NAME))

    async def _watch_marks(self) -> None:
        """Halt for a loss of data that another process notices after our start."""
        while True:
            await asyncio.sleep(MARKS_S)
            # Redis away or refusing: the next step notices, and decides what that means.
            loss = ""
            with contextlib.suppress(BusUnavailable):
                loss = (await self._bus.marks()).get(lost_mark(NAME), "")
            if loss:
                await self._step(partial(self._engine.note_loss, loss))
                await self._bus.unmark(lost_mark(NAME))

    async def drain(self) -> None:
        """Refuse new plans and wait until the open ones have ended; the runner bounds the wait."""
        self._engine.drain()
        failed = self._ended is None or self._ended.done()
        try:
            while self._started and not failed and not self._engine.is_idle:
                await asyncio.sleep(DRAIN_POLL_S)
                failed = self._ended is None or self._ended.done()
        except asyncio.CancelledError:
            log.error("left_open", extra={"plans": self._engine.state.unfinished()})
            raise
        if self._started and not failed:
            await self._step(self._engine.on_timer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._observer.take_in(self._engine.counters(), self._engine.gauges())
        await self._inbox.close()

    def readiness(self) -> tuple[bool, str]:
        """Tell whether new plans are accepted, and if not, why."""
        if not self._started:
            return False, self._bus.problem or "recovering"
        obstacle = self._bus.problem or self._engine.obstacle
        return not obstacle, obstacle

    async def _read(self) -> None:
        """Take in batches as they come."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._inbox.read(self._read_timeout_s(loop.time()))
            if batch.messages or batch.pending:
                await self._step(partial(self._decide, batch), batch)
            self._positions.update(batch.last_ids)
            await self._note(loop.time())

    def _read_timeout_s(self, now_s: float) -> float:
        return max(0.0, self._position_due_s - now_s) if self._positions else IDLE_S

    async def _note(self, now_s: float) -> None:
        """Say how far we are, now and then."""
        self._observer.advance()
        if not self._positions or now_s < self._position_due_s:
            return
        self._position_due_s = now_s + self._position_interval_s
        self._observer.inputs.update(self._positions)
        prefix = f"executor:{self._observer.instance}:"
        fields = {prefix + key: last_id for key, last_id in self._positions.items()}
        self._positions = {}
        await self._bus.note_positions(fields)

    def _decide(self, batch: Batch, now_ns: int) -> Step:
        """Let the engine take in a batch, and paper accounts its views."""
        out = Step()
        for message in batch.messages:
            if isinstance(message, DepthView):
                for gateway in self._views:
                    gateway.on_view(message)
            made = self._engine.on_message(message, now_ns, redelivered=batch.redelivered)
            out.messages += made.messages
            out.actions += made.actions
            out.at_once += made.at_once
        return out

    async def _keep_time(self) -> None:
        """Call the engine when something is due."""
        while True:
            wait_s = (self._engine.next_deadline_ns() - self._clock.now_ns()) / 1e9
            if wait_s > 0:
                self._woken.clear()
                try:
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                else:
                    continue
            await self._step(self._engine.on_timer)
            self._observer.take_in(self._engine.counters(), self._engine.gauges())
            self._observer.take_in(await self._bus.stats(), {}, "bus_")

    async def _step(self, decide: Callable[[int], Step], batch: Batch | None = None) -> None:
        """Decide, make it safe on the bus, then act on it.

        Raises:
            BusUnavailable: Not confirmed; nothing of this step was acted on but what went at once,
                whose plan is still pending and will be looked for at the venues.
            LeaseLost: Another executor may be active by now; nothing was decided.
        """
        async with self._lock:
            if self._lease is not None:
                self._lease.check()
            self._now_ns = max(self._now_ns, self._clock.now_ns())
            out = decide(self._now_ns)
            if out.at_once:
                for leg_order in out.at_once:
                    self._spawn(self._carry_out(leg_order))
                await asyncio.sleep(0)  # now they go, before the commit is even prepared
            if out.messages or (batch is not None and batch.pending):
                saved = self._engine.checkpoints()
                await self._bus.commit(batch, out.messages, checkpoints=saved)
                await self._mark_loss(out.messages)
        for action in out.actions:
            self._spawn(self._carry_out(action))
        self._woken.set()

    async def _mark_loss(self, messages: Sequence[Message]) -> None:
        """Let risk know of a loss of data that shows at the venues only."""
        for message in messages:
            if isinstance(message, Alert) and message.code == DATA_LOST:
                await self._bus.mark({lost_mark(RISK): message.text}, only_new=True)

    async def _carry_out(self, action: Action) -> None:
        report: Report | None = await self._carrier.carry_out(action)
        if report is not None:
            await self._step(lambda now_ns: self._engine.on_message(report, now_ns))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._ended is None or self._ended.done():
            return
        try:
            if self._lease is not None:
                self._lease.check()
        except LeaseLost as lost:  # then that is why: all else was waited for by a stopped process
            error = lost
        self._ended.set_exception(error)
