"""An executor that is gone for long: venues cancel what rests; a switch never set is noticed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from services.executor.dead_man import DeadManSwitches
from services.lab import chaos
from services.lab.kinds import Kind
from services.lab.simulate import run_seed
from services.lab.world import World
from shared.engine import Step
from tests.sim.test_kind_mutants import worlds_of

WORLDS_MAX = 60
"""What rests is mostly filled before a switch fires: in one world of eight some of it is left."""


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no executor be there for a while in every world that has switches."""
    monkeypatch.setattr(chaos, "GONE_CHANCE", 1.0)


@pytest.mark.usefixtures("gone")
@pytest.mark.timeout(400)
def test_what_rests_is_canceled_and_nothing_is_violated() -> None:
    fired = judged = 0
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        world = World(seed)
        outcome = run_seed(seed, world)
        assert not outcome.violations, outcome.story
        fired += world.switches.fired
        judged += world.checkers.dead_man.judged
        if fired and judged:
            return
    pytest.fail(f"switches canceled {fired} orders, and {judged} looks judged what rests")


def never_set_it(patch: pytest.MonkeyPatch) -> None:
    """No venue is asked to cancel anything."""
    patch.setattr(DeadManSwitches, "begin", lambda *args: None)


def set_it_for_too_long(patch: pytest.MonkeyPatch) -> None:
    """Venues are to cancel a minute later than configured."""
    ask = DeadManSwitches._ask

    def asks(self: DeadManSwitches, venue: str, after_s: int, now_ns: int, out: Step) -> None:
        ask(self, venue, after_s + 60, now_ns, out)

    patch.setattr(DeadManSwitches, "_ask", asks)


@pytest.mark.usefixtures("gone")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", [never_set_it, set_it_for_too_long])
def test_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        if "dead_man" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")
