"""Deliberately broken systems that only worlds made for a strategy show, each caught in a few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from typing import Any

import pytest

from services.executor import plans, resting
from services.executor.actions import Cancel
from services.executor.even_orders import NoOrder
from services.executor.order_record import OrderRecord
from services.executor.reductions import Reductions
from services.executor.resting import RestingLegs
from services.executor.working_orders import WorkingOrders, key_of
from services.lab import positions
from services.lab.kinds import HELD, Kind, kind_of
from services.lab.positions import fill_key_of
from services.lab.simulate import run_seed
from services.lab.world import World
from services.risk import exposure, resting_limits
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from services.risk.remembered import digest
from services.risk.stops import RoundStops
from shared.domain import accounting
from shared.domain.order import OrderNews
from shared.messages.execution import OrderStatus
from shared.messages.fill_key import fill_key

WORLDS_MAX = 30
"""So many worlds of its kind a mutant may pass."""
Patch = Callable[[pytest.MonkeyPatch], None]


def never_reach_a_stop(patch: pytest.MonkeyPatch) -> None:
    """Risk keeps stops and compares them with nothing."""
    patch.setattr(RoundStops, "_judge", lambda *args: None)


def forget_stops_at_restart(patch: pytest.MonkeyPatch) -> None:
    """Risk takes its ledger up again without the stops in it."""
    original = RiskEngine.start

    def start(self: RiskEngine, saved: Mapping[str, bytes], now_ns: int) -> Any:
        step = original(self, saved, now_ns)
        for each in self.state.ledger.rounds.rounds.values():
            each.stop_bps *= 0
        return step

    patch.setattr(RiskEngine, "start", start)


def close_a_round_while_it_closes(patch: pytest.MonkeyPatch) -> None:
    """Risk does not see that a round has a plan in flight."""
    patch.setattr(Ledger, "rounds_in_flight", property(lambda self: {}))


def leave_what_is_on_the_way(patch: pytest.MonkeyPatch) -> None:
    """The executor takes a plan of several assets for even, whatever its fills left."""
    original = plans.next_order

    def next_order(plan: Any, *args: Any, **named: Any) -> Any:
        return NoOrder.EVEN if plan.values else original(plan, *args, **named)

    patch.setattr(plans, "next_order", next_order)


def book_an_exchange_as_money(patch: pytest.MonkeyPatch) -> None:
    """What one asset was exchanged for is booked as profit in the other, and not as held."""
    patch.setattr(accounting, "plain_trades", lambda done: (done,))


def leave_contracts_unhedged(patch: pytest.MonkeyPatch) -> None:
    """The executor sees no coins in contracts, and trades what hedges them back."""
    patch.setattr(OrderRecord, "_coins_counted", property(lambda self: 0))


def hold_contracts_as_coins(patch: pytest.MonkeyPatch) -> None:
    """Risk takes them for coins when it says what a round leaves unhedged."""
    patch.setattr(accounting.Books, "opened_base", accounting.Books.opened)


def forget_what_filled_before_a_cancel(patch: pytest.MonkeyPatch) -> None:
    """Whatever a canceled order that rested has filled, its plan takes itself for even."""
    original = plans.next_order

    def next_order(plan: Any, orders: Any, *args: Any, **named: Any) -> Any:
        resting = (order.life.status for order in orders if order.terms.rests)
        is_canceled = OrderStatus.CANCELED in resting
        return NoOrder.EVEN if is_canceled else original(plan, orders, *args, **named)

    patch.setattr(plans, "next_order", next_order)
    patch.setattr(RestingLegs, "_ends", _is_over)


def _is_over(self: RestingLegs, plan: Any, *args: Any) -> bool:
    self._plans.pop(plan.plan_id, None)
    plan.resting, plan.wait_until_ns = None, 0
    return False


def quote_anew_before_the_cancel_is_settled(patch: pytest.MonkeyPatch) -> None:
    """An order counts as canceled once its cancel was asked for."""
    original = WorkingOrders.cancel

    def cancel(self: WorkingOrders, order: Any, now_ns: int, out: Any) -> None:
        original(self, order, now_ns, out)
        if order.is_working:
            out.actions.append(Cancel(key_of(order)))
            self._apply_news(order, OrderNews.CANCELED, "", now_ns, out)

    patch.setattr(WorkingOrders, "cancel", cancel)


MUTANTS: dict[Patch, tuple[Kind, str]] = {
    never_reach_a_stop: (Kind.TREND, "stop_sent"),
    forget_stops_at_restart: (Kind.TREND, "stop_kept"),
    close_a_round_while_it_closes: (Kind.TREND, "round_plans"),
    leave_what_is_on_the_way: (Kind.TRIANGLE, "flat"),
    book_an_exchange_as_money: (Kind.CONVERSION, "flat"),
    leave_contracts_unhedged: (Kind.INVERSE, "rounds"),
    hold_contracts_as_coins: (Kind.INVERSE, "flat"),
    forget_what_filled_before_a_cancel: (Kind.QUOTES, "flat"),
    quote_anew_before_the_cancel_is_settled: (Kind.QUOTES, "no_plan"),
}


def worlds_of(*kinds: Kind) -> Iterator[int]:
    """Seeds of worlds of these kinds."""
    return (seed for seed in count(1) if kind_of(seed) in kinds)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    kind, checker = MUTANTS[mutant]
    for seed in islice(worlds_of(kind), WORLDS_MAX):
        if checker in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


def say_nothing_of_a_liquidation(patch: pytest.MonkeyPatch) -> None:
    """The executor does not book what a venue closed of a position by itself."""
    patch.setattr(Reductions, "book", lambda *args: None)


@pytest.fixture
def liquidating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let venues close more positions by themselves."""
    monkeypatch.setattr(positions, "FORCED_CHANCE", 0.6)


