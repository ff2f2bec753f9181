"""Risk: opportunities and the executor's events in, approved plans and the trading state out.

Every decision is in ``engine.py`` and what it uses; this module only wires it to the bus.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.risk.app import RiskApp
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.observe import Observer
from shared.runner import run_service

DRAIN_TIMEOUT_S = 5.0


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[RiskApp]:
    """Build the risk service, and close what it opened."""
    bus = await open_bus(config.bus, service="risk", instance=observer.instance)
    try:
        yield RiskApp(config, bus, SystemClock(), observer)
    finally:
        await bus.close()


if __name__ == "__main__":
    run_service("risk", open_app, drain_timeout_s=DRAIN_TIMEOUT_S)
