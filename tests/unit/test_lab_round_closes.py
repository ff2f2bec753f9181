"""A plan to close a round is judged unless a fill that bears on this round is not known yet."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.executor.ids import client_order_id
from services.lab.publishing import publish
from services.lab.world import START_NS, World
from shared.exchange.orders import IncomingOrder
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, ApprovedPlan, Fill
from shared.messages.rounds import Intent
from tests.sim.test_perpetuals import SEEDS, VENUE
from tests.unit.test_lab_legs import closing, leg
from tests.unit.test_lab_reductions import fill

OPENING, OTHER, CLOSING = "aa0000000001", "aa0000000002", "aa0000000003"
BEFORE_NS = START_NS - 1_000_000_000
SOL, BTC = "SOL/USDT:USDT", "BTC/USDT:USDT"


def plan(plan_id: str, round_id: str, intent: Intent, instrument: str = SOL) -> ApprovedPlan:
    """A plan that sells."""
    legs = [leg(VENUE, instrument, Side.SELL)]
    return msgspec.structs.replace(
        closing(), plan_id=plan_id, round_id=round_id, intent=intent, legs=legs
    )


def sold(world: World, plan_id: str, instrument: str = SOL) -> Fill:
    """Let the venue execute an order of a plan; return the fill as it is to be told."""
    exchange = world.exchanges[VENUE]
    listing = exchange.by_instrument[instrument]
    exchange.books[instrument].replace_background({Side.BUY: {10_000: 10_000}, Side.SELL: {}})
    terms = listing.terms(Side.SELL, D("1.6"), listing.price(10_000))
    name = client_order_id(plan_id, 0, 0)
    order = exchange.place(IncomingOrder(listing=listing, terms=terms, client_id=name), 1_000)
    told = fill(str(order.fills[0].trade_id), reduced_by="")
    return msgspec.structs.replace(
        told, ts_ns=BEFORE_NS, plan_id=plan_id, client_order_id=name, instrument=instrument
    )


def found(world: World) -> list[str]:
    """Let a plan that is to close the round sell what it has sold already."""
    publish(world, "risk", [plan(CLOSING, "r1", Intent.CLOSE)])
    return [each.checker for each in world.checkers.violations]


def opened() -> World:
    """A world in which the round has sold, and all know it."""
    world = World(SEEDS[0])
    publish(world, "risk", [plan(OPENING, "r1", Intent.OPEN)])
    publish(world, "executor", [sold(world, OPENING)])
    world.checkers.rounds.on_end(OPENING)
    return world


def test_a_close_that_adds_is_found() -> None:
    assert found(opened()) == ["round_closes"]


def test_a_fill_of_another_round_that_nobody_has_told_does_not_bear_on_it() -> None:
    world = opened()
    publish(world, "risk", [plan(OTHER, "r2", Intent.OPEN)])
    sold(world, OTHER)
    assert found(world) == ["round_closes"]


@pytest.mark.parametrize(("instrument", "expected"), [(SOL, []), (BTC, ["round_closes"])])
def test_a_fill_whose_plan_nobody_knows_bears_on_rounds_in_its_asset(
    instrument: str, expected: list[str]
) -> None:
    world = opened()
    sold(world, OTHER, instrument)
    assert found(world) == expected


def test_a_fill_of_the_round_itself_that_nobody_has_told_bears_on_it() -> None:
    world = opened()
    sold(world, OPENING)
    assert found(world) == []


def test_a_fill_of_the_round_itself_bears_on_it_if_the_bus_has_lost_that_it_was_told() -> None:
    world = opened()
    world.checkers.fills_lost |= world.checkers.fills.keys()
    assert found(world) == []


@pytest.mark.parametrize(("instrument", "expected"), [(SOL, []), (BTC, ["round_closes"])])
def test_what_an_operator_closed_may_be_of_any_round_in_its_asset(
    instrument: str, expected: list[str]
) -> None:
    world = opened()
    of_operator = sold(world, OTHER, instrument)
    publish(world, "executor", [msgspec.structs.replace(of_operator, strategy=OPERATOR_STRATEGY)])
    assert found(world) == expected
