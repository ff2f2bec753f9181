"""Where a checker of the lab allows more than nothing, and no more than that."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.lab.booked_plainly import got_for_others
from services.lab.operator import say
from services.lab.simulate import run_seed
from services.lab.world import START_NS, World
from shared.messages.base import Certainty
from shared.messages.execution import OPERATOR_STRATEGY, ApprovedPlan, PlanDone, PlanOutcome
from tests.sim.test_perpetuals import SEEDS, VENUE
from tests.unit.test_lab_reductions import fill


def test_fees_in_the_base_asset_of_what_an_operator_closed_count_and_no_others() -> None:
    world = World(SEEDS[0])
    spot = msgspec.structs.replace(
        fill("closed", reduced_by=""), instrument="SOL/USDT", fee_asset="SOL"
    )
    of_operator = msgspec.structs.replace(spot, strategy=OPERATOR_STRATEGY)
    in_quote = msgspec.structs.replace(of_operator, trade_id="quote", fee_asset="USDT")
    of_strategy = msgspec.structs.replace(spot, trade_id="other", strategy="momentum")
    say(world, "executor", [of_operator, in_quote, of_strategy])
    assert world.checkers.rounds.fees_of_operator("SOL/USDT") == D("0.1")
    assert world.checkers.rounds.fees_of_operator(f"{VENUE}|SOL/USDT:USDT") == 0


def test_a_scanner_that_goes_on_while_the_bus_is_away_reads_only_when_it_is_back() -> None:
    """In this world it prices one view of before, when the bus is back."""
    outcome = run_seed(180)
    assert not outcome.violations, outcome.story


def adopted(asset: str, quote: str, ts_ns: int, **other: Any) -> PlanDone:
    given = PlanDone(
        ts_ns=ts_ns,
        plan_id="plan",
        outcome=PlanOutcome.HEDGED,
        base=asset,
        quote=quote,
        realized=D(0),
        fees=D(0),
        certainty=Certainty.KNOWN,
        is_approved=False,
    )
    return msgspec.structs.replace(given, **other)


def path_in_money() -> World:
    """Of a plan without a record 1.6 SOL were sold for 240 USD, which were sold for USDT."""
    world = World(SEEDS[0])
    first = msgspec.structs.replace(fill("first", reduced_by=""), instrument="SOL/USD")
    second = msgspec.structs.replace(first, trade_id="second", instrument="USD/USDT", price=D(1))
    for each in (first, second):
        world.checkers.fills[each.venue, each.trade_id] = each
    world.checkers.done["plan"] = adopted("SOL", "USDT", START_NS + 5)
    return world


def flatten(world: World, asset: str, ts_ns: int) -> None:
    closing = fill("closing", reduced_by="")
    closing = msgspec.structs.replace(closing, plan_id="flatten", ts_ns=ts_ns)
    world.checkers.fills[closing.venue, "closing"] = closing
    world.checkers.done["flatten"] = adopted(
        asset, "USDT", ts_ns + 1, plan_id="flatten", strategy=OPERATOR_STRATEGY
    )


@pytest.mark.parametrize(
    ("asset", "later_ns", "counted"), [("USD", 6, 0), ("USD", 4, 240), ("SOL", 6, 240)]
)
def test_what_a_plan_got_of_money_counts_until_that_asset_is_flattened(
    asset: str, later_ns: int, counted: int
) -> None:
    world = path_in_money()
    assert got_for_others(world.checkers, "USD") == 240
    flatten(world, asset, START_NS + later_ns)
    assert got_for_others(world.checkers, "USD") == counted


def test_nothing_counts_of_a_plan_that_ended_as_the_approved_one() -> None:
    world = path_in_money()
    approved = msgspec.structs.replace(world.checkers.done["plan"], is_approved=True)
    world.checkers.plans["plan"] = ApprovedPlan(
        ts_ns=START_NS,
        plan_id="plan",
        opportunity_id="opportunity",
        base="SOL",
        quote="USDT",
        legs=[],
        net_expected=D(1),
        loss_cap=D(1),
        ts_recv_ns=START_NS,
        ts_depth_ns=START_NS,
        ts_opportunity_ns=START_NS,
        ts_expire_ns=START_NS,
    )
    assert got_for_others(world.checkers, "USD") == 240, "its orders were found before it came"
    world.checkers.done["plan"] = approved
    assert got_for_others(world.checkers, "USD") == 0


@pytest.mark.parametrize("seed", [894, 1059, 1475])
def test_plans_of_several_assets_without_a_record_leave_nothing_over(seed: int) -> None:
    """The first two are flattened afterwards; the record of the third comes too late to start."""
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story
