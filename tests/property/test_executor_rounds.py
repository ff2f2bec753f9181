"""Plans of rounds among misbehaving venues and crashes: all their fills are the round's."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.risk.exposure import Ledger
from services.risk.rounds import Round
from shared.domain.quantities import base_of
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone, PlanOutcome
from shared.messages.rounds import Intent, RoundState
from tests.executor_model import INVERSE_PLACES, LOT, PLACES, SPOT, D, World, make_plan, reserved
from tests.property.test_executor_engine import CRASHES, NEXT, close, misbehave

SINGLE = (("beta", Side.BUY, "0.1"),)
PAIR = (("gamma", Side.SELL, "0.1"), ("beta", Side.BUY, "0.1"))
CLOSING = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.09"))
"""Of a round that is short by 0.01 before."""
CONTRACTS = (("gamma", Side.SELL, "1000"), ("beta", Side.BUY, "0.1"))
CONTRACTS_CLOSING = (("gamma", Side.BUY, "1000"), ("beta", Side.SELL, "0.125"))
ENTRY = D(8_000)
"""A thousand contracts entered there are an eighth of a coin."""
RUN = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 1_000_000)


def of_round(plan: ApprovedPlan, **changes: Any) -> ApprovedPlan:
    values: dict[str, Any] = {"intent": Intent.OPEN, "round_id": "r1", "strategy": "basis"}
    return msgspec.structs.replace(plan, **{**values, **changes})


def run(
    seed: int, kind: str, *, crashes: tuple[str, ...], places: Mapping[str, str] = PLACES
) -> World:
    """One plan of a round until all is quiet."""
    random = Random(seed)

    def choose(_: str, options: tuple[Any, ...]) -> Any:
        return random.choice(options)

    def torn() -> str:
        return choose("torn", ("", "", "", *crashes))

    world = World(choose, places)
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    misbehave(world, choose)
    legs = {
        "single": SINGLE,
        "pair": PAIR,
        "closing": CLOSING,
        "contracts": CONTRACTS,
        "contracts closing": CONTRACTS_CLOSING,
    }[kind]
    plan = of_round(make_plan(legs=legs, now_ns=world.now_ns, places=places))
    if kind == "contracts closing":
        bought, sold = plan.legs
        bought = msgspec.structs.replace(bought, inverse_entry=ENTRY)
        plan = msgspec.structs.replace(plan, intent=Intent.CLOSE, legs=[bought, sold])
    if kind == "closing":
        plan = msgspec.structs.replace(plan, intent=Intent.CLOSE, opening=D("-0.01"))
    start = torn()
    world.message(plan, torn=start)
    if start:
        world.message(plan, redelivered=True)
    for _ in range(choose("steps", (0, 3, 8, 20))):
        what = choose("next", NEXT)
        if what in {"deliver", "again"} and world.inbox:
            index = choose("which", tuple(range(min(4, len(world.inbox)))))
            world.deliver(index, keep=what == "again", torn=torn())
        elif what == "crash" and crashes:
            world.crash()
        elif what == "close":
            close(world, choose)
        else:
            world.tick(torn=torn())
    world.closed.clear()
    world.settle(seconds=40)
    return world


def booked(world: World, *, repeats: int) -> Round:
    """The round as risk keeps it, whatever comes how often."""
    ledger = Ledger()
    for plan in world.approved.values():
        ledger.reserve(
            msgspec.structs.replace(
                reserved(plan), round_id="r1", strategy="basis", opening=plan.opening
            )
        )
        begun = Round(
            strategy="basis",
            round_id="r1",
            base="BTC",
            quote="USDT",
            is_directional=plan.is_directional,
            ts_opened_ns=plan.ts_ns,
        )
        ledger.rounds.begin(begun, plan.plan_id)
    for message in world.messages:
        for _ in range(repeats):
            if isinstance(message, OrderEvent):
                ledger.orders.announce(message)
            elif isinstance(message, Fill):
                ledger.apply_fill(message)
            elif isinstance(message, PlanDone):
                ledger.apply_end(message)
    assert not ledger.reservations
    (only,) = ledger.rounds.rounds.values()
    return only


@RUN
@given(seeds, st.sampled_from(["single", "pair", "closing"]), st.sampled_from([(), CRASHES]))
def test_a_round_holds_what_the_venues_filled(
    seed: int, kind: str, crashes: tuple[str, ...]
) -> None:
    world = run(seed, kind, crashes=crashes)
    world.check_owned()
    assert max(world.sent.values(), default=0) <= 1, "an id was submitted twice"
    assert not world.engine.state.open_plans()
    held = booked(world, repeats=2)
    assert held.net == world.true_exposure()
    failed = [d for d in world.published(PlanDone) if d.outcome is PlanOutcome.FAILED]
    opening = D("-0.01") if kind == "closing" else D(0)
    if not failed and kind != "single":
        plans = max(1, len(world.published(PlanDone)))
        traded = any(order.fills for orders in world.orders.values() for order in orders.values())
        assert not traded or abs(opening + held.net) < LOT * plans
    if kind == "single" and not failed:
        assert -LOT < held.net <= D("0.1")
    is_open = held.state(None) is RoundState.OPEN
    assert is_open == bool(held.net) or any(held.held.values())


@RUN
@given(seeds, st.sampled_from(["contracts", "contracts closing"]), st.sampled_from([(), CRASHES]))
def test_a_round_of_contracts_leaves_no_coin_open(
    seed: int, kind: str, crashes: tuple[str, ...]
) -> None:
    """What the fills come to in coins is even: at their prices, of a closing at the entry."""
    world = run(seed, kind, crashes=crashes, places=INVERSE_PLACES)
    world.check_owned()
    assert max(world.sent.values(), default=0) <= 1, "an id was submitted twice"
    assert not world.engine.state.open_plans()
    assert booked(world, repeats=2).books.inventory == world.engine.state.books.inventory
    if any(done.outcome is PlanOutcome.FAILED for done in world.published(PlanDone)):
        return
    net = D(0)
    for orders in world.orders.values():
        for order in orders.values():
            for fill in order.fills:
                entry = ENTRY if kind == "contracts closing" else fill.price
                net += fill.side.signed(base_of(fill.instrument, fill.qty, entry))
                in_base = fill.fee_asset == "BTC" and fill.instrument == SPOT
                net -= fill.fee or 0 if in_base else 0
    assert abs(net) < LOT * max(1, len(world.published(PlanDone)))
