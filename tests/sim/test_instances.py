"""Two instances of a service in the lab: one works, the other takes over, never both."""

from __future__ import annotations

import pytest

from services.executor.ids import RESTART_SLOT_NS
from services.lab import world as worlds
from services.lab.simulate import run_seed
from services.lab.variety import Instances, instances_of
from services.lab.world import START_NS, World
from shared.lease_terms import TAKEOVER_PAUSE_S

_S = 1_000_000_000
TAKEN_OVER_NS_MAX = 3 * _S
"""A standby on another machine is at work so soon, with the lease as it is by default."""
TWO = Instances(second=("risk", "executor"), shards=1, sees_the_dead=False)


def quiet_world(monkeypatch: pytest.MonkeyPatch, instances: Instances) -> World:
    """Return a world in which nothing goes wrong but what a test does."""
    monkeypatch.setattr(worlds, "instances_of", lambda seed: instances)
    world = World(5)
    world.start()
    world.chaos.stop()
    world.kernel.run_until(START_NS + 2 * _S)
    return world


@pytest.mark.parametrize("service", ["risk", "executor"])
def test_a_standby_takes_over_when_the_lease_has_run_out(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    world = quiet_world(monkeypatch, TWO)
    first, second = world.hosts[service], world.hosts[f"{service}-2"]
    assert (first.is_active, second.is_active, second.lives) == (True, False, True)
    first.starts += 100  # nobody starts it again: its restart is for another process
    first.crash()
    world.kernel.run_until(world.kernel.now_ns() + TAKEN_OVER_NS_MAX)
    assert second.is_active


@pytest.mark.parametrize("service", ["risk", "executor"])
def test_who_stood_still_for_too_long_does_not_act(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    world = quiet_world(monkeypatch, TWO)
    first, second = world.hosts[service], world.hosts[f"{service}-2"]
    first.pause(4 * _S)
    world.kernel.run_until(world.kernel.now_ns() + 3 * _S)
    assert second.is_active
    crashes = world.crashes
    world.kernel.run_until(world.kernel.now_ns() + 2 * _S)
    assert world.crashes == crashes + 1, "it ends as soon as it goes on"
    assert second.is_active
    world.kernel.run_until(START_NS + 20 * _S)
    assert world.checkers.violations == []


def test_a_short_stop_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = quiet_world(monkeypatch, TWO)
    first = world.hosts["executor"]
    first.pause(_S)
    world.kernel.run_until(world.kernel.now_ns() + 5 * _S)
    assert first.is_active
    assert world.crashes == 0


def test_shards_are_divided_and_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Instances(second=("orderbook", "scanner"), shards=5, sees_the_dead=False)
    world = quiet_world(monkeypatch, two)
    books = [world.hosts["orderbook"].engine, world.hosts["orderbook-2"].engine]
    counts = [engine.gauges()["books"] for engine in books if engine is not None]
    assert all(counts)
    world.hosts["orderbook-2"].pause(60 * _S)
    world.kernel.run_until(world.kernel.now_ns() + 5 * _S)
    assert books[0] is not None
    assert books[0].gauges()["books_live"] == sum(counts)
    assert world.checkers.violations == []


def test_a_takeover_begins_no_slot_of_order_ids_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else ids of an executor that took over, sent and died would be used again by the next."""
    assert TAKEOVER_PAUSE_S * _S > RESTART_SLOT_NS
    seen = Instances(second=("executor",), shards=1, sees_the_dead=True)
    world = quiet_world(monkeypatch, seen)
    first, second = world.hosts["executor"], world.hosts["executor-2"]
    monkeypatch.setattr(first, "start", lambda: None)  # the other one is faster
    first.crash()
    died_ns = world.kernel.now_ns()
    while not second.is_active:
        world.kernel.run_until(world.kernel.now_ns() + 1_000_000)
    assert world.kernel.now_ns() - died_ns > RESTART_SLOT_NS


def test_worlds_differ_in_what_runs_twice() -> None:
    drawn = [instances_of(seed) for seed in range(1, 200)]
    assert {name for each in drawn for name in each.second} == {
        "ingestor",
        "orderbook",
        "scanner",
        "risk",
        "executor",
    }
    assert {each.shards for each in drawn} == {1, 5}
    assert sum(not each.second for each in drawn) > 80


def test_two_ingestors_of_a_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Instances(second=("ingestor",), shards=1, sees_the_dead=True)
    monkeypatch.setattr(worlds, "instances_of", lambda seed: two)
    for seed in range(1, 6):
        assert run_seed(seed).violations == []


def test_a_shard_that_came_back_is_priced_from_new_views_only() -> None:
    """A scanner that got a shard back priced a book from what it had seen before, up to its age."""
    assert run_seed(1227).violations == []
