"""Where a checker of the lab allows more than nothing, and no more than that."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.lab.operator import say
from services.lab.simulate import run_seed
from services.lab.world import World
from shared.messages.execution import OPERATOR_STRATEGY
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


@pytest.mark.parametrize("seed", [61, 894, 1059, 1475, 2807])
def test_plans_of_several_assets_without_a_record_leave_nothing_over(seed: int) -> None:
    """Some are flattened afterwards; of one the record comes too late to start, or is all lost."""
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story


def test_a_second_leg_buys_what_the_first_paid_in_its_base_asset() -> None:
    outcome = run_seed(5204)
    assert not outcome.violations, outcome.story
