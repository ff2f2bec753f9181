"""The executor on paper as a process: what it reads of the bus fills its orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from shared.messages.base import Side
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderStatus,
    PlanOutcome,
)
from shared.messages.market import Trade
from shared.messages.terms import LegPolicy, Resting, TimeInForce
from tests.integration.executor_stack import PLACES, Stack, executor_stack
from tests.support import eventually_sync

D = Decimal


class PaperStack(Stack):
    """Nothing is sent anywhere; books are those of the simulated venues."""

    mode = "paper"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with executor_stack(tmp_path, kind=PaperStack) as made:
        made.start_ready()
        yield made


def resting_plan(stack: Stack) -> ApprovedPlan:
    """Buy at Binance a hundredth below the market, where only a trade told of leads; hedge."""
    plan = stack.make_plan("binance", "kraken", ttl_s=30)
    maker, taker = plan.legs
    price = (maker.price_expected * D("0.99")).quantize(D("0.01"))
    maker = msgspec.structs.replace(
        maker, price_limit=price, price_expected=price, time_in_force=TimeInForce.PO
    )
    return msgspec.structs.replace(
        plan,
        legs=[maker, taker],
        policy=LegPolicy.MAKER_TAKER,
        resting=Resting(rest_ms=20_000),
    )


def test_public_trades_fill_an_order_that_rests_and_its_fill_is_hedged(stack: Stack) -> None:
    plan = resting_plan(stack)
    stack.publish(plan)
    eventually_sync(
        lambda: stack.published(OrderEvent, plan_id=plan.plan_id, status=OrderStatus.ACCEPTED),
        what="an order that rests",
    )
    price, qty = plan.legs[0].price_limit, plan.legs[0].qty
    for number, at in enumerate((price + 1, price - 1)):
        trade = Trade(
            venue="binance",
            instrument=PLACES["binance"],
            trade_id=str(number),
            side=Side.SELL,
            price=float(at),
            qty=float(qty * 2),
            ts_recv_ns=time.time_ns(),
        )
        assert not stack.published(Fill), "nothing has traded at its price"
        stack.publish(trade)
    end = stack.end_of(plan)
    fills = {(fill.venue, fill.side): fill for fill in stack.published(Fill)}
    # It is sold where that pays best, which the market decides meanwhile.
    sold_at = {PlanOutcome.FILLED: "kraken", PlanOutcome.UNWOUND: "binance"}[end.outcome]
    assert set(fills) == {("binance", Side.BUY), (sold_at, Side.SELL)}
    assert not end.residual
    bought = fills["binance", Side.BUY]
    assert (bought.price, bought.qty) == (price, qty)
    assert stack.control("/accounts")["binance"]["orders"] == []
