"""Venue feeds: WebSockets and REST in, ``md.*`` out.

What frames mean is decided in ``shared/venues``; this module only wires sockets to the bus.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingestor.app import NAME, build, new_engine
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config import ENVIRON, ingestor_venues, position_interval_ms
from shared.config_sections import Config
from shared.messages.base import FeedName
from shared.observe import Observer
from shared.runner import run_service
from shared.runtime.shell import Shell
from shared.services import SERVICE_OF
from shared.strategy_inputs import feeds_of_strategies
from shared.two_feeds import venues_of_feed

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the ingestor, and close what it opened."""
    clock = SystemClock()
    wanted = feeds_of_strategies(config)
    notes = {
        f"strategy {name}": f"what it wants beside books is not subscribed: {why}"
        for name, why in wanted.unasked.items()
    }
    for name, why in notes.items():
        log.warning("strategy_not_asked", extra={"about": name, "reason": why})
    feed, venues = venues_of_feed(ingestor_venues(config), ENVIRON)
    engine = new_engine(venues, clock, observer, wanted.feeds, feed)
    bus = await open_bus(config.bus, service=NAME, instance=observer.instance)
    try:
        interval_s = position_interval_ms() / 1_000
        yield build(
            engine,
            bus,
            clock,
            observer,
            position_interval_s=interval_s,
            # What feed a receives is enough: a recording is replayed as of one ingestor.
            recorded=config.recorder.enabled and feed is FeedName.A,
            notes=notes,
        )
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
