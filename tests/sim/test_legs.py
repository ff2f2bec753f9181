"""Plans of two, three and four legs in whole worlds: risk, executor and venues, faults and crashes.

A strategy of this test buys a base asset at some venues and sells the same quantity at others.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import combinations

import pytest

from services.lab import kinds as lab
from services.lab.kinds import Kind
from services.lab.listings import listing
from services.lab.simulate import Outcome, run_seed
from services.lab.world import World
from services.scanner import engine as scanner
from services.scanner.engine import StrategyHost
from shared.domain.fees import cash_flow, edge_bps, fee_amount
from shared.domain.instrument import split_instrument
from shared.domain.rounding import exact
from shared.engine import EngineSpec
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.port import Instance, Params, Strategy

D = Decimal
PART = {"BTC": D("0.006"), "SOL": D("2.4")}
"""Divides by two and by three on every venue's lot."""
PAUSE_NS = 300_000_000
DELTA = (listing("delta", "BTC", 2, 4, "6"), listing("delta", "SOL", 2, 2, "6"))


class LegsParams(Params):
    """How many legs."""

    legs: int = 3


class ManyLegs(Strategy[LegsParams]):
    """Of all ways to buy at some venues and sell at others, the one that pays best."""

    def set_up(self) -> None:
        self.views: dict[tuple[str, str], DepthView] = {}
        self.rules: dict[tuple[str, str], InstrumentRules] = {}
        self.found_ns: dict[str, int] = {}

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> list[Opportunity]:
        self.rules[rules.venue, rules.instrument] = rules
        return []

    def on_depth(self, view: DepthView, now_ns: int) -> list[Opportunity]:
        self.views[view.venue, view.instrument] = view
        base = split_instrument(view.instrument).base
        if base not in PART or now_ns - self.found_ns.get(base, 0) < PAUSE_NS:
            return []
        books = [
            key
            for key, other in self.views.items()
            if key[1] == view.instrument
            and key in self.rules
            and other.state is BookState.LIVE
            and other.bids
            and other.asks
        ]
        offers = [
            self.offer(buys, [book for book in chosen if book not in buys], now_ns)
            for chosen in combinations(books, self.params.legs)
            for count in range(1, self.params.legs)
            for buys in combinations(chosen, count)
        ]
        best = max(offers, key=lambda offer: offer.net, default=None)
        if best is None or best.net <= 0:
            return []
        self.found_ns[base] = now_ns
        return [best]

    def offer(
        self, buys: tuple[tuple[str, str], ...], sells: list[tuple[str, str]], now_ns: int
    ) -> Opportunity:
        base = split_instrument(buys[0][1]).base
        whole = PART[base] * len(buys) * len(sells)
        legs = [self.leg(book, Side.BUY, whole / len(buys)) for book in buys]
        legs += [self.leg(book, Side.SELL, whole / len(sells)) for book in sells]
        notional = sum((leg.qty * leg.price_avg for leg in legs[: len(buys)]), D(0))
        fees = sum((leg.fee for leg in legs), D(0))
        net = sum((leg.cash_flow or D(0) for leg in legs), D(0))
        return Opportunity(
            ts_ns=now_ns,
            opportunity_id=f"{now_ns}-{base}",
            detector=self.id,
            base=base,
            quote="USDT",
            legs=legs,
            qty=whole,
            notional=notional,
            gross=net + fees,
            fees=fees,
            net=net,
            edge_bps=edge_bps(net, notional),
            ts_recv_ns=now_ns,
            ts_depth_ns=now_ns,
            ts_expire_ns=now_ns + 1_000_000_000,
            strategy_id=self.id,
        )

    def leg(self, book: tuple[str, str], side: Side, qty: Decimal) -> OpportunityLeg:
        view, rules = self.views[book], self.rules[book]
        price = exact((view.asks if side is Side.BUY else view.bids)[0][0])
        fee = fee_amount(qty * price, rules.taker_fee_bps)
        return OpportunityLeg(
            venue=book[0],
            instrument=book[1],
            side=side,
            qty=qty,
            price_limit=price,
            price_avg=price,
            fee_bps=rules.taker_fee_bps,
            fee=fee,
            levels_used=1,
            book_id=view.book_id,
            book_ts_recv_ns=view.ts_recv_ns,
            cash_flow=cash_flow(side, qty * price, fee),
        )


def run(patch: pytest.MonkeyPatch, seed: int, legs: int) -> tuple[Outcome, World]:
    """One world whose scanner hosts nothing but this test's strategy; four venues where needed."""

    def new(config: object, given: object) -> StrategyHost:
        strategy = ManyLegs("many", LegsParams(legs=legs))
        return StrategyHost([Instance("many", "test", strategy=strategy)])

    patch.setattr(scanner, "ENGINE", EngineSpec(new=new))
    patch.setattr(lab, "CHANCES", {Kind.PAIRS: 1.0})
    patch.setattr(lab, "QUOTES_SHARE", 0.0)
    if legs > 3:
        patch.setattr(lab, "LISTINGS", (*lab.LISTINGS, DELTA))
    world = World(seed)
    return run_seed(seed, world), world


@pytest.mark.parametrize("legs", [2, 3, 4])
def test_worlds_of_many_legs_violate_nothing(monkeypatch: pytest.MonkeyPatch, legs: int) -> None:
    crashes = fills = 0
    outcomes: Counter[str] = Counter()
    for seed in range(1, 25):
        with monkeypatch.context() as patch:
            outcome, world = run(patch, seed, legs)
        assert not outcome.violations, outcome.violations
        assert all(len(plan.legs) == legs for plan in world.checkers.plans.values())
        outcomes.update(done.outcome for done in world.checkers.done.values())
        crashes += outcome.crashes
        fills += outcome.fills

    assert crashes > 10
    assert fills > 20 * legs
    # Four prices rarely all hold until the orders arrive: few such plans fill evenly at once.
    assert outcomes["FILLED"] + (outcomes["HEDGED"] if legs > 3 else 0) > 5
    assert outcomes["HEDGED"] + outcomes["UNWOUND"] > 5, "something had to be evened out"
