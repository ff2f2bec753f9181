"""Dashboard: what the bus tells, live in a browser; and an operator's commands, if that is allowed.

What is shown is decided in ``engine.py``; this module only wires it. It answers without Redis as
well: then that is what it says.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version

from services.dashboard.access import Access
from services.dashboard.api import Api
from services.dashboard.audit_stream import AuditStream
from services.dashboard.engine import DashboardEngine
from services.dashboard.files import AuditFile, read_tokens
from services.dashboard.pages import Pages
from services.dashboard.server import DashboardServer
from services.dashboard.settings import setting_rows
from services.dashboard.trail import Trail
from services.dashboard.transport import RedisReader
from shared.audit import audited
from shared.audit_files import directory
from shared.bus.inputs import followed_by, inputs_of
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.cancel import cancel_and_wait
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.observe import Observer
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF
from shared.watch.link import Target

NAME = "dashboard"
VERSION = version("arbstream")
BEFORE_MAX = 1_000
"""Entries of the file that are looked for on the stream at the start, the newest."""


def build(
    config: Config,
    bus: Bus,
    clock: Clock,
    observer: Observer,
    *,
    engine: DashboardEngine,
    server: DashboardServer,
    serving: asyncio.Task[None],
    audit: AuditStream,
) -> Shell:
    """Put the dashboard together; it ends when ``serving`` does."""
    tasks = Tasks()
    tasks.spawn(_until_it_ends(serving))
    hosting = Hosting(
        inputs=lambda _: [
            *inputs_of(NAME, range(config.bus.shards)),
            *followed_by(NAME, ("exec.event",), start="new"),
        ],
        transport=RedisReader(target_of(config), config.bus.shards, tasks.spawn),
        obstacle=lambda: server.problem,
        notes=lambda: {
            "dashboard": server.problem or server.url,
            **({"audit trail": audit.state} if audit.state else {}),
        },
    )
    return Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)


async def _until_it_ends(serving: asyncio.Task[None]) -> None:
    await asyncio.wait((serving,))
    serving.result()


def target_of(config: Config) -> Target:
    """Return the Redis that is read, and that commands go to, there as another user maybe."""
    return Target(config.bus, "bus.url", "start it, or set bus.url or ARB_REDIS_URL")


def serve(
    config: Config, engine: DashboardEngine, clock: Clock
) -> tuple[DashboardServer, AuditStream]:
    """Return the server, with its files opened, and what puts its audit trail on the bus.

    Raises:
        ConfigError: A file of it is wrong, or cannot be used.
    """
    folder, section = directory(), config.dashboard
    access = Access(read_tokens(folder), frozenset(), era=secrets.token_hex(4))
    engine.count_refusals(access.refused)
    file = AuditFile(folder, clock.now_ns())
    before = [audited(entry, file.name) for entry in file.entries[-BEFORE_MAX:]]
    audit = AuditStream(target_of(config), before)
    trail = Trail(file, engine.audit, access, clock, audit.put)
    engine.settings.replace(setting_rows(config))
    target = replace(target_of(config), login="DASHBOARD_") if section.operator else None
    api = Api(engine, access, trail, clock, target=target, version=VERSION)
    return DashboardServer(section, api, access, Pages()), audit


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the dashboard, which answers from now on, and close what it opened."""
    clock, engine = SystemClock(), DashboardEngine(config)
    server, audit = serve(config, engine, clock)
    audit.start()
    serving = asyncio.create_task(server.serve())
    try:
        bus = await open_bus(config.bus, service=NAME, instance=observer.instance)
        try:
            yield build(
                config,
                bus,
                clock,
                observer,
                engine=engine,
                server=server,
                serving=serving,
                audit=audit,
            )
        finally:
            await bus.close()
    finally:
        await server.close()
        await audit.close()
        await cancel_and_wait((serving,))


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
