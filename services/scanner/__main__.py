"""Arbitrage scanner: depth views in, opportunities and near misses out.

Every decision is in ``engine.py`` and ``cross_venue.py``; this module only wires them to the bus.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.scanner.app import ScannerApp
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.observe import Observer
from shared.runner import run_service

DRAIN_TIMEOUT_S = 5.0


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[ScannerApp]:
    """Build the scanner, and close what it opened."""
    bus = await open_bus(config.bus, service="scanner", instance=observer.instance)
    try:
        yield ScannerApp(config, bus, SystemClock(), observer)
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service("scanner", open_app, drain_timeout_s=DRAIN_TIMEOUT_S)
