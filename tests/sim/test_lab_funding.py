"""Funding of the lab's perpetuals: paid by the exchange, booked once, and missed by no checker."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from services.executor.engine import ExecutorEngine
from services.executor.funding import FundingPayments, payment_key
from services.lab.bus_troubles import BusTroubles
from services.lab.ledger_checker import funding_is_booked
from services.lab.simulate import run_seed
from services.lab.world import World
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from shared.streams import EXEC_EVENT

SEEDS_MAX = 30
"""Within so many seeds each mutant is caught; a third of them have perpetuals."""
REPEATED_OF = 100
"""Newest entries of which payments are repeated."""
Patch = Callable[[pytest.MonkeyPatch], None]


def paid_world() -> World:
    """Return the first world in which funding was paid for more than one position."""
    for seed in count(1):
        world = World(seed)
        assert not run_seed(seed, world).violations
        payments = [paid for each in world.funding.values() for paid in each.paid()]
        if len({paid.amount > 0 for paid in payments}) > 1:
            return world
    raise AssertionError


def test_what_the_exchange_paid_is_in_every_account() -> None:
    world = paid_world()
    (venue, funding), *_ = world.funding.items()
    paid = sum((each.amount for each in funding.paid()), Decimal(0))
    assert paid == world.exchanges[venue].ledger.funding["USDT"] != 0
    assert len({each.payment_id for each in funding.paid()}) == len(funding.paid())
    executor, risk = world.engine("executor"), world.engine("risk")
    assert isinstance(executor, ExecutorEngine)
    assert isinstance(risk, RiskEngine)
    assert executor.state.books.results["USDT"].funding == paid
    assert risk.ledger.books.results["USDT"].funding == paid
    assert funding_is_booked(world)
    again = run_seed(world.seed, World(world.seed))
    assert again.digest == world.server.digest


def book_again_what_is_told_again(patch: pytest.MonkeyPatch) -> None:
    """The executor does not know a payment that it has booked."""
    real = FundingPayments._book

    def book(self: FundingPayments, venue: str, record: Any, paid: Any, *rest: Any) -> None:
        record.seen.pop(payment_key(paid), None)
        real(self, venue, record, paid, *rest)

    patch.setattr(FundingPayments, "_book", book)


def _repeat_payments(patch: pytest.MonkeyPatch) -> None:
    """Let the bus repeat payments whenever it would repeat anything: they are few among fills."""

    def repeat(self: BusTroubles) -> None:
        world = self._world
        recent = world.server.stream(EXEC_EVENT.key()).payloads[-REPEATED_OF:]
        for payload in [each for each in recent if b'"funding_paid"' in each]:
            world.server.add(EXEC_EVENT.key(), payload)
        world.notify(EXEC_EVENT.consumers)

    patch.setattr(BusTroubles, "_repeat_entry", repeat)


def book_what_the_bus_repeats(patch: pytest.MonkeyPatch) -> None:
    """Risk books a payment as often as it is delivered."""
    _repeat_payments(patch)
    real = Ledger.apply_funding

    def apply(self: Ledger, paid: Any) -> bool:
        self.payments_seen.clear()
        return real(self, paid)

    patch.setattr(Ledger, "apply_funding", apply)


def drop_what_is_told_late(patch: pytest.MonkeyPatch) -> None:
    """A history once read is taken to be whole; a payment that it tells later is not asked for."""
    real = FundingPayments._settle

    def settle(self: FundingPayments, venue: str, *rest: Any) -> None:
        real(self, venue, *rest)
        self._state.funding[venue].awaited.clear()

    patch.setattr(FundingPayments, "_settle", settle)
    patch.setattr("services.executor.funding.LOOK_BACK_NS", 0)


def drop_what_risk_is_told(patch: pytest.MonkeyPatch) -> None:
    """Risk takes a payment for known, and books nothing."""
    patch.setattr(Ledger, "apply_funding", lambda self, paid: True)


MUTANTS = [
    book_again_what_is_told_again,
    book_what_the_bus_repeats,
    drop_what_is_told_late,
    drop_what_risk_is_told,
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    for seed in range(1, SEEDS_MAX + 1):
        caught = {violation.checker for violation in run_seed(seed).violations}
        if "ledger_is_truth" in caught:
            return
    pytest.fail(f"{SEEDS_MAX} seeds let it pass")


@pytest.mark.timeout(400)
def test_repeated_payments_alone_violate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _repeat_payments(monkeypatch)
    for seed in range(1, SEEDS_MAX + 1):
        assert not run_seed(seed).violations, seed
