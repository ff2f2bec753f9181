"""Executor: approved plans in, orders at the venues, order events and fills out.

Every decision is in ``engine.py`` and the modules beside it; this module only wires them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.executor.accounts import ledger_owner, open_gateways
from services.executor.carry import Carrier
from services.executor.checkpoint import NAMES, ledger_id_of
from services.executor.engine import ExecutorEngine
from services.executor.shell import NAME, ExecutorApp, inputs
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config import position_interval_ms
from shared.config_sections import Config
from shared.lease import Lease
from shared.ledger import Opened, open_ledger
from shared.observe import Observer
from shared.process import own_id
from shared.runner import run_service

DRAIN_TIMEOUT_S = 20.0
"""Above request timeout and hedge deadline together, below the containers' stop grace period."""


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[ExecutorApp]:
    """Build the executor, and close what it opened."""
    clock = SystemClock()
    engine = ExecutorEngine(config)
    gateways = open_gateways(config, engine.rules, clock)
    bus = await open_bus(config.bus, service="executor", instance=observer.instance)
    lease = Lease(bus, NAME, str(own_id(observer.instance)))
    try:
        await lease.acquire(lambda reason: observer.set_ready(lease.is_standby, reason))
        observer.set_ready(False, "starting")
        opened = await lease.while_held(open_own_ledger(config, bus, clock, observer.instance))
        inbox = await lease.while_held(
            bus.open_inbox(
                inputs(config.bus.shards),
                service=NAME,
                instance=observer.instance,
                exclusive=True,
            )
        )
        carrier = Carrier(
            gateways,
            clock,
            observer.latency("tick_to_order"),
            timeout_s=config.executor.request_timeout_ms / 1_000,
        )
        yield ExecutorApp(
            engine,
            bus,
            inbox,
            carrier,
            clock=clock,
            observer=observer,
            lease=lease,
            opened=opened,
            position_interval_ms=position_interval_ms(),
        )
    finally:
        await lease.release()
        for gateway in gateways.values():
            await gateway.close()
        await bus.close()


async def open_own_ledger(config: Config, bus: Bus, clock: Clock, instance: str) -> Opened:
    """Find out whose data this is, and whether all of it is there.

    Raises:
        ConfigError: It belongs to another mode or account.
    """
    loaded = {name: await bus.load_checkpoint(name) for name in NAMES}
    saved = {name: state for name, state in loaded.items() if state is not None}
    return await open_ledger(
        bus,
        NAME,
        ledger_owner(config),
        known_id=ledger_id_of(saved),
        instance=instance,
        now_ns=clock.now_ns(),
    )


if __name__ == "__main__":
    run_service("executor", open_app, drain_timeout_s=DRAIN_TIMEOUT_S)
