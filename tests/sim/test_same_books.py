"""Accounts of ours at one venue: no order takes what the other account has resting."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
import pytest

from services.executor import engine
from services.lab import strategies
from services.lab import world as worlds
from services.lab.kinds import Kind
from services.lab.simulate import run_seed
from services.risk import decider
from tests.sim.test_kind_mutants import WORLDS_MAX, worlds_of

UNBROKEN_WORLDS = 6


@pytest.fixture
def one_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all venues be accounts at the first: what is hedged in one may rest in another."""
    monkeypatch.setattr(strategies, "OTHERS_CHANCE", 1.0)  # who takes runs beside who quotes
    original = worlds.config_for

    def config_for(*args: Any) -> Any:
        config = original(*args)
        first = next(iter(config.venues))
        venues = {
            name: msgspec.structs.replace(venue, adapter=first)
            for name, venue in config.venues.items()
        }
        return msgspec.structs.replace(config, venues=venues)

    monkeypatch.setattr(worlds, "config_for", config_for)


@pytest.mark.usefixtures("one_venue")
@pytest.mark.timeout(400)
def test_no_order_takes_what_another_account_has_resting() -> None:
    for seed in islice(worlds_of(Kind.QUOTES), UNBROKEN_WORLDS):
        outcome = run_seed(seed)
        assert not outcome.violations, outcome.story


@pytest.mark.usefixtures("one_venue")
@pytest.mark.timeout(400)
def test_accounts_that_are_taken_for_two_venues_are_caught(monkeypatch) -> None:
    """Risk and executor look at one account alone."""
    for module in (engine, decider):
        monkeypatch.setattr(module, "same_books", lambda venues: {})
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        if "self_trade" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")
