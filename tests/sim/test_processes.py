"""The lab runs what the table of services says: a new service is its folder and its row."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from services.lab import processes
from services.lab.simulate import run_seed
from services.lab.world import START_NS, World
from shared import services
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.base import Message
from shared.messages.market import InstrumentInfo
from shared.services import CORE_SERVICES, SERVICES, Instances, ServiceSpec, StreamInput

if TYPE_CHECKING:
    import pytest


class Listener:
    """An engine of a service that nobody has heard of."""

    def __init__(self) -> None:
        self.heard: list[Message | Result] = []

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        return NOTHING

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        self.heard.append(message)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        return NOTHING

    def next_deadline_ns(self) -> int | None:
        return None

    def checkpoints(self) -> Mapping[str, bytes]:
        return {}

    def counters(self) -> Mapping[str, int]:
        return {}

    def gauges(self) -> Mapping[str, float]:
        return {}


def test_every_row_is_a_process() -> None:
    assert tuple(World(1).hosts) == SERVICES


def test_a_new_row_is_a_process_of_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ServiceSpec(
        name="listener",
        reads=(StreamInput(stream="md.instrument"),),
        instances=Instances.INDEPENDENT,
        stop_rank=0,
    )
    folder, module = ModuleType("services.listener"), ModuleType("services.listener.engine")
    module.ENGINE = EngineSpec(new=lambda config, given: Listener())
    monkeypatch.setitem(sys.modules, folder.__name__, folder)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(processes, "CORE_SERVICES", (*CORE_SERVICES, row))
    monkeypatch.setitem(services.SERVICE_OF, row.name, row)
    world = World(1)
    world.start()
    world.chaos.stop()
    world.kernel.run_until(START_NS + 1_000_000_000)
    world.hosts["listener"].crash()
    world.kernel.run_until(START_NS + 3_000_000_000)
    engine = world.engine("listener")
    assert isinstance(engine, Listener)
    assert world.hosts["listener"].starts == 2
    assert {type(message) for message in engine.heard} == {InstrumentInfo}
    assert run_seed(1).violations == []
