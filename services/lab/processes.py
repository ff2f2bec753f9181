"""The four services behind the ingestor, wired for the lab as their processes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.executor.checkpoint import NAMES as EXECUTOR_NAMES
from services.executor.checkpoint import ledger_id_of as executor_ledger_id
from services.executor.engine import ExecutorEngine
from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.settings import VenueSettings
from services.lab.host import Process, Transport, at_once
from services.lab.kernel import Kernel
from services.orderbook.engine import OrderbookEngine
from services.risk.checkpoint import NAMES as RISK_NAMES
from services.risk.checkpoint import ledger_id_of as risk_ledger_id
from services.risk.engine import RiskEngine
from services.scanner.engine import ScannerEngine
from shared.bus.inputs import inputs_of
from shared.bus.memory import MemoryBus
from shared.config_sections import Config
from shared.engine import BusBack, BusLost, Engine
from shared.ledger import Opened, open_ledger
from shared.messages.base import Message


def ingestor_process(
    venues: Sequence[VenueSettings], outside: Transport, uniform: Callable[[float, float], float]
) -> Process:
    """Return the ingestor; ``outside`` has its connections, ``uniform`` draws its jitter."""
    return Process(
        service="ingestor",
        make=lambda bus: IngestorEngine(venues, source="lab", uniform=uniform),
        inputs=lambda engine: inputs_of("ingestor"),
        transport=outside,
        lives_without_bus=True,
        bus_news=(BusLost("the bus in memory is away"), BusBack()),
    )


def deciding_processes(
    config: Config,
    kernel: Kernel,
    accounts: Transport,
    on_read: Callable[[Message], None] | None = None,
) -> list[Process]:
    """Return order book, scanner, risk and executor.

    Args:
        config: Of all services.
        kernel: Time.
        accounts: Carries out what the executor asks for.
        on_read: Called with every message that the executor reads.
    """
    return [
        Process(
            service="orderbook",
            make=lambda bus: _orderbook(config, kernel),
            inputs=lambda engine: inputs_of("orderbook"),
            lives_without_bus=True,
        ),
        Process(
            service="scanner",
            make=lambda bus: ScannerEngine(config.scanner),
            inputs=lambda engine: inputs_of("scanner"),
            lives_without_bus=True,
        ),
        Process(
            service="risk",
            make=lambda bus: RiskEngine(config, _open(config, kernel, bus, "risk")),
            inputs=lambda engine: inputs_of("risk"),
            names=RISK_NAMES,
        ),
        Process(
            service="executor",
            make=lambda bus: ExecutorEngine(config, _open(config, kernel, bus, "executor")),
            inputs=lambda engine: inputs_of("executor"),
            names=EXECUTOR_NAMES,
            transport=accounts,
            on_read=on_read,
        ),
    ]


def _orderbook(config: Config, kernel: Kernel) -> Engine:
    engine = OrderbookEngine(config.orderbook)
    engine.own(0, None, kernel.now_ns())
    return engine


def _open(config: Config, kernel: Kernel, bus: MemoryBus, service: str) -> Opened:
    names, known = {
        "risk": (RISK_NAMES, risk_ledger_id),
        "executor": (EXECUTOR_NAMES, executor_ledger_id),
    }[service]
    loaded = {name: at_once(bus.load_checkpoint(name)) for name in names}
    saved = {name: state for name, state in loaded.items() if state is not None}
    return at_once(
        open_ledger(
            bus,
            service,
            {"mode": config.executor.mode},
            known_id=known(saved),
            instance=f"{service}-1",
            now_ns=kernel.now_ns(),
        )
    )
