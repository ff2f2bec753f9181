"""Limits that are lowered while rounds are open: what is above is worked off, or that is caught."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from services.lab import chaos, lowered_limits, strategies
from services.lab.simulate import run_seed
from services.risk import judgement, limits, reduce
from services.risk.reduce import Reducer
from shared.messages.arb import Opportunity

WORLDS = (45, 112)
"""Worlds in which rounds of spot against a perpetual are open when the limits are lowered."""
FAR_NS = (10**13, 2 * 10**13)


@pytest.fixture(autouse=True)
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every world lowers its limits, little else happens, and only risk makes rounds smaller."""
    original = strategies._params

    def params(name: str, draw: Random) -> dict[str, Any]:
        never = {"close_bps": -500.0} if name == "spot_perp_basis" else {}
        return original(name, draw) | never

    monkeypatch.setattr(strategies, "_params", params)
    monkeypatch.setattr(strategies, "HELD_HOURS", (0.01,))
    monkeypatch.setattr(lowered_limits, "LOWERED_CHANCE", 1.0)
    for name in ("KILL_NS", "CONDITIONS_NS", "BUS_NS", "FEED_NS", "OPERATOR_NS", "PAUSE_NS"):
        monkeypatch.setattr(chaos, name, FAR_NS)
    monkeypatch.setattr(chaos, "EFFECTS_BETWEEN_CRASHES", 1e12)
    monkeypatch.setattr(chaos, "PAUSED_WORLDS", 0.0)


def caught() -> set[str]:
    return {violation.checker for seed in WORLDS for violation in run_seed(seed).violations}


@pytest.mark.timeout(400)
def test_what_is_above_is_worked_off(monkeypatch: pytest.MonkeyPatch) -> None:
    original, plans = Reducer.work_off, list[int]()

    def work_off(self: Reducer, *given: Any) -> Any:
        before = self.counters["reducing_plans"]
        out = original(self, *given)
        plans.append(self.counters["reducing_plans"] - before)
        return out

    monkeypatch.setattr(Reducer, "work_off", work_off)
    assert caught() == set()
    assert 0 < sum(plans) < 20, "some plans, and no more than one every fifth of a second"


@pytest.mark.timeout(400)
def test_risk_that_works_nothing_off_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that an exposure is above its soft limit, and makes no plan."""

    def no_offers(self: Reducer, *given: Any) -> Iterator[Opportunity]:
        return iter(())

    monkeypatch.setattr(Reducer, "_offers", no_offers)
    monkeypatch.setattr(reduce, "STANDS_NS", 1 << 60)
    assert "soft_limit" in caught()


@pytest.mark.timeout(400)
def test_risk_that_opens_meanwhile_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It publishes REDUCING, and lets every plan pass."""
    rules = tuple(rule for rule in judgement.OFFER_RULES if rule is not limits.trading_state)
    monkeypatch.setattr(judgement, "OFFER_RULES", rules)
    assert "reducing" in caught()
