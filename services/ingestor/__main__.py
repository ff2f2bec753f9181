"""Venue feeds: WebSockets and REST in, ``md.*`` out.

What frames mean is decided in ``shared/venues``; this module only wires sockets to the bus.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingestor.app import IngestorApp
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config import ingestor_venues, position_interval_ms
from shared.config_sections import Config
from shared.observe import Observer
from shared.runner import run_service

DRAIN_TIMEOUT_S = 5.0


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[IngestorApp]:
    """Build the ingestor, and close what it opened."""
    venues = ingestor_venues(config)
    bus = await open_bus(config.bus, service="ingestor", instance=observer.instance)
    try:
        yield IngestorApp(
            venues,
            bus,
            SystemClock(),
            observer,
            position_interval_s=position_interval_ms() / 1_000,
        )
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service("ingestor", open_app, drain_timeout_s=DRAIN_TIMEOUT_S)
