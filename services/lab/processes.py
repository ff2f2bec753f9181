"""The lab's processes: one for every row of the table of services, built from its ``ENGINE``.

A service that is new in the table runs in the lab with nothing added here, unless it asks for
actions: then the world names who carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from services.lab.process import Process, Transport
from services.scanner.units import Units
from shared.bus.inputs import inputs_of
from shared.config_sections import Config
from shared.delays import Uniform
from shared.engine import BusBack, BusLost, Engine, EngineSpec, Given
from shared.ledger_engine import LedgerEngine
from shared.messages.base import Message
from shared.services import CORE_SERVICES, ServiceSpec
from shared.strategy_files import load_strategies
from shared.streams import BY_NAME, Delivery

BUS_NEWS = BusLost("the bus in memory is away"), BusBack()


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a world puts around its services.

    Attributes:
        transports: Instance -> carries out what its engine asks for.
        engines: Service -> builds its engine instead of the service's own ``ENGINE.new``.
        on_read: Service -> called with every message that it reads, before its engine is.
        uniform: Draws the engines' jitter.
    """

    uniform: Uniform
    transports: Mapping[str, Transport]
    engines: Mapping[str, Callable[[Config, Given], Engine]] = field(default_factory=dict)
    on_read: Mapping[str, Callable[[Message], None]] = field(default_factory=dict)


def engine_spec_of(service: str) -> EngineSpec:
    """Return how a service's engine is built."""
    spec: EngineSpec = import_module(f"services.{service}.engine").ENGINE
    return spec


def processes_of(config: Config, outside: Outside, second: Sequence[str] = ()) -> list[Process]:
    """Return a process for every row of the table, in its order.

    Args:
        config: Of all services.
        outside: What is around them.
        second: Services of which there are two; the second is named like ``risk-2``.
    """
    processes = []
    for row in CORE_SERVICES:
        processes.append(_process(row, row.name, config, outside))
        if row.name in second:
            processes.append(_process(row, f"{row.name}-2", config, outside))
    return processes


def _process(row: ServiceSpec, instance: str, config: Config, outside: Outside) -> Process:
    spec, name = engine_spec_of(row.name), row.name
    new = outside.engines.get(name, spec.new)

    def make() -> Engine:
        owner = {"mode": config.executor.mode} if spec.keeps_ledger else {}
        strategies = load_strategies(config) if spec.hosts_strategies else ()
        given = Given(source=instance, uniform=outside.uniform, owner=owner, strategies=strategies)
        return new(config, given)

    units = Units(load_strategies(config), config.bus.shards) if spec.hosts_strategies else None
    is_durable = any(BY_NAME[read.stream].delivery is Delivery.DURABLE for read in row.reads)
    return Process(
        row=row,
        name=instance,
        shards=config.bus.shards,
        make=make,
        inputs=lambda shards, starts: inputs_of(name, shards, starts),
        units=units,
        names=spec.checkpoints,
        has_begun=_has_begun,
        transport=outside.transports.get(instance),
        on_read=outside.on_read.get(name),
        lives_without_bus=not (is_durable or spec.checkpoints),
        bus_news=BUS_NEWS if spec.reports_bus_state else None,
    )


def _has_begun(engine: Engine) -> bool:
    return not isinstance(engine, LedgerEngine) or engine.has_begun
