"""What an order's quantity would have traded at when it was put on record, told and kept."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from services.cli.ledger.plan import whole
from services.cli.ledger.tables import show_plan
from services.executor.market import VIEW_AGE_NS_MAX, Markets
from shared.messages.base import BookState, Certainty, Side
from shared.messages.execution import OrderEvent, OrderPurpose, OrderStatus
from shared.sql_ledger.database import open_to_read
from tests.decision_builders import T0, make_terms, make_view
from tests.executor_model import INVERSE, SPOT, make_plan
from tests.ledger_builders import told_plan, write_ledger
from tests.unit.test_executor_engine import make_world
from tests.unit.test_executor_resting import quote

D = Decimal
ASKS = [(10_000.0, 0.05), (10_010.0, 0.05), (10_020.0, 1.0)]
BIDS = [(9_990.0, 0.05), (9_980.0, 0.15)]


@pytest.mark.parametrize(
    "side, qty, price",
    [
        (Side.BUY, "0.05", D(10_000)),
        (Side.BUY, "0.2", D("10012.5")),  # 0.05 at 10,000, 0.05 at 10,010, 0.1 at 10,020
        (Side.SELL, "0.2", D("9982.5")),
        (Side.SELL, "0.201", None),
    ],
)
def test_it_is_the_average_of_the_levels_that_all_of_it_takes(side, qty, price) -> None:
    markets = Markets(("alpha",))
    markets.learn_view(make_view(asks=ASKS, bids=BIDS))
    assert markets.price_of(make_terms(side=side, qty=D(qty)), T0) == price


def test_it_is_not_known_without_a_live_book_of_now() -> None:
    markets, terms = Markets(("alpha",)), make_terms(qty=D("0.1"))
    assert markets.price_of(terms, T0) is None
    markets.learn_view(make_view())
    assert markets.price_of(terms, T0 + VIEW_AGE_NS_MAX) == D(10_001)
    assert markets.price_of(terms, T0 + VIEW_AGE_NS_MAX + 1) is None
    for changes in ({"state": BookState.STALE}, {"asks": []}, {"asks": [(1e15, 1.0)]}):
        markets.learn_view(make_view(**changes))
        assert markets.price_of(terms, T0) is None


def test_of_inverse_contracts_it_is_the_harmonic_mean() -> None:
    markets = Markets(("alpha",))
    markets.learn_view(make_view(instrument=INVERSE, asks=[(10_000.0, 100.0), (20_000.0, 100.0)]))
    terms = make_terms(instrument=INVERSE, qty=D(200))
    assert markets.price_of(terms, T0) == D("13333.3333334"), "200 contracts are 0.015 coins"


def test_legs_are_told_with_it_and_hedges_without() -> None:
    world = make_world(beta="none")
    plan = make_plan(now_ns=world.now_ns)
    moved = [(10_003.0, 0.06), (10_004.0, 1.0)]
    world.see(make_view("alpha", SPOT, asks=moved, ts_ns=world.now_ns))
    world.message(plan)
    world.settle(30)
    events = world.published(OrderEvent)
    legs = {(e.venue, e.price_arrival) for e in events if e.purpose is OrderPurpose.LEG}
    assert legs == {("alpha", D("10003.4")), ("beta", D(9_999))}, "with each of their events"
    others = [each for each in events if each.purpose is not OrderPurpose.LEG]
    assert others
    assert not any(each.price_arrival for each in others)


def test_an_order_that_rests_has_none() -> None:
    world = make_world()
    world.message(quote(world))
    (first,) = world.published(OrderEvent)[:1]
    assert (first.purpose, first.price_arrival) == (OrderPurpose.LEG, 0)


def test_a_plan_of_the_ledger_shows_its_drift(tmp_path, capsys) -> None:
    """The purchase at 10,001 was expected at 10,000 and seen at 10,000.4."""

    def priced(message):
        if not isinstance(message, OrderEvent):
            return message
        seen = D("10000.4") if message.side is Side.BUY else D(10_050)
        is_first = message.status is OrderStatus.SUBMITTED
        return msgspec.structs.replace(message, price_arrival=seen if is_first else D(0))

    path = tmp_path / "ledger.sqlite"
    write_ledger(path, [*told_plan(0), *(priced(each) for each in told_plan(1))])
    ledger = open_to_read(path)
    before, told = (whole(ledger, f"p00000{number}") for number in range(2))
    ledger.close()
    steps = told["waterfall"]["steps"]
    assert steps["latency_drift"] == {"amount": D("-0.04"), "certainty": Certainty.ESTIMATED}
    assert steps["slippage"] == {"amount": D("-0.06"), "certainty": Certainty.ESTIMATED}
    assert told["waterfall"]["realized"] == before["waterfall"]["realized"]
    assert before["waterfall"]["steps"]["slippage"]["amount"] == D("-0.1")
    show_plan(told)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "+ latency drift -0.0400~" in lines
    show_plan(before)
    assert "+ latency drift unknown" in " ".join(capsys.readouterr().out.split())
