"""What a venue closed by itself counts as told only as long as the bus has that it was."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec

from services.lab.kinds import kind_of
from services.lab.ledger_checker import of_others
from services.lab.publishing import publish
from services.lab.simulate import run_seed
from services.lab.world import START_NS, World
from shared.exchange.orders import IncomingOrder
from shared.messages.base import Side
from shared.messages.execution import Fill
from shared.messages.fill_key import fill_key
from tests.sim.test_perpetuals import SEEDS, VENUE

SOL = "SOL/USDT:USDT"


def fill(trade_id: str, qty: str = "1.6", reduced_by: str = "LIQUIDATION") -> Fill:
    return Fill(
        ts_ns=START_NS,
        plan_id="plan",
        client_order_id="order",
        venue=VENUE,
        instrument=SOL,
        side=Side.SELL,
        trade_id=trade_id,
        price=D(150),
        qty=D(qty),
        fee=D("0.1"),
        fee_asset="USDT",
        fee_quote=D("0.1"),
        ts_venue_ns=START_NS,
        reduced_by=reduced_by,
    )


def test_what_was_told_before_a_loss_of_the_last_moment_stays_told() -> None:
    world = World(SEEDS[0])
    publish(world, "executor", [fill("kept")])
    before = world.server.snapshot()
    publish(world, "executor", [fill("lost"), fill("ours", reduced_by="")])
    world.server.restore(before)
    world.checkers.on_bus_lost({})
    told = {key.trade_id for key in world.checkers.fills}
    assert told == {"kept", "ours"}, "an order of ours is ours whatever the bus has"


def test_it_may_be_told_anew_with_another_part_of_it_ours() -> None:
    world = World(SEEDS[0])
    before = world.server.snapshot()
    publish(world, "executor", [fill("again")])
    world.server.restore(before)
    world.checkers.on_bus_lost({})
    publish(world, "executor", [fill("again", "0.4")])
    assert world.checkers.violations == []
    assert world.checkers.fills[fill_key(fill("again"))].qty == D("0.4")


def test_it_is_told_one_way_only_as_long_as_nothing_is_lost() -> None:
    world = World(SEEDS[0])
    publish(world, "executor", [fill("twice")])
    publish(world, "executor", [fill("twice", "0.4")])
    assert [found.checker for found in world.checkers.violations] == ["one_owner"]


def test_after_a_loss_of_everything_nothing_is_told() -> None:
    world = World(SEEDS[0])
    publish(world, "executor", [fill("lost")])
    world.server.lose_everything()
    world.checkers.on_bus_lost({})
    assert world.checkers.fills == {}


def test_a_world_where_one_of_two_rounds_evens_out_late_fills_as_the_venue_closes() -> None:
    outcome = run_seed(5397)
    assert not outcome.violations, outcome.story


def test_what_is_ours_of_inverse_contracts_and_what_is_not_make_the_whole_in_coins() -> None:
    """7 at 145 are 0.04827586 coins and our 4 0.02758621; 3 alone would be 0.02068966."""
    world = World(next(seed for seed in range(1_000) if kind_of(seed) == "inverse"))
    exchange = next(
        e for e in world.exchanges.values() if any(x.inverse for x in e.by_instrument.values())
    )
    listing = next(x for x in exchange.by_instrument.values() if x.inverse)
    ticks = int(D(145) / listing.price(1))
    exchange.books[listing.instrument].replace_background(
        {Side.SELL: {ticks: 10_000}, Side.BUY: {}}
    )
    terms = listing.terms(Side.BUY, D(7), listing.price(ticks))
    order = exchange.place(
        IncomingOrder(listing=listing, terms=terms, client_id="liquidation-1"), 1
    )
    (done,) = order.fills
    told = msgspec.structs.replace(
        fill(str(done.trade_id), "4"), instrument=listing.instrument, side=Side.BUY, fee=D(0)
    )
    publish(world, "executor", [told])
    coins = sum(x.side.signed(x.listing.worth(x.qty, x.price)) for x in of_others(world, exchange))
    assert coins == listing.worth(D(7), done.price) - listing.worth(D(4), done.price)
    assert coins == D("0.02068965")
