"""Arbitrage scanner: depth views in, opportunities and near misses out.

Every decision is in ``engine.py`` and ``cross_venue.py``; this module only wires them to the bus.
"""

from __future__ import annotations

from services.scanner.engine import ScannerEngine
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock
from shared.config_sections import Config
from shared.lease import ShardOwner
from shared.messages.arb import Opportunity
from shared.observe import Observer
from shared.process import own_id
from shared.runner import on_bus, run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.services import SERVICE_OF

NAME = "scanner"


def build(config: Config, bus: Bus, clock: Clock, observer: Observer) -> Shell:
    """Put the scanner together."""
    hosting = Hosting(
        inputs=lambda owned: inputs_of(NAME, owned),
        shards=ShardOwner(bus, NAME, str(own_id(observer.instance)), config.bus.shards),
        measures={Opportunity: "tick_to_opportunity"},
    )
    # One engine for all shards: books of a shard given up grow old and price nothing.
    return Shell(NAME, ScannerEngine(config.scanner), bus, clock, observer, hosting)


if __name__ == "__main__":
    run_service(NAME, on_bus(NAME, build), drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
