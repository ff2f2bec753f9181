"""Runs one service as a process: event loop, signals, supervision, drain, health, heartbeat.

Exit codes: 0 only when asked to stop (SIGTERM, SIGINT) and the drain succeeded; 1 when the service
failed; 2 when the configuration is wrong. A supervisor restarts it on 1.

A service that lost its lease is opened anew in the same process, as a standby: on a busy machine,
where leases are lost, loading the code again takes seconds in which nobody evens out an open plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import NoReturn, Protocol

import uvloop

from shared.bus.keys import notes_of_second_keys
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.bus.redis_streams import RedisBus
from shared.bus.tuning import TUNING
from shared.cancel import cancel_and_wait
from shared.clock import STEADY, Clock, SystemClock
from shared.config import instance_name, load_config
from shared.config_sections import Config
from shared.errors import BusUnavailable, CodecError, ConfigError
from shared.freed_memory import set_aside
from shared.health import HealthServer
from shared.lease import LeaseLost
from shared.ledger import LossDetector, lost_marks
from shared.logs import set_up_logs
from shared.observe import Observer
from shared.own_clock import clock_gauges, clock_notes
from shared.own_usage import own_usage
from shared.processors import keep_to
from shared.service_manager import ServiceManager

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
LAST_LOOK_S = 0.5
LEASES_LOST_MAX = 20
"""Then the process ends, and a supervisor starts another one."""
_SAID_IN_ONE_LINE = (BusUnavailable, LeaseLost, CodecError)
_BEAT_TUNING = replace(TUNING, backoff_cap_s=0.5, insists=False)
"""Reconnects soon enough to report lost data (shared.ledger.WITNESS_NS); never waits."""
EXIT_FAILED = 1
EXIT_CONFIG = 2
GC_THRESHOLDS = (20_000, 50, 100)
"""A batch of messages is ten thousands of young objects without cycles: Python's default of 700
scans them again and again, which more than doubles the cost of decoding a large batch."""
YOUNG_GARBAGE_EVERY_S = 30.0
"""A service that makes few objects would keep cycles for an hour, and some, like a closed
connection to Redis, hold 60 KB of buffers that the collector does not count."""
OLD_GARBAGE_EVERY = 20
"""One in so many of these collections looks at everything made since the start, so that a
connection that lived for an hour is freed too. Python would not do it by itself: after each
collection of the young objects it begins again to count towards the next one."""
OPEN_AFTER = 2
"""After so many of these collections everything is open, and no later one looks at it: venues'
markets are 40,000 objects in the executor, of which each collection would take 15 to 30 ms."""


class App(Protocol):
    """What ``open_app`` of a service yields."""

    async def run(self) -> None:
        """Work until canceled; returning is a failure."""

    async def drain(self) -> None:
        """Finish what must be finished; bounded by the runner's ``drain_timeout_s``."""

    def readiness(self) -> tuple[bool, str]:
        """Tell whether recovery is done and inputs are fresh, and if not, why."""


OpenApp = Callable[[Config, Observer], AbstractAsyncContextManager[App]]


def on_bus(service: str, build: Callable[[Config, Bus, Clock, Observer], App]) -> OpenApp:
    """Return how a service is opened that needs nothing to be closed but its bus."""

    @contextlib.asynccontextmanager
    async def open_app(config: Config, observer: Observer) -> AsyncIterator[App]:
        bus = await open_bus(config.bus, service=service, instance=observer.instance)
        try:
            yield build(config, bus, SystemClock(), observer)
        finally:
            await bus.close()

    return open_app


def run_service(service: str, open_app: OpenApp, *, drain_timeout_s: float) -> NoReturn:
    """Run a service until it is asked to stop, and exit."""
    if not __debug__:
        raise SystemExit("python -O removes the checks this system relies on; run without it")
    try:
        config = load_config()
        instance = instance_name(service)
        set_up_logs(service, instance, config.observe.log_level)
        if (processors := config.process.processors.get(service)) is not None:
            keep_to(processors, f"process.processors.{service}")
        observer = Observer(service, instance)
        observer.read_gauges("own usage", own_usage)
        observer.read_gauges("clock", partial(clock_gauges, STEADY))
        observer.read_notes(partial(clock_notes, STEADY))
        observer.notes_of_start |= notes_of_second_keys(service)
        calm_garbage_collector()
        code = uvloop.run(_supervise(config, observer, open_app, drain_timeout_s))
    except ConfigError as error:
        sys.stderr.write(f"{service}: {error}\n")
        code = EXIT_CONFIG
    logging.shutdown()
    raise SystemExit(code)


def calm_garbage_collector() -> None:
    """Collect cycles rarely, and never look again at what exists now (modules and their like).

    What was only needed to import them goes back to the system.
    """
    set_aside()
    gc.set_threshold(*GC_THRESHOLDS)


