"""Proposals to rebalance: they never give what is not there, and end where they say they do."""

from __future__ import annotations

from decimal import Decimal
from itertools import chain, combinations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.depth import walk_exact
from shared.domain.fees import fee_amount
from shared.domain.inventory import Held, Target
from shared.domain.rebalance import Inventory, plan_rebalance
from shared.domain.rebalance_plan import Plan, RowState
from shared.domain.rebalance_steps import Market, Trade, Transfer, TransferWay
from shared.messages.base import Side

D = Decimal
VENUES, PRICE = ("a", "b", "c", "d"), {"BTC": D(100), "USDT": D(1)}
GOOD = {RowState.IN_BAND, RowState.BROUGHT_BACK}
seeds = st.integers(0, 2**32)


def price_of(asset: str, qty: Decimal) -> Decimal | None:
    return PRICE.get(asset)


def amount(draw: Random, most: int = 100) -> Decimal:
    return D(draw.randrange(most * 100)) / 100


def targets_of(draw: Random, asset: str, held: dict[tuple[str, str], Held]) -> list[Target]:
    venues = draw.sample(VENUES, draw.randint(2, 4))
    if draw.random() < 0.7:
        share, band = D(1) / len(venues), D(draw.randrange(30)) / 100
        return [Target(venue, asset, share, band, True) for venue in venues]
    mean = sum(held.get((v, asset), Held(D(0))).total for v in venues) / len(venues)
    band = mean / draw.randint(2, 8)
    near = [mean + (amount(draw, 20) - 10) / 10 for _ in venues]
    return [Target(v, asset, max(D(0), n), band, False) for v, n in zip(venues, near, strict=True)]


def market(draw: Random, venue: str) -> Market:
    middle = 100 + D(draw.randrange(-20, 20)) / 10
    bids, asks = (
        [
            (middle + side * (n + 1) * D("0.1"), amount(draw) + D("0.01"))
            for n in range(draw.randint(1, 3))
        ]
        for side in (-1, 1)
    )
    lot, fee = draw.choice([D("0.01"), D("0.3"), D(1)]), D(draw.randrange(40))
    most = draw.choice([None, None, D(30)])
    return Market(venue, "BTC/USDT", bids, asks, lot, fee, lot, most, D(5))


def inventory_of(seed: int) -> Inventory:
    draw = Random(seed)
    held = {
        (venue, asset): Held(amount(draw) * scale, draw.choice([D(0), D(0), D(3)]))
        for venue in VENUES
        for asset, scale in (("BTC", 1), ("USDT", 100))
        if draw.random() < 0.9
    }
    ways = []
    for _ in range(draw.randint(0, 12)):
        giver, taker = draw.sample(VENUES, 2)
        asset, fee = draw.choice(["BTC", "USDT"]), amount(draw) / 20
        told = draw.choice([fee, fee, fee, None])
        way = TransferWay(asset, giver, taker, draw.choice("nm"), told, told, amount(draw) / 10)
        ways.append(way)
    books = [market(draw, venue) for venue in draw.sample(VENUES, draw.randint(0, 4))]
    unknown = {"d": "silent"} if draw.random() < 0.15 else {}
    targets = targets_of(draw, "BTC", held) + targets_of(draw, "USDT", held)
    return Inventory(targets, held, unknown, ways, books, price_of)


def carried_out(inventory: Inventory, plan: Plan) -> dict[tuple[str, str], Held]:
    """Holdings after a plan, counted by hand; every outflow is from what is free before it."""
    free = {place: held.free for place, held in inventory.held.items()}
    come: dict[tuple[str, str], Decimal] = {}

    def move(venue: str, asset: str, out: Decimal, into: Decimal) -> None:
        free[venue, asset] = free.get((venue, asset), D(0)) - out
        come[venue, asset] = come.get((venue, asset), D(0)) + into

    for step in plan.steps:
        if isinstance(step, Transfer):
            move(step.way.giver, step.way.asset, step.qty, D(0))
            move(step.way.taker, step.way.asset, D(0), step.qty - (step.way.fee or D(0)))
            continue
        for order, other in ((step.sell, step.buy), (step.buy, step.sell)):
            sells = order.side is Side.SELL
            notional, fee = order.notional, order.fee
            move(order.venue, "BTC", order.qty if sells else D(0), D(0) if sells else order.qty)
            out, into = (D(0), notional - fee) if sells else (notional + fee, D(0))
            move(order.venue, "USDT", out, into)
            assert order.qty == other.qty
    assert min(free.values(), default=D(0)) >= 0, "more is given than is free"
    used = {place: held.used for place, held in inventory.held.items()}
    return {
        place: Held(free[place] + come.get(place, D(0)), used.get(place, D(0)))
        for place in {**free, **come}
    }


