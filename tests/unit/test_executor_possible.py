"""What no order, fill or balance can be is left out of what a venue said, and said aloud."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from services.executor import actions as act
from shared.accounts.gateway import FillReport, OrderReport
from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import BalanceReport, Fill, OrderStatus, PlanDone
from tests.decision_builders import make_terms
from tests.executor_model import SPOT, World, make_plan
from tests.unit.test_executor_engine import make_world

D = Decimal
ODD = [D("NaN"), D("sNaN"), D("Infinity"), D("-1"), D("1e30")]


def is_reported_impossible(world: World) -> bool:
    return any(alert.code == "IMPOSSIBLE_REPORT" for alert in world.published(Alert))


@pytest.mark.parametrize(
    "field, odd",
    [
        (field, odd)
        for field in ("filled_qty", "price", "qty", "fee")
        for odd in ODD
        if (field, str(odd)) != ("fee", "-1")  # a rebate
    ],
)
def test_an_answer_that_cannot_be_true_is_no_answer(field: str, odd: Decimal) -> None:
    world = make_world()
    world.message(make_plan(now_ns=world.now_ns))
    answer = next(r for r in world.inbox if isinstance(r, act.Submitted))
    report = answer.report
    if field == "filled_qty":
        report = replace(report, filled_qty=odd)
    else:
        report = replace(report, fills=(replace(report.fills[0], **{field: odd}),))
    world.inbox[world.inbox.index(answer)] = replace(answer, report=report)
    world.settle(5)  # the venue is asked, and tells it right
    assert is_reported_impossible(world)
    assert len(world.published(PlanDone)) == 1
    assert all(fill.qty == D("0.1") for fill in world.published(Fill))
    world.check_quiet()


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_one_such_fill_of_anybody_hides_no_other(odd: Decimal) -> None:
    world = make_world()
    foreign = FillReport(
        trade_id="x", venue_order_id="y", instrument=SPOT, side=Side.BUY, price=odd, qty=odd
    )
    order = OrderReport(
        client_order_id="z",
        terms=make_terms(venue="beta", qty=odd, price_limit=D(1)),
        status=OrderStatus.ACCEPTED,
    )
    world.inbox += [
        act.FillsAnswered("beta", (foreign,)),
        act.OpenOrdersAnswered("beta", (order,)),
    ]
    world.settle(2)
    assert is_reported_impossible(world)
    world.check_quiet()


def test_a_balance_that_is_no_number_is_unknown() -> None:
    world = make_world()
    good, odd = Balance(free=D(1), used=D(0)), Balance(free=D("NaN"), used=D(0))
    world.inbox.append(act.BalancesAnswered("beta", {"USDT": good, "BTC": odd}, {SPOT: D("NaN")}))
    world.deliver(len(world.inbox) - 1)
    report = world.published(BalanceReport)[-1]
    assert report.balances == {"USDT": good}
    assert report.positions == {}
    assert is_reported_impossible(world)
