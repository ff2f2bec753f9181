"""Recorder: raw frames into files, decisions into the ledger. No other service waits for it.

What is written where is decided in ``engine.py`` and in ``shared/sql_ledger``; this module only
wires it to the bus, the store and the ledger's file.
"""

from __future__ import annotations

from pathlib import Path

from services.recorder.engine import RecorderEngine
from services.recorder.ledger import LedgerWriter
from services.recorder.parts import Parts
from services.recorder.store import StoreTransport
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock
from shared.config_sections import Config
from shared.lease import Lease
from shared.observe import Observer
from shared.process import own_id
from shared.runner import App, on_bus, run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF
from shared.sql_ledger.address import configured_address
from shared.store.extra import must_have
from shared.watch.link import Target

NAME = "recorder"


def build(config: Config, bus: Bus, clock: Clock, observer: Observer) -> App:
    """Put together what the configuration asks for; frames where it asks for nothing.

    Raises:
        ConfigError: What writes Parquet is not installed.
    """
    parts: list[App] = []
    if config.recorder.enabled or not config.recorder.ledger:
        parts.append(build_frames(config, bus, clock, observer))
    if config.recorder.ledger:
        target = Target(config.bus, "bus.url", "start it, or set bus.url or ARB_REDIS_URL")
        address = configured_address(config.recorder)
        parts.append(LedgerWriter(address, target, clock, observer))
    return parts[0] if len(parts) == 1 else Parts(parts)


def build_frames(config: Config, bus: Bus, clock: Clock, observer: Observer) -> Shell:
    """Put together what writes raw frames.

    Raises:
        ConfigError: What writes Parquet is not installed.
    """
    must_have("pyarrow")
    engine = RecorderEngine(config.recorder)
    tasks = Tasks()
    hosting = Hosting(
        inputs=lambda _: inputs_of(NAME),
        exclusive=True,
        lease=Lease(bus, NAME, str(own_id(observer.instance))),
        has_begun=lambda: engine.has_begun,
        transport=StoreTransport(Path(config.recorder.dir), tasks.spawn),
        obstacle=engine.unready,
        open_work=engine.open_work,
    )
    return Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)


if __name__ == "__main__":
    run_service(NAME, on_bus(NAME, build), drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