async def collect_garbage(every_s: float) -> None:
    """Free cycles among the objects made lately, a millisecond or two, and in turn among all."""
    for turn in itertools.count(1):
        await asyncio.sleep(every_s)
        if turn == OPEN_AFTER:
            gc.collect()
            gc.freeze()
        else:
            gc.collect(0 if turn % OLD_GARBAGE_EVERY else 2)


async def _supervise(
    config: Config, observer: Observer, open_app: OpenApp, drain_timeout_s: float
) -> int:
    """Run the service between its signals; return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    manager = ServiceManager(os.environ)  # tidy-ok: systemd's own variables
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = HealthServer(observer)
    port = await health.start(config.observe.http_host, config.observe.http_port)
    log.info("started", extra={"pid": os.getpid(), "http_port": port})
    stopping = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(_serve(config, observer, open_app, stop, drain_timeout_s))
    beating = asyncio.create_task(_beat(config, observer))
    telling = asyncio.create_task(manager.keep_told(observer))
    collecting = asyncio.create_task(collect_garbage(YOUNG_GARBAGE_EVERY_S))
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("stopping")
            manager.stopping()
            observer.set_ready(False, "stopping")
            serving.cancel()
            await asyncio.wait({serving})
        return _exit_code(serving, asked=stop.is_set())
    finally:
        await cancel_and_wait((beating, stopping, telling, collecting))
        await health.close()
        manager.close()


def _exit_code(serving: asyncio.Task[None], *, asked: bool) -> int:
    """Return 0 if the service ended because it was asked to, and in order."""
    if serving.cancelled():
        return 0 if asked else EXIT_FAILED
    error = serving.exception()
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, ConfigError):
        raise error
    if error is None:
        log.error("service_returned", extra={"reason": "run() ended by itself"})
    elif isinstance(error, _SAID_IN_ONE_LINE):
        log.error("service_failed", extra={"reason": str(error)})
    else:
        log.error("service_failed", exc_info=error, extra={"reason": str(error)})
    return EXIT_FAILED


async def _serve(
    config: Config,
    observer: Observer,
    open_app: OpenApp,
    stop: asyncio.Event,
    drain_timeout_s: float,
) -> None:
    """Open the app and run it, anew whenever its lease was lost; drain it however it ends."""
    for left in reversed(range(LEASES_LOST_MAX)):
        try:
            await _serve_once(config, observer, open_app, stop, drain_timeout_s)
        except LeaseLost as error:
            if not left:
                raise
            log.error("lease_lost", extra={"reason": str(error)})
            observer.count("leases_lost")
        else:
            return
        gc.unfreeze()  # what was open is larger than all that comes and goes
        calm_garbage_collector()


async def _serve_once(
    config: Config,
    observer: Observer,
    open_app: OpenApp,
    stop: asyncio.Event,
    drain_timeout_s: float,
) -> None:
    observer.starting()
    async with open_app(config, observer) as app:
        watching = asyncio.create_task(_watch_readiness(app, observer, stop))
        try:
            await app.run()
        finally:
            watching.cancel()
            observer.set_ready(False, "draining")
            await _drain(app, drain_timeout_s)


async def _drain(app: App, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await app.drain()
    except TimeoutError:
        log.error("drain_timed_out", extra={"timeout_s": timeout_s})
        raise


async def _watch_readiness(app: App, observer: Observer, stop: asyncio.Event) -> None:
    while not stop.is_set():
        observer.set_ready(*app.readiness())
        await asyncio.sleep(0.1 if not observer.ready else HEARTBEAT_S)


async def _beat(config: Config, observer: Observer) -> None:
    """Publish a heartbeat every second and look whether Redis lost data, on an own connection.

    Nothing is sent while Redis is away. Looks once more at the end: a service whose group is gone
    ends within moments, and may be the only one that has noticed.
    """
    bus = RedisBus(
        config.bus, service=observer.service, instance=observer.instance, tuning=_BEAT_TUNING
    )
    loss_detector = LossDetector()
    loop = asyncio.get_running_loop()
    pid = os.getpid()
    due_s, is_ahead = loop.time(), False
    try:
        while True:
            if is_ahead != bool(notes := clock_notes(STEADY)):
                is_ahead = bool(notes)
                log.error("clock_set_back", extra={"reason": "; ".join(notes.values()) or "over"})
            # On the second, so that a heartbeat never waits for a busy loop to be idle.
            due_s = max(due_s + HEARTBEAT_S, loop.time())
            with contextlib.suppress(BusUnavailable):
                await bus.commit(None, [observer.heartbeat(pid)])
                await _look_for_loss(bus, loss_detector)
            await asyncio.sleep(due_s - loop.time())
    finally:
        with contextlib.suppress(BusUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_LOOK_S):
                await _look_for_loss(bus, loss_detector)
        await bus.close()


async def _look_for_loss(bus: RedisBus, loss_detector: LossDetector) -> None:
    """Report in the ledger's marks what this process has seen and Redis no longer holds."""
    loss = loss_detector.look(await bus.marks())
    if loss:
        log.error("data_lost", extra={"reason": loss})
        await bus.mark(lost_marks(loss), only_new=True)
