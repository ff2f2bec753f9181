"""Arbitrage scanner: depth views in, opportunities and near misses out.

The strategies decide (``shared/strategies``), ``engine.py`` hosts them; this module only wires them
to the bus and the watchdog.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.scanner.engine import StrategyHost
from services.scanner.history import History
from services.scanner.history_reader import HistoryReader
from services.scanner.saved_strategies import SavedStrategies
from services.scanner.units import Units
from services.scanner.warming import OfferWarming
from services.scanner.watchdog import Watchdog
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock, SystemClock
from shared.config_sections import Config
from shared.lease import ShardOwner
from shared.messages.arb import Opportunity
from shared.observe import Observer
from shared.process import own_id
from shared.runner import App, on_bus, run_service
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks
from shared.services import SERVICE_OF
from shared.strategy_files import load_strategies
from shared.venues.port import FeedKind
from shared.venues.registry import EVERY, load_feed

NAME = "scanner"


def build(
    config: Config, bus: Bus, clock: Clock, observer: Observer, watchdog: Watchdog | None = None
) -> Shell:
    """Put the scanner together."""
    if watchdog is not None:
        watchdog.start()  # strategies are asked what they want when the engine is made
    instances = load_strategies(config)
    engine = StrategyHost(instances, watchdog, history_of(config))
    units, tasks = Units(instances, config.bus.shards), Tasks()
    shards = ShardOwner(bus, NAME, str(own_id(observer.instance)), units.shards, units.leases)
    saved = SavedStrategies(engine, units, bus, clock, observer, shards.holds)

    hosting = Hosting(
        inputs=lambda owned: [
            each
            for each in inputs_of(NAME, saved.shards_of(owned), saved.starts_of(owned))
            if each.spec.name not in engine.unread
        ],
        shards=shards,
        saved_shards=saved,
        measures={Opportunity: "tick_to_opportunity"},
        notes=lambda: {**engine.notes(), **saved.notes},
        warm=OfferWarming(instances),
        warming_ms=config.process.warming_ms,
        warms_after_steps=True,
        transport=HistoryReader(
            Path(config.recorder.dir),
            {name: venue.adapter or name for name, venue in config.venues.items()},
            tasks.spawn,
        ),
    )
    # One engine for all shards: books of a shard given up grow old and price nothing.
    shell = Shell(NAME, engine, bus, clock, observer, hosting, tasks=tasks)
    if watchdog is not None:
        watchdog.deliver_to(shell.deliver)
    return shell


def history_of(config: Config) -> History:
    """Return what may be asked of the recorder's store, for warm-ups."""
    adapters = {name: venue.adapter or name for name, venue in config.venues.items()}
    markets = [
        (name, instrument)
        for name, venue in config.venues.items()
        if adapters[name] in EVERY and FeedKind.TRADES in load_feed(adapters[name]).extras
        for instrument in venue.instruments
    ]
    return History(markets, config.recorder.dir if config.recorder.enabled else "")


@asynccontextmanager
async def open_app(config: Config, observer: Observer) -> AsyncIterator[App]:
    """Open the scanner, with a watchdog over its strategies."""
    watchdog = Watchdog(SystemClock())
    try:
        async with on_bus(NAME, partial(build, watchdog=watchdog))(config, observer) as app:
            yield app
    finally:
        watchdog.stop()


if __name__ == "__main__":
    run_service(NAME, open_app, drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
