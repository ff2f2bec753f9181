"""Deliberately broken rounds: each is caught in a few worlds in which strategies hold some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from services.executor.closing_plans import ClosingPlans
from services.lab import account, chaos
from services.lab.account import VenueConditions
from services.lab.kinds import exchanges_of_kind, kind_of
from services.lab.positions import has_derivatives
from services.lab.simulate import run_seed
from services.risk import round_limits
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from services.risk.rounds import Round, Rounds
from shared.messages.base import Side
from shared.strategies import round_plans

SEEDS_MAX = 100
LATE_FILLS = 0.5
Patch = Callable[[pytest.MonkeyPatch], None]


def _tell_fills_late(patch: pytest.MonkeyPatch) -> None:
    """Let venues tell fills late until trouble ends: rounds are few in a world."""
    patch.setattr(account, "VenueConditions", partial(VenueConditions, late_fills=LATE_FILLS))
    patch.setattr(chaos, "BAD_WEATHERS", ({"late_fills": LATE_FILLS, "partial": 0.3},))


def close_adds(patch: pytest.MonkeyPatch) -> None:
    """What is to close a round trades the way that opened it, and risk does not mind."""
    original = round_plans._open_legs

    def open_legs(held: Any) -> Any:
        other = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
        return [(place, other[side], qty) for place, side, qty in original(held)]

    patch.setattr(round_plans, "_open_legs", open_legs)
    patch.setattr(round_limits.only_reduces, "__code__", _yes.__code__)


def _yes(context: Any) -> None:
    return None


def forget_rounds_at_restart(patch: pytest.MonkeyPatch) -> None:
    """Risk takes its ledger up again without the rounds in it."""
    original = RiskEngine.start

    def start(self: RiskEngine, saved: Mapping[str, bytes], now_ns: int) -> Any:
        step = original(self, saved, now_ns)
        self.state.ledger.rounds = Rounds()
        return step

    patch.setattr(RiskEngine, "start", start)


def book_to_the_first_round(patch: pytest.MonkeyPatch) -> None:
    """Every fill of a round is booked to the round that was begun first."""
    original = Rounds.of_plan

    def of_plan(self: Rounds, plan_id: str) -> Round | None:
        found = original(self, plan_id)
        return found and next(iter(self.rounds.values()))

    patch.setattr(Rounds, "of_plan", of_plan)


def forget_a_late_fill_of_a_round(patch: pytest.MonkeyPatch) -> None:
    """A fill that comes after its plan has ended is booked to no round."""
    original = Rounds.book

    def book(self: Rounds, fill: Any, *, is_new: bool, in_flight: bool) -> None:
        if in_flight or self.of_plan(fill.plan_id) is None:  # what trades it back is booked
            original(self, fill, is_new=is_new, in_flight=in_flight)

    patch.setattr(Rounds, "book", book)


def hedge_for_nobody(patch: pytest.MonkeyPatch) -> None:
    """The plan that trades a late fill back does not say whose round it belongs to."""
    original = ClosingPlans.open_for_late_fill

    def open_for_late_fill(self: ClosingPlans, order: Any, fill: Any, now_ns: int) -> str:
        plan_id = original(self, order, fill, now_ns)
        self._state.plans[plan_id].round_id = ""
        return plan_id

    patch.setattr(ClosingPlans, "open_for_late_fill", open_for_late_fill)


def know_of_no_plan_of_a_round(patch: pytest.MonkeyPatch) -> None:
    """Risk takes a round that a plan is working on for one that nothing happens to."""
    patch.setattr(Ledger, "rounds_in_flight", property(lambda self: {}))


MUTANTS: dict[Patch, set[str]] = {
    know_of_no_plan_of_a_round: {"round_plans"},
    close_adds: {"round_closes"},
    forget_rounds_at_restart: {"rounds", "round_closes", "flat"},
    book_to_the_first_round: {"rounds"},
    forget_a_late_fill_of_a_round: {"rounds", "flat"},
    hedge_for_nobody: {"flat"},
}


LATE = (forget_a_late_fill_of_a_round, hedge_for_nobody)
"""What only shows where a fill is told after its plan has ended."""


def _worlds() -> Iterator[int]:
    """Yield the seeds in which something is held."""
    for seed in range(1, SEEDS_MAX + 1):
        if any(map(has_derivatives, exchanges_of_kind(seed, kind_of(seed)).values())):
            yield seed


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant in LATE:
        _tell_fills_late(monkeypatch)
    mutant(monkeypatch)
    for seed in _worlds():
        caught = {violation.checker for violation in run_seed(seed).violations}
        if caught & MUTANTS[mutant]:
            return
    pytest.fail(f"{SEEDS_MAX} seeds let it pass")


@pytest.mark.timeout(400)
def test_late_fills_alone_violate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _tell_fills_late(monkeypatch)
    for seed in list(_worlds())[:12]:
        assert not run_seed(seed).violations, seed
