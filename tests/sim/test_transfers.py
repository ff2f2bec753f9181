"""Balances that change behind our back: told, denied, and in no account of ours."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.executor.balance_check import BalanceCheck
from services.executor.engine import ExecutorEngine
from services.executor.venue_account import VenueAccount
from services.lab import transfers
from services.lab.positions import has_derivatives
from services.lab.simulate import run_seed
from services.lab.world import World
from services.risk.engine import RiskEngine
from tests.sim.test_limit_mutants import drop_the_rule

SEEDS = range(1, 21)
FUNDS_SEEDS = range(26, 86)
AFTERWARDS_NS = 20_000_000_000
"""Longer than it takes to compare balances twice."""
WITHDRAWN = "are withdrawn"


@pytest.fixture
def withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdraw early in every world, for as long as it lasts, and leave less than plans need."""
    monkeypatch.setattr(transfers, "CHANCE", 1.0)
    monkeypatch.setattr(transfers, "AWAY_NS", (9_000_000_000, 9_000_000_001))
    monkeypatch.setattr(transfers, "SHORT_OF_OTHERS", Decimal(300))
    least = {"USDT": Decimal(300), "BTC": Decimal("0.005"), "SOL": Decimal(2)}
    monkeypatch.setattr(transfers, "SHORT", least)


@pytest.mark.usefixtures("withdrawn")
@pytest.mark.timeout(400)
def test_nothing_is_violated_and_venues_close_positions_without_margin() -> None:
    told = 0
    for seed in SEEDS:
        world = World(seed)
        outcome = run_seed(seed, world)
        assert not outcome.violations, outcome.story
        told += any(WITHDRAWN in text for _, text in world.story)
    assert told > len(SEEDS) // 2


@pytest.mark.usefixtures("withdrawn")
@pytest.mark.timeout(400)
def test_plans_that_nobody_can_pay_for_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Risk approves what the accounts do not have."""
    drop_the_rule(monkeypatch, "balances")
    for seed in FUNDS_SEEDS:
        if "funds" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{len(FUNDS_SEEDS)} worlds let it pass")


def telling(world: World) -> list[str]:
    """Return the venues whose balances are compared now."""
    executor = world.engine("executor")
    assert isinstance(executor, ExecutorEngine)
    if executor.obstacle:
        return []
    state, venues = executor.state, sorted(executor.state.opening_balances)
    held = {key.partition("|")[0] for key, qty in state.books.quantities.items() if qty}
    derivatives = {venue for venue in venues if has_derivatives(world.exchanges[venue])}
    return [v for v in venues if v not in state.down and v not in held & derivatives]


@pytest.mark.timeout(400)
def test_what_is_withdrawn_when_all_is_quiet_is_told_to_the_last_digit_and_halts() -> None:
    told = 0
    for seed in SEEDS:
        world = World(seed)
        run_seed(seed, world)
        kernel, amount = world.kernel, Decimal("1234.567")
        kernel.run_until(kernel.now_ns() + AFTERWARDS_NS)
        venues = telling(world)
        before = dict(world.checkers.transfers.told)
        for venue in venues:
            world.exchanges[venue].ledger.transfer("USDT", -amount)
            world.checkers.transfers.on_transfer(venue, "USDT", -amount)
        kernel.run_until(kernel.now_ns() + AFTERWARDS_NS)
        assert not world.checkers.violations, seed
        after = world.checkers.transfers.told
        changed = {place: after[place] - before.get(place, 0) for place in after}
        changed = {place: moved for place, moved in changed.items() if moved}
        assert changed == {(venue, "USDT"): -amount for venue in venues}, seed
        risk = world.engine("risk")
        assert isinstance(risk, RiskEngine)
        assert ("BALANCE_LOSS" in risk.state.trading.trips) >= bool(venues), seed
        told += len(venues)
    assert told >= len(SEEDS)


@pytest.mark.timeout(400)
def test_balances_that_are_compared_while_orders_are_in_flight_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The executor takes every difference for a transfer at its second sight."""
    monkeypatch.setattr(BalanceCheck, "_is_settled", lambda *given: True)
    monkeypatch.setattr("services.executor.balance_check.READ_AGAIN_NS", -AFTERWARDS_NS)
    monkeypatch.setattr(VenueAccount, "is_reading", False)
    for seed in SEEDS:
        if "transfers" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{len(SEEDS)} worlds let it pass")
