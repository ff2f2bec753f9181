"""What the venue closed by itself and a plan of ours closed as well, before that was told."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.executor.reduce_only import take_over
from services.executor.state import PlanKind
from services.risk.exposure import Ledger
from services.risk.unowned import held_by_none
from shared.accounts.gateway import FillReport
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone, PlanOutcome
from shared.messages.rounds import Intent
from tests.executor_model import INVERSE, MS, PERP, VenueOrder, World, reserved
from tests.unit import test_executor_inverse as inverse
from tests.unit.test_executor_engine import make_world
from tests.unit.test_executor_funding import PAIR, holding
from tests.unit.test_executor_reduce_only import adopted_plan, flatten
from tests.unit.test_executor_reductions import alerts, close_by_itself, fill, held, reduced
from tests.unit.test_executor_rounds import of_round

CLOSE = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.1"))


def reduced_unseen(world: World, own: FillReport) -> VenueOrder:
    """The venue closes something now, and tells nobody until ``tell``."""
    order = close_by_itself(world, own)
    del world.orders["gamma"]["adl_autoclose"]
    world.now_ns += MS
    return order


def tell(world: World, order: VenueOrder, others: str = "0") -> None:
    """The venue's own order is found now; then ``others`` have traded so much there."""
    world.orders["gamma"]["adl_autoclose"] = order
    world.positions["gamma"] = {order.fills[0].instrument: world.true_position("gamma")}
    world.others["gamma"] = D(others)
    world.settle(40)


def unwind(world: World) -> None:
    """The plan in flight ends; nothing is hedged elsewhere."""
    world.books_down = {"alpha", "beta"}
    world.show_prices()
    world.settle(5)
    world.books_down = set()
    (done,) = world.published(PlanDone)
    assert (done.outcome, reduced(world)) == (PlanOutcome.UNWOUND, [])


def of_nobody(world: World) -> D:
    """What risk holds in the reduced instrument, and none of its rounds does."""
    ledger = Ledger()
    for plan in world.approved.values():
        ledger.reserve(reserved(plan))
    for message in world.messages:
        if isinstance(message, OrderEvent):
            ledger.orders.announce(message)
        elif isinstance(message, Fill):
            assert not ledger.ownership_flaw(message)
            ledger.apply_fill(message)
        elif isinstance(message, PlanDone):
            ledger.apply_end(message)
            ledger.rounds.claim(message)
    return held_by_none(ledger, reduced(world)[0])


def check_traded_back(world: World, qty: str, *, others: str = "0", left: str = "0") -> None:
    (told,) = reduced(world)
    assert (told.of_no_round, told.of_rounds) == (D(qty), {})
    last = world.published(PlanDone)[-1]
    assert last.outcome is PlanOutcome.HEDGED
    assert last.began_with == {f"gamma|{told.instrument}": D(qty)}
    held_now = world.engine.state.books.quantities[f"gamma|{told.instrument}"]
    assert (held_now, world.true_position("gamma")) == (D(left), D(left) + D(others))
    assert f"{qty} of it we have closed as well, which is traded back" in alerts(world)[0].text
    assert not world.engine.state.locked
    assert of_nobody(world) == 0


@pytest.mark.parametrize("others", ["0", "-0.06", "-0.02", "0.03"])
@pytest.mark.parametrize("part", ["0.06", "0.1"])
def test_an_unwinding_that_closes_after_the_venue_had(part: str, others: str) -> None:
    """Somebody else may have traded it back meanwhile: that is theirs, and left to them."""
    world = make_world(beta="reject")
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.now_ns += MS
    order = reduced_unseen(world, fill(world, "own1", part))
    unwind(world)
    assert held(world) == 0
    tell(world, order, others)
    check_traded_back(world, part, others=others)


def test_an_unwinding_of_contracts_is_traded_back_in_contracts() -> None:
    world = inverse.ready(beta="reject")
    world.message(inverse.of_round(inverse.OPENING, Intent.OPEN))
    world.now_ns += MS
    own = msgspec.structs.replace(fill(world, "own1", "400"), instrument=INVERSE, fee_asset="BTC")
    order = reduced_unseen(world, msgspec.structs.replace(own, fee=D(0)))
    unwind(world)
    tell(world, order)
    check_traded_back(world, "400")


@pytest.mark.parametrize("others", ["0", "-0.03"])
def test_the_close_of_a_round_that_another_round_offsets(others: str) -> None:
    """It is not reduce-only there: the account as a whole holds less than it closes."""
    world = holding()
    world.message(_of_other_round(world, "0.05"))
    world.settle(3)
    assert held(world) == D("-0.05")
    order = reduced_unseen(world, fill(world, "own1", "0.03"))
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(5)
    assert held(world) == D("0.05")
    tell(world, order, others)
    check_traded_back(world, "0.03", others=others, left="0.05")


def test_of_what_it_closed_a_round_that_is_still_open_has_its_part() -> None:
    """Two rounds held 0.1 each; the venue closed 0.15 of it, and then one's close 0.1."""
    world = holding()
    state = world.engine.state
    world.message(_of_other_round(world, "-0.1"))
    world.settle(3)
    world.now_ns += MS
    own = fill(world, "own1", "0.15")
    world.now_ns += MS
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(5)
    assert held(world) == D("-0.1")
    taken = take_over(state, "gamma", own)
    assert (taken.of_no_round, taken.closed_twice, taken.of_rounds) == (D("0.05"), D("0.05"), {})


def test_a_flatten_that_closed_it_as_well() -> None:
    """What is ours of it, by ``of_others``: that orders only reduced shows that others held it."""
    world = holding()
    own = fill(world, "own1", "0.06")
    world.now_ns += MS
    flatten(world)
    world.settle(5)
    assert held(world) == 0
    taken = take_over(world.engine.state, "gamma", own)
    assert (taken.of_no_round, taken.closed_twice) == (D("0.06"), D("0.06"))


def test_what_a_plan_in_flight_of_one_leg_holds_was_not_closed_twice() -> None:
    """Its round is reduced by it, whatever the other round's close has closed as well."""
    world = holding()
    state = world.engine.state
    own = fill(world, "own1", "0.15")
    world.message(of_round(world, CLOSE, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(5)
    alone = adopted_plan(world)  # short 0.05
    alone.kind, alone.is_directional = PlanKind.ARBITRAGE, True
    alone.strategy, alone.round_id = "other", "r2"
    state.add_plan(alone)
    state.books.quantities[f"gamma|{PERP}"] -= D("0.05")
    taken = take_over(state, "gamma", own)
    assert (taken.of_no_round, taken.of_rounds) == (D("0.1"), {"other|r2": 0})
    assert alone.opening == D("-0.05")


def test_what_another_round_opened_since_is_no_close_of_it() -> None:
    """The round that held it is reduced, whatever the account as a whole holds now."""
    world = holding()
    order = reduced_unseen(world, fill(world, "own1", "0.06"))
    world.message(_of_other_round(world, "0.1"))
    world.settle(5)
    assert held(world) == 0
    tell(world, order)
    (told,) = reduced(world)
    assert (told.of_no_round, told.of_rounds) == (0, {})
    assert held(world) == world.true_position("gamma") == D("0.06")
    assert of_nobody(world) == 0


def _of_other_round(world: World, qty: str) -> ApprovedPlan:
    side = Side.BUY if D(qty) > 0 else Side.SELL
    legs = (("beta", side.opposite, qty.strip("-")), ("gamma", side, qty.strip("-")))
    other = of_round(world, legs, Intent.OPEN, plan_id="plan00000003")
    return msgspec.structs.replace(other, strategy="other", round_id="r2")
