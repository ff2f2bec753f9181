"""The ingestor put together: the engine, its transport, and the shell between."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from services.ingestor.engine import ENGINE, IngestorEngine
from services.ingestor.engine.recording import RecordedEngine
from services.ingestor.engine.requests import FrameReceived
from services.ingestor.engine.settings import venue_settings
from services.ingestor.transport import VenueTransport
from shared.bus.inputs import inputs_of
from shared.bus.port import Bus
from shared.clock import Clock
from shared.config_sections import VenueConfig
from shared.engine import Engine
from shared.feeds import WantedFeed
from shared.messages.base import FeedName
from shared.observe import Observer
from shared.runtime.hosting import Hosting
from shared.runtime.shell import Shell
from shared.runtime.tasks import Tasks

NAME = "ingestor"


def new_engine(
    venues: Mapping[str, VenueConfig],
    clock: Clock,
    observer: Observer,
    wanted: Iterable[WantedFeed] = (),
    feed: FeedName = FeedName.A,
) -> IngestorEngine:
    """Return an engine for the venues by configured name; ``wanted`` is what strategies ask for.

    ``feed`` is which ingestor this is of venues that two follow.

    Raises:
        ConfigError: A venue that is unknown, or a URL that cannot be one.
    """
    started_ns = clock.now_ns()
    return IngestorEngine(
        venue_settings(venues, wanted, feed),
        # Another process may carry the same instance's name.
        source=f"{observer.instance}#{started_ns:x}",
        uniform=random.Random(started_ns).uniform,
    )


def build(
    engine: IngestorEngine,
    bus: Bus,
    clock: Clock,
    observer: Observer,
    *,
    position_interval_s: float,
    recorded: bool = False,
    notes: Mapping[str, str] | None = None,
) -> Shell:
    """Return the shell that hosts the engine; if ``recorded``, its traffic goes to the recorder.

    ``notes`` are what an operator should know of this process.
    """
    tasks = Tasks()
    hosted: Engine = engine
    if recorded:
        hosted = RecordedEngine(engine, f"{observer.instance}#{clock.now_ns():x}")

    def positions() -> dict[str, str]:
        return {f"frames:{venue}": str(n) for venue, n in engine.frames().items() if n}

    hosting = Hosting(
        inputs=lambda _: inputs_of(NAME),
        transport=VenueTransport(clock, tasks.spawn),
        measures={FrameReceived: "tick_to_book"},
        reports_bus_state=ENGINE.reports_bus_state,
        obstacle=engine.unready,
        notes=lambda: notes or {},
        positions=positions,
        position_interval_s=position_interval_s,
    )
    return Shell(NAME, hosted, bus, clock, observer, hosting, tasks=tasks)
