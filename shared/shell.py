"""The shell around an engine: read a batch, decide all of it, commit once.

A service whose inputs are all LATEST lives through the loss of Redis: what it could not publish is
dropped and counted, because every fact on a LATEST stream is repeated and every gap is noticed by
its reader. A service with a DURABLE input or a checkpoint ends instead: its engine must not run
ahead of the bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from shared.bus.connection import ReplyError
from shared.bus.port import NO_CHECKPOINTS, Batch, Bus, Inbox
from shared.clock import Clock
from shared.config import position_interval_ms
from shared.engine import Engine, Step
from shared.errors import BusUnavailable
from shared.logs import Throttle
from shared.messages.base import Message
from shared.observe import Observer

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""A pump goes round at least this often, so that its health can be told."""
RETRY_S = 0.1
"""Pause after a LATEST publish failed; the bus itself backs off from reconnecting."""
_NO_MEASURES: Mapping[type[Message], str] = {}


class Pump:
    """A service: messages from ``inbox`` through ``engine`` to ``bus``.

    Args:
        service: Name of the service, as in the map of streams.
        engine: Makes all decisions; none of its steps may have actions.
        bus: Where outputs go.
        inbox: Where inputs come from.
        clock: Time for the engine.
        observer: Where counters, gauges and latencies are noted.
        measures: Output type -> measure: after an ``on_message`` output of that type was written,
            the time since its ``ts_recv_ns`` is recorded.
        checkpoints: Names that ``engine.checkpoints()`` may save under, in the same transaction as
            the durable batch or the outputs that go with it.
        check: Called before every commit; raises if another process may be the active one by now.
    """

    def __init__(  # noqa: PLR0917 - what a service is made of
        self,
        service: str,
        engine: Engine,
        bus: Bus,
        inbox: Inbox,
        clock: Clock,
        observer: Observer,
        *,
        measures: Mapping[type[Message], str] = _NO_MEASURES,
        checkpoints: Sequence[str] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._service, self._engine = service, engine
        self._bus, self._inbox, self._clock, self._observer = bus, inbox, clock, observer
        self._measures = {kind: observer.latency(name) for kind, name in measures.items()}
        self._checkpoints, self._check = checkpoints, check
        self._durable = bool(checkpoints) or inbox.is_durable
        self._throttle = Throttle(IDLE_S)
        self._position_interval_s = position_interval_ms() / 1_000
        self._positions: dict[str, str] = {}
        self._position_due_s = 0.0
        self._observed_s = 0.0
        self._recovered = False

    async def run(self) -> None:
        """Pump until canceled.

        Raises:
            BusUnavailable: Redis was lost and this service makes durable promises.
        """
        await self._restore()
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._inbox.read(self._wait_s(loop.time()))
            now_ns = self._clock.now_ns()
            if batch.messages or batch.pending:
                await self._handle(batch, now_ns)
            deadline_ns = self._engine.next_deadline_ns()
            if deadline_ns is not None and now_ns >= deadline_ns:
                await self._commit(None, self._messages_of(self._engine.on_timer(now_ns)))
            if batch.last_ids:
                self._positions.update(batch.last_ids)
            await self._note(loop.time())

    async def _restore(self) -> None:
        loaded = {name: await self._bus.load_checkpoint(name) for name in self._checkpoints}
        saved = {name: state for name, state in loaded.items() if state is not None}
        step = self._engine.start(saved, self._clock.now_ns())
        await self._commit(None, self._messages_of(step))
        self._recovered = True

    def _wait_s(self, now_s: float) -> float:
        wait_s = IDLE_S
        deadline_ns = self._engine.next_deadline_ns()
        if deadline_ns is not None:
            wait_s = min(wait_s, (deadline_ns - self._clock.now_ns()) / 1e9)
        if self._positions:
            wait_s = min(wait_s, self._position_due_s - now_s)
        return max(0.0, wait_s)

    async def _handle(self, batch: Batch, now_ns: int) -> None:
        outputs: list[Message] = []
        on_message = self._engine.on_message
        for message in batch.messages:
            step = on_message(message, now_ns, redelivered=batch.redelivered)
            outputs += step.messages
            assert not step.actions, "this shell carries out nothing"
        written = await self._commit(batch, outputs)
        if written and self._measures:
            done_ns = self._clock.now_ns()
            for output in outputs:
                histogram = self._measures.get(type(output))
                if histogram is not None:
                    histogram.record(done_ns - output.ts_recv_ns)  # type: ignore[attr-defined]

    @staticmethod
    def _messages_of(step: Step) -> Sequence[Message]:
        assert not step.actions, "this shell carries out nothing"
        return step.messages

    async def _commit(self, batch: Batch | None, outputs: Sequence[Message]) -> bool:
        """Write outputs; false if they were dropped because Redis is away."""
        pending = batch is not None and bool(batch.pending)
        if not outputs and not pending:
            return False
        self._check()
        saved = self._engine.checkpoints() if self._checkpoints else NO_CHECKPOINTS
        try:
            await self._bus.commit(batch, outputs, checkpoints=saved)
        except BusUnavailable as error:
            self._lost(error, len(outputs))
            await asyncio.sleep(RETRY_S)
            return False
        return True

    def _lost(self, error: BusUnavailable, outputs: int) -> None:
        """Count outputs that could not be written, or end if there are durable promises."""
        may_pass = isinstance(error, ReplyError) and error.may_pass
        if self._durable and not may_pass:  # what was promised, the bus itself asks for again
            raise error
        self._observer.count("publish_lost", outputs)
        if self._throttle.passes(self._clock.monotonic_ns() / 1e9):
            log.warning("publish_lost", extra={"reason": str(error), "outputs": outputs})

    async def _note(self, now_s: float) -> None:
        """Say how far we are and what was counted, each at most once per interval."""
        self._observer.advance()
        if self._positions and now_s >= self._position_due_s:
            self._position_due_s = now_s + self._position_interval_s
            self._observer.inputs.update(self._positions)
            prefix = f"{self._service}:{self._observer.instance}:"
            fields = {prefix + key: last_id for key, last_id in self._positions.items()}
            self._positions = {}
            try:
                await self._bus.note_positions(fields)
            except BusUnavailable as error:
                self._lost(error, 0)
        if now_s >= self._observed_s + IDLE_S:
            self._observed_s = now_s
            await self.observe()

    async def observe(self) -> None:
        """Bring the observer up to date with the engine's and the bus's own counts."""
        self._observer.take_in(self._engine.counters(), self._engine.gauges())
        self._observer.take_in(await self._bus.stats(), {}, "bus_")

    async def drain(self) -> None:
        """Stop reading; what was not committed stays pending for the next start."""
        await self.observe()
        await self._inbox.close()

    def readiness(self) -> tuple[bool, str]:
        """Tell whether recovery is done."""
        if self._bus.problem or not self._recovered:
            return False, self._bus.problem or "recovering"
        return True, ""
