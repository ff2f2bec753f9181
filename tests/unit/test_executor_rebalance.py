"""Dust is not left lying where two orders can sweep it up."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from services.executor.even_orders import ATTEMPTS_MAX, NoOrder, OrderIntent
from services.executor.market import Markets
from services.executor.rebalance import decide
from services.executor.state import PlanKind, PlanRecord
from shared.messages.base import Side
from shared.messages.execution import PlanLeg
from tests.decision_builders import T0, make_rules, make_view

D = Decimal
FINE, COARSE = "beta", "alpha"
BIDS, ASKS = [(9_999.0, 5.0)], [(10_001.0, 5.0)]


def markets(*, coarse_price: float = 10_001.0) -> Markets:
    known = Markets((FINE, COARSE))
    known.learn_rules(make_rules(FINE, lot_size=D("0.00000001"), qty_min=D("0.0001")))
    known.learn_rules(make_rules(COARSE, lot_size=D("0.001"), qty_min=D("0.001")))
    known.learn_view(make_view(FINE, bids=BIDS, asks=ASKS, ts_ns=T0))
    known.learn_view(make_view(COARSE, bids=BIDS, asks=[(coarse_price, 5.0)], ts_ns=T0))
    return known


def plan(opening: str, *, loss_cap: str = "20", attempts: int = 0) -> PlanRecord:
    legs = [
        PlanLeg(
            venue=venue,
            instrument="BTC/USDT",
            side=side,
            qty=D(1),
            price_limit=D(10_000),
            price_expected=D(10_000),
            fee_bps=D(10),
        )
        for venue, side in ((FINE, Side.BUY), (COARSE, Side.SELL))
    ]
    return PlanRecord(
        plan_id="p",
        kind=PlanKind.ARBITRAGE,
        base="BTC",
        quote="USDT",
        legs=legs,
        loss_cap=D(loss_cap),
        reference=D(10_000),
        ts_started_ns=T0,
        opening=D(opening),
        attempts=attempts,
    )


@pytest.mark.parametrize("dust", ["0.00000007", "-0.00002", "0.00047559"])
def test_dust_is_outgrown_and_then_traded_back_to_nothing(dust: str) -> None:
    net, known = D(dust), markets()
    for attempt in range(2):
        trade = decide(plan(str(net), attempts=attempt), [], known, T0)
        assert isinstance(trade, OrderIntent)
        assert trade.terms.qty >= D("0.0001"), "an order the venue accepts"
        net += trade.terms.signed_qty
    assert net == 0


def test_the_better_price_does_not_count_where_it_would_leave_dust() -> None:
    trade = decide(plan("-0.00102"), [], markets(coarse_price=9_999.5), T0)
    assert isinstance(trade, OrderIntent)
    assert (trade.terms.venue, trade.terms.qty) == (FINE, D("0.00102"))
    trade = decide(plan("-0.002"), [], markets(coarse_price=9_999.5), T0)
    assert isinstance(trade, OrderIntent)
    assert trade.terms.venue == COARSE, "no dust, so the price decides"


@pytest.mark.parametrize(
    "record",
    [
        plan("0.000000001"),
        plan("0.00002", loss_cap="0.0001"),
        plan("0.00002", attempts=ATTEMPTS_MAX - 1),
    ],
    ids=["off every grid", "dearer than the cap allows", "too few attempts left"],
)
def test_dust_that_cannot_be_swept_up_is_dust(record: PlanRecord) -> None:
    assert decide(record, [], markets(), T0) is NoOrder.DUST


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [("BTC/USDT", NoOrder.DUST), ("BTC/USDT:USDT", NoOrder.NO_PRICE)],
)
@pytest.mark.parametrize("is_active", [True, False])
def test_what_no_book_takes_is_dust_within_the_loss_cap_but_not_as_a_position(
    instrument: str, expected: NoOrder, is_active: bool
) -> None:
    """5 USDT, which a venue would accept: a position in a derivative fails the plan instead."""
    record = plan("0.0005")
    record.legs = [msgspec.structs.replace(leg, instrument=instrument) for leg in record.legs]
    known = Markets((FINE,))
    least = D("0.0001")
    known.learn_rules(
        make_rules(
            FINE, instrument, lot_size=least, qty_min=least, notional_min=D(1), active=is_active
        )
    )
    assert decide(record, [], known, T0, is_late=False) is NoOrder.NO_PRICE
    assert decide(record, [], known, T0, is_late=True) is expected
