"""Sentinel: reads the venues' accounts and the streams, alerts, and owns the last kill switch.

What it finds and does is decided in ``engine.py``; this module only wires it. It holds no lease and
saves nothing, so it outlives Redis.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.sentinel.engine import SentinelEngine
from services.sentinel.gateways import open_gateways
from services.sentinel.transport import SentinelTransport, VenueGateways
from shared.bus.inputs import followed_by, inputs_of
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.freed_memory import give_back
from shared.observe import Observer
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF
from shared.watch.link import Target

NAME = "sentinel"


def build(
    config: Config, bus: Bus, clock: Clock, observer: Observer, gateways: VenueGateways
) -> Shell:
    """Put the sentinel together."""
    engine, tasks = SentinelEngine(config), Tasks()
    target = Target(config.bus, "bus.url", "start it, or set bus.url or ARB_REDIS_URL")
    hosting = Hosting(
        inputs=lambda _: [
            *inputs_of(NAME, range(config.bus.shards)),
            *followed_by(NAME, ("exec.event", "ctl.command")),
        ],
        transport=SentinelTransport(gateways, target, config.bus.shards, tasks.spawn),
        notes=lambda: engine.notes(clock.now_ns()),
    )
    return Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the sentinel, and close what it opened."""
    clock = SystemClock()
    gateways = open_gateways(config, clock, os.environ)  # tidy-ok: handed on to shared.config
    give_back()  # what loading the venues' clients took
    bus = await open_bus(config.bus, service=NAME, instance=observer.instance)
    try:
        yield build(config, bus, clock, observer, gateways)
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
