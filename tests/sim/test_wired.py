"""Worlds in which one venue speaks its real protocol, decoded by the ingestor that runs live."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from services.lab.feed import FRAME_FAULTS
from services.lab.simulate import run_seed
from services.lab.wired import WiredWorld
from shared.errors import ConfigError
from shared.simulated.context import Context
from shared.simulated.faults import FaultTable
from shared.venues.contiguous import ContiguousIds
from shared.venues.registry import ADAPTERS, load_simulated
from shared.venues.rest_join import Verdict


def opened(adapter: str) -> Any:
    context = Context(1, FaultTable({}), lambda: 0, lambda *_: 1.0, lambda *_: None)
    return load_simulated(adapter).open_venue(context, ())


NUMBERED = [name for name in ADAPTERS if opened(name).has_update_ids]
SPOT = [name for name in NUMBERED if not load_simulated(name).LISTINGS[0].perpetual]


def rough_world(seed: int, adapter: str) -> WiredWorld:
    """A world in which something happens to a frame of the venue every 400 ms."""
    world = WiredWorld(seed, adapter)
    for number in range(1, 20):
        fault = FRAME_FAULTS[number % len(FRAME_FAULTS)]
        world.kernel.after(number * 400_000_000, partial(world.feed.hit, adapter, fault))
    return world


@pytest.mark.parametrize("adapter", NUMBERED)
def test_the_real_wire_violates_nothing_through_crashes_and_faults(adapter: str) -> None:
    crashes = fills = seen = 0
    for seed in range(1, 7):
        world = rough_world(seed, adapter)
        outcome = run_seed(seed, world)
        assert outcome.violations == [], (seed, outcome.story)
        crashes += outcome.crashes
        fills += len(world.exchanges[adapter].fills)
        seen += any(venue == adapter for venue, _, _ in world.feed.true_books)
    assert crashes > 30
    assert seen == 6, "its books were seen in every world"
    if adapter in SPOT:
        assert fills > 20, "it was traded on what its frames said"


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = (run_seed(4, WiredWorld(4, SPOT[0])).digest for _ in range(2))
    assert one == two
    assert one != run_seed(4).digest


def test_a_feed_that_applies_what_does_not_follow_is_caught(monkeypatch) -> None:
    """The checkers judge books by what came over the venue's own wire."""
    monkeypatch.setattr(ContiguousIds, "follow", lambda self, last_id, update: Verdict.APPLY)
    found = set()
    for seed in range(1, 13):
        outcome = run_seed(seed, rough_world(seed, "gateio"))
        found |= {violation.checker for violation in outcome.violations}
        if found:
            break
    assert "true_book" in found


def test_a_venue_that_numbers_nothing_or_is_none_is_refused() -> None:
    unnumbered = next(name for name in ADAPTERS if name not in NUMBERED)
    with pytest.raises(ConfigError, match="does not number"):
        WiredWorld(1, unnumbered)
    with pytest.raises(ConfigError, match="no venue adapter 'nowhere'; there are"):
        WiredWorld(1, "nowhere")


def test_it_can_be_asked_for() -> None:
    command = [sys.executable, "-m", "services.lab", "sim", "--seeds", "5", "--wire"]
    done = subprocess.run([*command, "gateio"], capture_output=True, text=True, check=True)
    assert "nothing violated" in done.stdout
    refused = subprocess.run([*command, "nowhere"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("arb: no venue adapter 'nowhere'")
