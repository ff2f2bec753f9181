"""The lab's processes: one for every row of the table of services, built from its ``ENGINE``.

A service that is new in the table runs in the lab with nothing added here, unless it asks for
actions: then the world names who carries them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from services.lab.host import Process, Transport, at_once
from services.lab.kernel import Kernel
from shared.bus.inputs import inputs_of
from shared.bus.memory import MemoryBus
from shared.config_sections import Config
from shared.delays import Uniform
from shared.engine import BusBack, BusLost, Engine, EngineSpec, Given
from shared.ledger import Opened, open_ledger
from shared.messages.base import Message
from shared.services import ALL_SERVICES, ServiceSpec
from shared.strategy_files import load_strategies
from shared.streams import BY_NAME, Delivery

BUS_NEWS = BusLost("the bus in memory is away"), BusBack()


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a world puts around its services.

    Attributes:
        transports: Service -> carries out what its engine asks for.
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


def processes_of(config: Config, kernel: Kernel, outside: Outside) -> list[Process]:
    """Return a process for every row of the table, in its order."""
    return [_process(row, config, kernel, outside) for row in ALL_SERVICES]


def _process(row: ServiceSpec, config: Config, kernel: Kernel, outside: Outside) -> Process:
    spec, name = engine_spec_of(row.name), row.name
    new = outside.engines.get(name, spec.new)

    def make(bus: MemoryBus) -> Engine:
        opened = _open_ledger(name, spec, config, kernel, bus)
        strategies = load_strategies(config) if spec.hosts_strategies else ()
        given = Given(source="lab", uniform=outside.uniform, opened=opened, strategies=strategies)
        return new(config, given)

    is_durable = any(BY_NAME[read.stream].delivery is Delivery.DURABLE for read in row.reads)
    return Process(
        row=row,
        make=make,
        inputs=lambda engine: inputs_of(name, range(config.bus.shards)),
        names=spec.checkpoints,
        transport=outside.transports.get(name),
        on_read=outside.on_read.get(name),
        lives_without_bus=not (is_durable or spec.checkpoints),
        bus_news=BUS_NEWS if spec.reports_bus_state else None,
    )


def _open_ledger(
    service: str, spec: EngineSpec, config: Config, kernel: Kernel, bus: MemoryBus
) -> Opened | None:
    """Open the ledger, if the service keeps it."""
    if spec.ledger_id_of is None:
        return None
    loaded = {name: at_once(bus.load_checkpoint(name)) for name in spec.checkpoints}
    saved = {name: state for name, state in loaded.items() if state is not None}
    return at_once(
        open_ledger(
            bus,
            service,
            {"mode": config.executor.mode},
            known_id=spec.ledger_id_of(saved),
            instance=f"{service}-1",
            now_ns=kernel.now_ns(),
        )
    )
