"""Risk: opportunities and the executor's events in, approved plans and the trading state out.

Every decision is in ``engine.py`` and what it uses; this module only wires it to the bus.
"""

from __future__ import annotations

from collections.abc import Callable

from services.risk.engine import ENGINE, RiskEngine, on_ledger
from services.risk.warming import DecisionWarming
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.lease import Lease
from shared.messages.execution import ApprovedPlan
from shared.observe import Observer
from shared.process import own_id
from shared.runner import on_bus, run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.services import SERVICE_OF

NAME = "risk"


def build(config: Config, engine: RiskEngine, bus: Bus, clock: Clock, observer: Observer) -> Shell:
    """Put risk together around its engine."""
    whole = on_ledger(engine, {"mode": config.executor.mode}, observer.instance)
    hosting = Hosting(
        inputs=lambda _: inputs_of(NAME, range(config.bus.shards)),
        exclusive=True,
        lease=Lease(bus, NAME, str(own_id(observer.instance))),
        checkpoints=ENGINE.checkpoints,
        has_begun=lambda: whole.has_begun,
        measures={ApprovedPlan: "tick_to_plan"},
        warm=DecisionWarming(engine.decider),
        warming_ms=config.process.warming_ms,
    )
    return Shell(NAME, whole, bus, clock, observer, hosting)


def builder(read_ns: int) -> Callable[[Config, Bus, Clock, Observer], Shell]:
    """Return what puts risk together around a new engine, as often as its process opens it.

    Args:
        read_ns: When the process read its configuration (UNIX ns). It does so once: one that lost
            its lease opens risk anew with what it read at its start.
    """

    def build_new(config: Config, bus: Bus, clock: Clock, observer: Observer) -> Shell:
        return build(config, RiskEngine(config, read_ns=read_ns), bus, clock, observer)

    return build_new


if __name__ == "__main__":
    # Before the file is read: a change of limits between the two then counts.
    build_new = builder(SystemClock.now_ns())
    run_service(NAME, on_bus(NAME, build_new), drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