@pytest.mark.usefixtures("liquidating")
@pytest.mark.timeout(400)
def test_a_liquidation_that_is_not_told_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    say_nothing_of_a_liquidation(monkeypatch)
    for seed in islice(worlds_of(*HELD), WORLDS_MAX):
        if "reduced" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.usefixtures("liquidating")
@pytest.mark.timeout(400)
def test_liquidations_are_told_and_nothing_is_violated() -> None:
    told = 0
    for seed in islice(worlds_of(*HELD), 12):
        world = World(seed)
        outcome = run_seed(seed, world)
        assert not outcome.violations, outcome.story
        told += sum(bool(fill.reduced_by) for fill in world.checkers.fills.values())
    assert told > 0


def take_the_other_side_for_a_repeat(patch: pytest.MonkeyPatch) -> None:
    """Risk remembers fills by their trade, whichever side of it they are."""
    patch.setattr(exposure, "fill_name", lambda fill, seen: digest(*fill_key(fill).trade))


@pytest.fixture
def meeting_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let orders of ours trade with each other: nobody prevents it."""
    for module in (resting, resting_limits):
        monkeypatch.setattr(module, "would_meet", lambda one, other, same_books: False)


@pytest.mark.usefixtures("meeting_ourselves")
@pytest.mark.timeout(400)
def test_orders_of_ours_that_trade_with_each_other_are_caught() -> None:
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        if "self_trade" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.usefixtures("meeting_ourselves")
@pytest.mark.timeout(400)
def test_the_other_side_of_a_trade_of_ours_taken_for_a_repeat_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_the_other_side_for_a_repeat(monkeypatch)
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        if "ledger_is_truth" in {violation.checker for violation in run_seed(seed).violations}:
            return
    pytest.fail(f"{WORLDS_MAX} worlds let it pass")


@pytest.mark.usefixtures("meeting_ourselves")
@pytest.mark.timeout(400)
def test_both_sides_of_a_trade_of_ours_are_booked() -> None:
    for seed in islice(worlds_of(Kind.QUOTES), WORLDS_MAX):
        world = World(seed)
        outcome = run_seed(seed, world)
        others = [each for each in outcome.violations if each.checker != "self_trade"]
        assert not others, outcome.story
        fills = [fill for each in world.exchanges.values() for fill in each.fills]
        trades = Counter(fill_key_of(fill).trade for fill in fills)
        if 2 in trades.values():
            return
    pytest.fail(f"in {WORLDS_MAX} worlds no order of ours has met another one")
