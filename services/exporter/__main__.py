"""Exporter: reads what all services say, and answers Prometheus for them; the one scrape target.

What is exposed is decided in ``engine.py``; this module only wires it. It answers without Redis
as well: then that is what it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from services.exporter.engine import ExporterEngine
from services.exporter.server import MetricsServer
from shared.bus.inputs import followed_by, inputs_of
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.cancel import cancel_and_wait
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.metrics.reader import Reader
from shared.observe import Observer
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF

NAME = "exporter"
VERSION = version("arbstream")


def build(
    config: Config,
    bus: Bus,
    clock: Clock,
    observer: Observer,
    *,
    engine: ExporterEngine,
    server: MetricsServer,
) -> Shell:
    """Put the exporter together."""
    tasks = Tasks()
    hosting = Hosting(
        inputs=lambda _: [*inputs_of(NAME), *followed_by(NAME, ("exec.event",), start="new")],
        transport=Reader.of(config, tasks.spawn),
        obstacle=lambda: server.problem,
        notes=lambda: {"metrics": server.problem or server.url},
    )
    return Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the exporter, which answers from now on, and close what it opened."""
    clock, engine = SystemClock(), ExporterEngine(config)
    server = MetricsServer(config.exporter, lambda: engine.samples(clock.now_ns(), VERSION))
    serving = asyncio.create_task(server.serve())
    try:
        bus = await open_bus(config.bus, service=NAME, instance=observer.instance)
        try:
            yield build(config, bus, clock, observer, engine=engine, server=server)
        finally:
            await bus.close()
    finally:
        await cancel_and_wait((serving,))
        await server.close()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
