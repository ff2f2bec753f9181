"""Executor: approved plans in, orders at the venues, order events and fills out.

Every decision is in ``engine.py`` and the modules beside it; this module only wires them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from services.executor.accounts import (
    former_accounts,
    former_variable,
    ledger_owner,
    open_gateways,
    read_on_paper,
)
from services.executor.engine import ENGINE, ExecutorEngine, on_ledger
from services.executor.paper import WATCHED, PaperGateway
from services.executor.request_counts import RequestCounts
from services.executor.transport import VenueRequests, VenueTransport
from services.executor.warming import PlanWarming
from shared.accounts.gateway import Gateway
from shared.bus.inputs import inputs_of
from shared.bus.opening import open_bus
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.freed_memory import give_back
from shared.lease import Lease
from shared.measure_names import BUDGET_GAUGE
from shared.messages.base import Message
from shared.observe import Observer
from shared.process import own_id
from shared.runner import run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF

NAME = "executor"


def build(
    config: Config,
    engine: ExecutorEngine,
    gateways: Mapping[str, Gateway],
    bus: Bus,
    clock: Clock,
    *,
    observer: Observer,
) -> Shell:
    """Put the executor together around its engine and the venues' gateways."""
    instance, tasks = observer.instance, Tasks()
    former = former_accounts(config)
    for name in former:
        venue = name.removeprefix("account:")
        told = f"changed; take {former_variable(venue)} away again"
        observer.notes_of_start[f"key of {venue}"] = told
    whole = on_ledger(engine, ledger_owner(config), instance, former)
    paper = [gateway for gateway in gateways.values() if isinstance(gateway, PaperGateway)]
    tick_to_order = observer.latency("tick_to_order")
    timeout_s = config.executor.request_timeout_ms / 1_000

    def show_market(message: Message) -> None:
        if type(message) not in WATCHED:
            return
        for gateway in paper:
            gateway.on_message(message)

    def open_plans() -> list[str]:
        return engine.open_work()  # the state is another one after the start

    lease = Lease(bus, NAME, str(own_id(instance)))
    observer.read_gauges("rate budgets", lambda: _budgets(gateways))
    requests = VenueRequests(
        gateways,
        clock,
        tick_to_order,
        timeout_s=timeout_s,
        check=lease.check,
        counts=RequestCounts(observer),
    )
    hosting = Hosting(
        inputs=lambda _: [*inputs_of(NAME, range(config.bus.shards)), *read_on_paper(config)],
        exclusive=True,
        lease=lease,
        checkpoints=ENGINE.checkpoints,
        has_begun=lambda: whole.has_begun,
        transport=VenueTransport(requests, tasks.spawn),
        watch=show_market if paper else None,
        warm=PlanWarming(engine, config),
        warming_ms=config.process.warming_ms,
        obstacle=lambda: engine.obstacle,
        open_work=open_plans,
    )
    return Shell(NAME, whole, bus, clock, observer, hosting, tasks=tasks)


def _budgets(gateways: Mapping[str, Gateway]) -> dict[str, float]:
    """Return which part of each venue's rate limit is used up."""
    used = ((venue, gateway.budget_used()) for venue, gateway in gateways.items())
    return {BUDGET_GAUGE.format(venue): ratio for venue, ratio in used if ratio is not None}


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[Shell]:
    """Build the executor, and close what it opened."""
    clock = SystemClock()
    engine = ExecutorEngine(config)
    gateways = open_gateways(config, engine.rules, clock)
    give_back()  # what loading the venues' clients took
    bus = await open_bus(config.bus, service=NAME, instance=observer.instance)
    try:
        yield build(config, engine, gateways, bus, clock, observer=observer)
    finally:
        for gateway in gateways.values():
            await gateway.close()
        await bus.close()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
