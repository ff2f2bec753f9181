"""Venues that let us in no more, for a key that was revoked or for too many requests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from services.executor.standdown import StandDown
from services.lab import chaos
from services.lab.conditions import BANNED_AFTER, VenueConditions
from services.lab.simulate import run_seed
from services.lab.world import START_NS, World
from services.risk import judgement
from shared.errors import Cause
from tests.sim.test_limit_mutants import worlds_of

WORLDS_MAX = 20
"""So many worlds a mutant may pass."""
UNBROKEN_WORLDS = 8
SECOND_NS = 1_000_000_000


def test_what_is_beyond_the_rate_is_refused_and_who_goes_on_is_banned() -> None:
    venue = VenueConditions(requests_per_s=2)
    assert [venue.bars(START_NS + n) for n in range(4)] == [None, None, Cause.RATE, Cause.RATE]
    assert venue.bars(START_NS + SECOND_NS) is None, "another second"
    for _ in range(BANNED_AFTER):
        venue.bars(START_NS + SECOND_NS)
    assert venue.bars(START_NS + 9 * SECOND_NS) is Cause.RATE


@pytest.fixture(params=["revoked", "banned", "limited"])
def barred(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing else be wrong with venues."""
    weather = {
        "revoked": {"barred": Cause.KEY},
        "banned": {"barred": Cause.RATE},
        "limited": {"requests_per_s": 2},
    }[request.param]
    monkeypatch.setattr(chaos, "BAD_WEATHERS", (weather,))


@pytest.mark.usefixtures("barred")
@pytest.mark.timeout(400)
def test_nothing_is_violated() -> None:
    for seed in islice(worlds_of(None), UNBROKEN_WORLDS):
        outcome = run_seed(seed, World(seed))
        assert not outcome.violations, outcome.story


def send_legs_to_who_stands_down(patch: pytest.MonkeyPatch) -> None:
    """Neither risk nor the executor asks whether a venue takes new orders."""
    others = tuple(rule for rule in judgement.OFFER_RULES if rule.__name__ != "venues_up")
    assert len(others) == len(judgement.OFFER_RULES) - 1
    patch.setattr(judgement, "OFFER_RULES", others)
    patch.setattr(StandDown, "objection", lambda self, legs: "")


def say_nothing_of_a_revoked_key(patch: pytest.MonkeyPatch) -> None:
    """A venue that refuses to be read is read again later, and that is all."""
    patch.setattr(StandDown, "check_failed", lambda *args: None)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", [send_legs_to_who_stands_down, say_nothing_of_a_revoked_key])
def test_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaos, "BAD_WEATHERS", ({"barred": Cause.KEY},))
    mutant(monkeypatch)
    for seed in islice(worlds_of(None), WORLDS_MAX):
        if "stands_down" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")
