"""Spot against an inverse perpetual: scanner, risk and back, in contracts and coins."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from services.risk.engine import RiskEngine
from services.scanner.engine import StrategyHost
from shared.config_sections import Config, StrategyConfig
from shared.domain.contracts import Contract
from shared.domain.instrument import InstrumentKind
from shared.domain.quantities import base_of
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, FundingPaid
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from shared.strategies.round_plans import hedged_sizes
from shared.strategy_files import load_strategies
from tests.decision_builders import (
    MS,
    SECOND,
    SPOT,
    T0,
    make_info,
    make_ready,
    make_rules,
    make_view,
)
from tests.unit.test_risk_inverse import INVERSE, config, execute, risk

PARAMS: dict[str, Any] = {
    "spot_venue": "alpha",
    "perp_venue": "delta",
    "perp_instrument": INVERSE,
    "open_bps": 60.0,
    "close_bps": 10.0,
    "notional_quote_max": 2_000.0,
    "perp_fee_bps": 10.0,
    "held_hours_max": 1.0,
    "cooldown_ms": 1_000,
}


class World:
    """A scanner and risk; every plan fills as expected."""

    def __init__(self, **params: Any) -> None:
        made = config()
        entry = StrategyConfig(id="basis", class_="spot_perp_basis", params={**PARAMS, **params})
        self.config = Config(venues=made.venues, risk=made.risk, strategies=[entry])
        self.risk: RiskEngine = risk()
        self.host = StrategyHost(load_strategies(self.config))
        self.now_ns, self.seq, self.offered = T0, 1, list[Opportunity]()
        self.spot = 10_000.0
        self.host.start({}, T0)
        self.host.on_message(make_info("alpha", SPOT), T0)
        self.host.on_message(make_info("delta", INVERSE, **LOTS), T0)
        self.tell()

    def tell(self) -> list[StrategyPosition]:
        told = self.risk.on_timer(self.now_ns).messages
        for message in told:
            self.host.on_message(message, self.now_ns)
        return [each for each in told if isinstance(each, StrategyPosition)]

    def show(self, spot: float, perp: float) -> list[ApprovedPlan]:
        """New views; what is offered for them is judged and done."""
        self.now_ns += 10 * MS
        self.seq += 1
        self.risk.on_message(make_ready(self.now_ns), self.now_ns)
        done = []
        both = (("alpha", SPOT, spot, 1.0), ("delta", INVERSE, perp, 9e3))
        order = -1 if spot > self.spot else 1  # the basis never seems narrower than it is
        self.spot = spot
        for venue, name, price, size in both[::order]:
            view = make_view(
                venue,
                name,
                bids=[(price - 1, size)],
                asks=[(price + 1, size)],
                seq=self.seq,
                ts_ns=self.now_ns,
            )
            self.risk.on_message(view, self.now_ns)
            for found in self.host.on_message(view, self.now_ns).messages:
                if isinstance(found, Opportunity):
                    self.offered.append(found)
                    out = self.risk.on_message(found, self.now_ns).messages
                    done += [each for each in out if isinstance(each, ApprovedPlan)]
        for plan in done:
            execute(self.risk, plan)
        self.tell()
        return done


LOTS: dict[str, Any] = {"lot_size": D(1), "qty_min": D(1), "notional_min": D(0)}


def test_a_round_opens_and_closes_in_contracts_and_coins() -> None:
    world = World()
    assert world.show(10_000.0, 10_010.0) == []
    (plan,) = world.show(10_000.0, 10_081.0)
    spot, perp = plan.legs
    assert (spot.side, perp.side, perp.instrument) == (Side.BUY, Side.SELL, INVERSE)
    # As many coins as 2,000 of notional buy, and the contracts nearest to them at the bid.
    assert (spot.qty, perp.qty) == (D("0.198"), D(1996))
    (held,) = world.tell()
    assert (held.state, held.unhedged) == (
        RoundState.OPEN,
        D("0.198") - base_of(INVERSE, D(1996), D(10_080)),
    )
    assert world.show(9_000.0, 9_070.0) == []  # still wide, though far below its entry
    (plan,) = world.show(9_000.0, 9_000.0)
    assert plan.intent is Intent.CLOSE
    assert {(leg.instrument, leg.side, leg.qty) for leg in plan.legs} == {
        (INVERSE, Side.BUY, D(1996)),
        (SPOT, Side.SELL, D("0.198")),
    }
    assert {leg.inverse_entry for leg in plan.legs} == {D(0), held.legs[1].entry}
    (over,) = world.tell()
    assert over.state is RoundState.CLOSED
    coins = base_of(INVERSE, D(1996), D(9_001)) - base_of(INVERSE, D(1996), D(10_080))
    assert over.realized["BTC"] == coins - over.legs[1].fees["BTC"]


def test_the_smallest_rest_of_a_contract_does_not_close_a_round() -> None:
    world = World()
    world.show(10_000.0, 10_081.0)
    for price in (10_500.0, 12_000.0, 20_000.0):
        assert world.show(price, price * 1.008) == []


def test_time_ends_a_round_of_contracts() -> None:
    world = World(held_hours_max=0.001)
    world.show(10_000.0, 10_081.0)
    world.now_ns += 4 * SECOND
    (plan,) = world.show(10_000.0, 10_090.0)
    assert plan.intent is Intent.CLOSE


@pytest.mark.parametrize("coins", ["0.01", "0.15", "0.31"])
def test_what_is_bought_hedges_what_is_sold(coins: str) -> None:
    bids = [(D(10_000), D(1_000)), (D(9_990), D(2_000)), (D(9_900), D(9_000))]
    spot, perp = (
        make_rules("alpha", SPOT, lot_size=D("0.00001")),
        make_rules("delta", INVERSE, **LOTS),
    )
    sized = hedged_sizes(D(coins), spot, perp, bids)
    assert sized is not None
    bought, sold = sized
    assert sold == sold.to_integral_value() and bought <= D(coins)
    walked = Contract(InstrumentKind.INVERSE).walk(bids, sold, Side.SELL)
    assert walked is not None
    assert abs(base_of(INVERSE, sold, walked.price_avg) - bought) <= D("0.5") / 9_900


def test_funding_of_contracts_is_booked_to_the_round_in_coins() -> None:

    world = World()
    world.show(10_000.0, 10_081.0)
    paid = FundingPaid(
        ts_ns=world.now_ns,
        venue="delta",
        instrument=INVERSE,
        payment_id="one",
        amount=D("0.00012"),
        asset="BTC",
        ts_funding_ns=world.now_ns,
    )
    world.risk.on_message(paid, world.now_ns)
    (held,) = world.tell()
    assert held.funding == {"BTC": D("0.00012")}
    assert held.unhedged == D("0.198") - base_of(INVERSE, D(1996), D(10_080))
