"""Notifier: tells people what is wrong, and a dead man's switch that all is well.

What is told is decided in ``engine.py``; this module only wires it. It holds no lease and its state
is no promise to anybody, so it outlives Redis, whose end it tells.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.notifier.engine import NotifierEngine
from services.notifier.transport import ChannelTransport
from services.notifier.waiting import Waiting
from shared.bus.inputs import followed_by, inputs_of
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.errors import ConfigError
from shared.metrics.reader import Reader
from shared.notify.courier import Courier, Secrets
from shared.observe import Observer
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF

NAME = "notifier"

log = logging.getLogger(__name__)


def build(
    config: Config,
    bus: Bus,
    clock: Clock,
    observer: Observer,
    *,
    engine: NotifierEngine,
    secrets: Secrets,
) -> Shell:
    """Put the notifier together."""
    tasks, section = Tasks(), config.notifier
    courier = Courier(section, secrets, clock)
    hosting = Hosting(
        inputs=lambda _: [*inputs_of(NAME), *followed_by(NAME, ("exec.event",), start="new")],
        transport=ChannelTransport(
            courier, section.heartbeat_url, bus, tasks.spawn, Reader.of(config, tasks.spawn)
        ),
        notes=lambda: engine.notes(clock.now_ns()),
    )
    return Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the notifier from what it told before, and close what it opened."""
    if not config.notifier.channels:
        raise ConfigError(
            "notifier.channels is empty; add [[notifier.channels]], see docs/notifier.md"
        )
    secrets = Secrets(config.notifier, os.environ)  # tidy-ok: handed on to shared.config
    names = ", ".join(f"{each.name} ({each.kind})" for each in config.notifier.channels)
    log.info("channels", extra={"names": names})
    courier = Courier(config.notifier, secrets, SystemClock())
    try:
        opening = open_bus(config.bus, service=NAME, instance=observer.instance)
        bus = await Waiting(config.notifier, courier, SystemClock()).until(opening)
    finally:
        await courier.close()
    try:
        engine = NotifierEngine(config, await bus.load_checkpoint(NAME))
        yield build(config, bus, SystemClock(), observer, engine=engine, secrets=secrets)
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
