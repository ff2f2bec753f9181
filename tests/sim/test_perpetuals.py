"""Worlds with a venue of perpetuals: positions that nobody decided, and what must hold of them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

from services.executor import actions as act
from services.lab.account import AccountPort, VenueConditions
from services.lab.kernel import Kernel
from services.lab.kinds import Kind, kind_of
from services.lab.listings import PERPETUALS
from services.lab.positions import at_cost, has_derivatives, key_of, position_of
from services.lab.simulate import run_seed
from services.lab.switches import Switches
from services.lab.variety import perpetual_of
from services.lab.world import START_NS, World
from services.scanner.engine import StrategyHost
from shared.engine import Result
from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose

VENUE, BTC = "delta", "BTC/USDT:USDT"
SEEDS = [
    seed for seed in range(1, 40) if kind_of(seed) is Kind.PAIRS and perpetual_of(seed, PERPETUALS)
]


def venue_of_perpetuals() -> Exchange:
    """Return one with a book of ten units on each side."""
    start = {"USDT": Decimal(1_000_000)}
    exchange = Exchange(VENUE, PERPETUALS, fee_asset="", start=start, seed=1, leverage=Decimal(3))
    exchange.books[BTC].replace_background(
        {Side.BUY: {599_990: 10_000}, Side.SELL: {600_010: 10_000}}
    )
    return exchange


def trade(exchange: Exchange, side: Side, qty: str, name: str = "") -> None:
    listing = exchange.by_instrument[BTC]
    price = listing.price(600_010 if side is Side.BUY else 599_990)
    terms = listing.terms(side, Decimal(qty), price)
    exchange.place(IncomingOrder(listing=listing, terms=terms, client_id=name), 1_000)


def test_positions_come_about_and_are_closed_and_nothing_is_violated() -> None:
    purposes: Counter[OrderPurpose] = Counter()
    foreign = stopped = 0
    for seed in SEEDS[:12]:
        world = World(seed)
        outcome = run_seed(seed, world)
        assert outcome.violations == []
        fills = world.exchanges[VENUE].fills
        orders = world.checkers.orders
        ours = {fill.client_id for fill in fills if fill.client_id in orders}
        purposes.update(orders[name].purpose for name in ours)
        foreign += sum(not key_of(fill) for fill in fills)
        scanner = world.engine("scanner")
        assert isinstance(scanner, StrategyHost)
        stopped += scanner.counters().get("near_misses_OPENS_POSITION", 0)
    assert foreign > 10
    assert purposes[OrderPurpose.LEG] > 3
    assert purposes[OrderPurpose.UNWIND] + purposes[OrderPurpose.FLATTEN] > 3
    assert stopped > 100


def test_worlds_without_perpetuals_have_none() -> None:
    assert 5 < len(SEEDS) < 30
    without = next(seed for seed in range(1, 40) if seed not in SEEDS)
    assert not any(has_derivatives(exchange) for exchange in World(without).exchanges.values())


def test_what_a_position_cost_tells_of_each_fill_what_it_paid() -> None:
    """Whoever else trades in the account: the profit of a fill depends on the others, this not."""
    draw = Random(5)
    exchange = venue_of_perpetuals()
    for number in range(60):
        side = draw.choice((Side.BUY, Side.SELL))
        name = draw.choice(("", f"ab00000000000{number % 10}000"))
        trade(exchange, side, f"0.0{draw.randrange(1, 100):02}", name)
    paid = sum(
        (-fill.side.signed(fill.qty * fill.price) - fill.fee for fill in exchange.fills), Decimal(0)
    )
    assert at_cost(exchange, "USDT") == 1_000_000 + paid
    held = exchange.ledger.positions[BTC].qty
    foreign = [fill for fill in exchange.fills if not key_of(fill)]
    ours = [fill for fill in exchange.fills if key_of(fill)]
    assert held == position_of(foreign, BTC) + position_of(ours, BTC)


def test_a_venue_may_tell_positions_of_a_while_ago() -> None:
    kernel, exchange = Kernel(START_NS), venue_of_perpetuals()
    told: list[Result] = []
    account = AccountPort(
        kernel,
        {VENUE: exchange},
        Random(1),
        lambda text: None,
        lambda *args: None,
        paid=lambda asked: (),
        follow=lambda action, deliver: None,
        switches=Switches(1, kernel, {VENUE: exchange}, print),
    )

    def ask() -> dict[str, Decimal]:
        account.carry_out(act.FetchBalances(VENUE, (BTC,)), told.append)
        kernel.run_until(kernel.now_ns() + 5_000_000_000)
        answer = told[-1]
        assert isinstance(answer, act.BalancesAnswered)
        return dict(answer.positions)

    trade(exchange, Side.BUY, "0.5")
    account.conditions[VENUE] = VenueConditions(old_positions=True)
    assert ask() == {BTC: Decimal("0.5")}
    trade(exchange, Side.SELL, "0.2")
    assert ask() == {BTC: Decimal("0.5")}
    account.conditions[VENUE] = VenueConditions()
    assert ask() == {BTC: Decimal("0.3")}
