"""Order books: ``md.book`` in, ``md.depth`` out.

Every decision is in ``engine.py`` and ``tracked.py``; this module only wires them to the bus.
"""

from __future__ import annotations

from services.orderbook.engine import new_engine
from shared import streams
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock
from shared.config_sections import Config
from shared.lease import ShardOwner
from shared.messages.market import DepthView
from shared.observe import Observer
from shared.process import own_id
from shared.runner import on_bus, run_service
from shared.runtime.hosting import Hosting
from shared.runtime.saved_shards import SavedShards
from shared.runtime.shell import Shell
from shared.services import SERVICE_OF

NAME = "orderbook"


def build(config: Config, bus: Bus, clock: Clock, observer: Observer) -> Shell:
    """Put the orderbook service together."""
    engine = new_engine(config)
    saved_shards = SavedShards(
        NAME,
        streams.MD_BOOK,
        engine,
        bus,
        clock,
        observer,
        interval_s=config.orderbook.checkpoint_interval_ms / 1_000,
    )
    books = saved_shards.positions

    def obstacle() -> str:
        gauges = engine.gauges()
        behind = gauges["books"] - gauges["books_live"]
        return f"{behind:.0f} of {gauges['books']:.0f} books are not LIVE" if behind > 0 else ""

    hosting = Hosting(
        inputs=lambda owned: inputs_of(NAME, owned, {streams.MD_BOOK.name: books}),
        shards=ShardOwner(bus, NAME, str(own_id(observer.instance)), config.bus.shards),
        saved_shards=saved_shards,
        measures={DepthView: "tick_to_depth"},
        obstacle=obstacle,
    )
    return Shell(NAME, engine, bus, clock, observer, hosting)


if __name__ == "__main__":
    run_service(NAME, on_bus(NAME, build), drain_timeout_s=SERVICE_OF[NAME].drain_timeout_s)