@settings(max_examples=150)
@given(seeds)
def test_a_proposal_ends_where_it_says(seed: int) -> None:
    inventory = inventory_of(seed)
    plan = plan_rebalance(inventory)
    assert plan == plan_rebalance(inventory)
    after = carried_out(inventory, plan)
    for row in plan.rows:
        if row.after is not None:
            assert row.after == after.get(row.target.venue_asset, Held(D(0))).total
        assert bool(row.reason) is (row.state not in GOOD)
    assert all(step.why for step in plan.steps)
    costs = [step.cost for step in plan.steps]
    assert plan.cost_known == sum((cost for cost in costs if cost is not None), D(0))
    assert (plan.cost is None) is (None in costs)
    if plan.cost is not None:
        assert plan.cost == plan.cost_known
    if all(not isinstance(s, Transfer) or s.arrives is not None for s in plan.steps):
        again = plan_rebalance(inventory._replace(held=after))
        for row, later in zip(plan.rows, again.rows, strict=True):
            if row.state in GOOD:
                assert later.band.holds(later.held.total), (row, later)
        if plan.is_whole:
            assert again.steps == ()


@settings(max_examples=100)
@given(seeds)
def test_costs_are_those_of_the_books_and_fees(seed: int) -> None:
    inventory = inventory_of(seed)
    books = {market.venue: market for market in inventory.markets}
    for step in plan_rebalance(inventory).steps:
        if isinstance(step, Transfer):
            fee = step.way.fee
            assert (step.cost is None) is (step.arrives is None) is (fee is None)
            if fee is not None:
                assert step.cost == fee * PRICE[step.way.asset]
                assert step.arrives == step.qty - fee > 0
            assert step.qty >= step.way.least
            continue
        paid = D(0)
        for order in (step.sell, step.buy):
            book = books[order.venue]
            levels = book.bids if order.side is Side.SELL else book.asks
            walked = walk_exact(levels, order.qty, order.side)
            notional = walked.price_avg * order.qty
            paid += fee_amount(notional, book.fee_bps) - order.side.signed(notional) * -1
            assert order.qty % book.lot_size == 0
            assert order.qty >= book.qty_min
            assert book.qty_max is None or order.qty <= book.qty_max
            assert order.qty * walked.price_worst >= book.notional_min
        assert step.cost_own == paid
        assert 0 <= step.cost - paid < D("1e-8")


def subsets(names: list[str]):
    return chain.from_iterable(combinations(names, n) for n in range(1, len(names) + 1))


@settings(max_examples=200)
@given(seeds)
def test_what_free_transfers_can_even_out_they_do(seed: int) -> None:
    """Whole where every group of venues can be given what it lacks, and rid of what is too much.

    What a step made larger passes on may bring back more than that.
    """
    draw = Random(seed)
    held = {(venue, "BTC"): Held(amount(draw)) for venue in VENUES}
    targets = targets_of(draw, "BTC", held)
    pairs = {tuple(draw.sample(VENUES, 2)) for _ in range(draw.randint(1, 10))}
    ways = [TransferWay("BTC", u, v, "", D(0), D(0)) for u, v in sorted(pairs)]
    plan = plan_rebalance(Inventory(targets, held, {}, ways, [], price_of))
    here = {row.target.venue: (row.band, row.held.total) for row in plan.rows}
    lack = {v: max(D(0), band.low - qty) for v, (band, qty) in here.items()}
    rest = {v: max(D(0), qty - band.high) for v, (band, qty) in here.items()}
    spare = {v: max(D(0), qty - band.low) for v, (band, qty) in here.items()}
    room = {v: max(D(0), band.high - qty) for v, (band, qty) in here.items()}
    slack = D("1e-6")  # quantities are rounded to eight decimals
    can = all(
        (lacking := sum(lack[v] for v in group)) + slack * bool(lacking)
        <= sum(spare[u] for u in here if any((u, v) in pairs for v in group))
        and (resting := sum(rest[u] for u in group)) + slack * bool(resting)
        <= sum(room[v] for v in here if any((u, v) in pairs for u in group))
        for group in subsets(sorted(here))
    )
    assert plan.is_whole or not can, plan


def test_trades_are_seen_in_these_tests() -> None:
    """The drawn inventories are of no use if they never lead to a trade."""
    book = [(D(100), D(50))]
    both = [
        Market(v, "BTC/USDT", book, [(D("100.1"), D(50))], D("0.01"), D(10)) for v in ("a", "b")
    ]
    targets = [Target(v, "BTC", D("0.5"), D("0.1"), True) for v in ("a", "b")]
    held = {("a", "BTC"): Held(D(9)), ("b", "BTC"): Held(D(1)), ("b", "USDT"): Held(D(1000))}
    (step,) = plan_rebalance(Inventory(targets, held, {}, [], both, price_of)).steps
    assert isinstance(step, Trade)
    assert step.sell.qty == 4
    assert step.cost == D("0.4") + D("0.4") + D("0.4004")
