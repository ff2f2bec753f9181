"""Orders that rest on paper: who trades before them, what fills them, and what they cost."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from functools import partial
from typing import Any

import pytest

from services.executor.paper import PaperGateway
from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest, StreamNews, StreamState
from shared.clock import ManualClock
from shared.errors import Cause, Rejected, Unavailable
from shared.messages.base import BookState, Side
from shared.messages.execution import OrderStatus
from shared.messages.terms import TimeInForce
from tests.decision_builders import SPOT, make_rules, make_terms, make_view

BIDS = [(9_999.0, 0.3), (9_998.0, 1.0)]
ASKS = [(10_001.0, 0.5), (10_002.0, 1.0)]
KEY = OrderKey(venue="alpha", instrument=SPOT, client_order_id="o1")


def make_paper(balance: int = 1_000_000, **more: Any) -> PaperGateway:
    rules = {("alpha", SPOT): make_rules("alpha", SPOT, taker_fee_bps=D(10), maker_fee_bps=D(2))}
    paper = PaperGateway(
        "alpha",
        rules,
        ManualClock(),
        quote_balance=D(balance),
        lets_rest=True,
        **{"wait": partial(asyncio.sleep, 0), **more},
    )
    show(paper)
    return paper


def show(
    paper: PaperGateway,
    bids: list[tuple[float, float]] | None = None,
    asks: list[tuple[float, float]] | None = None,
    **more: Any,
) -> None:
    show.seq += 1
    seq = show.seq
    paper.on_view(make_view("alpha", bids=bids or BIDS, asks=asks or ASKS, seq=seq, **more))


show.seq = 0


def rest(paper: PaperGateway, **changes: Any) -> OrderReport:
    values = {"qty": D("0.2"), "price_limit": D(9_999), "time_in_force": TimeInForce.PO, **changes}
    return paper.fill(OrderRequest(client_order_id="o1", terms=make_terms(**values)))


def now(paper: PaperGateway) -> OrderReport:
    report = asyncio.run(paper.query(KEY))
    assert report is not None
    return report


def test_what_was_shown_at_its_price_trades_first() -> None:
    paper = make_paper()
    assert rest(paper).status is OrderStatus.ACCEPTED
    show(paper, asks=[(9_999.0, 0.25), *ASKS])
    assert now(paper).filled_qty == 0  # 0.3 stand before it
    show(paper, bids=[(9_998.0, 1.0)], asks=[(9_999.0, 0.05), *ASKS])
    report = now(paper)  # what stood there has traded, and this is what was left to sell
    assert (report.status, report.filled_qty) == (OrderStatus.PARTIALLY_FILLED, D("0.05"))
    show(paper, bids=[(9_998.0, 1.0)], asks=[(9_999.0, 0.05), *ASKS])
    assert now(paper).filled_qty == D("0.05")  # the same level: nobody has sold since
    show(paper, bids=[(9_998.0, 1.0)], asks=[(9_999.0, 0.4), *ASKS])
    report = now(paper)
    assert (report.status, report.filled_qty) == (OrderStatus.FILLED, D("0.2"))
    assert {fill.price for fill in report.fills} == {D(9_999)}


def test_a_price_through_its_own_means_that_all_before_it_has_traded() -> None:
    paper = make_paper()
    rest(paper)
    show(paper, bids=[(9_997.0, 1.0)], asks=[(9_998.0, 0.05), (9_999.0, 0.01)])
    report = now(paper)
    assert report.filled_qty == D("0.06")
    assert report.fills[0].price == D(9_999), "at its own price, never at a better one"


def test_whoever_cancels_is_taken_to_be_behind_it() -> None:
    paper = make_paper()
    rest(paper)
    show(paper, bids=[(9_999.0, 0.31), (9_998.0, 1.0)])
    show(paper, bids=[(9_999.0, 0.3), (9_998.0, 1.0)])
    show(paper, asks=[(9_999.0, 0.3), *ASKS], bids=[(9_998.0, 1.0)])
    assert now(paper).filled_qty == D("0.2"), "nobody is shown at its price any more"


def test_no_more_is_before_it_than_its_level_shows() -> None:
    paper = make_paper()
    rest(paper)
    show(paper, bids=[(9_999.0, 0.05), (9_998.0, 1.0)])
    show(paper, bids=[(9_999.0, 4.0), (9_998.0, 1.0)], asks=[(9_999.0, 0.15), *ASKS])
    assert now(paper).filled_qty == D("0.1"), "who came later stands behind it"


def test_a_view_that_does_not_reach_so_far_tells_nothing_of_who_is_before_it() -> None:
    paper = make_paper()
    rest(paper, price_limit=D(9_998))
    show(paper, bids=[(9_999.5, 1.0), (9_999.0, 1.0)])
    show(paper, bids=[(9_998.0, 1.0)], asks=[(9_998.0, 0.5), *ASKS])
    assert now(paper).filled_qty == 0


async def test_what_fills_while_a_cancel_is_on_its_way_is_filled() -> None:
    arrived = asyncio.Event()
    paper = make_paper(wait=arrived.wait)
    rest(paper)
    cancel = asyncio.create_task(paper.cancel(KEY))
    await asyncio.sleep(0)
    show(paper, bids=[(9_990.0, 1.0)], asks=[(9_998.0, 0.1), (10_000.0, 1.0)])
    arrived.set()
    await cancel
    report = await paper.query(KEY)
    assert report is not None
    assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, D("0.1"))


def test_a_sale_is_filled_by_bids() -> None:
    paper = make_paper()
    rest(paper, side=Side.SELL, price_limit=D(10_001))
    show(paper, bids=[(10_002.0, 1.0)], asks=[(10_003.0, 1.0)])
    assert now(paper).status is OrderStatus.FILLED


@pytest.mark.parametrize("state", [BookState.STALE, BookState.GAP, BookState.DOWN])
def test_a_book_that_is_not_live_fills_nothing_and_lets_nothing_rest(state: BookState) -> None:
    paper = make_paper()
    rest(paper)
    show(paper, bids=[(9_990.0, 1.0)], asks=[(9_991.0, 9.0)], state=state)
    assert now(paper).filled_qty == 0
    with pytest.raises(Rejected) as caught:
        rest(paper)
    assert caught.value.cause is Cause.WOULD_TAKE


def test_what_would_trade_at_once_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        rest(make_paper(), price_limit=D(10_001))
    assert caught.value.cause is Cause.WOULD_TAKE


def test_an_account_that_is_no_makers_lets_nothing_rest() -> None:
    paper = PaperGateway(
        "alpha", {}, ManualClock(), wait=partial(asyncio.sleep, 0), quote_balance=D(1)
    )
    with pytest.raises(Unavailable, match="cannot be filled on paper"):
        rest(paper)


async def test_money_is_locked_while_it_rests_and_the_makers_fee_is_charged() -> None:
    paper = make_paper()
    before = (await paper.balances())["USDT"].free
    rest(paper)
    locked = D("0.2") * 9_999 * D("1.001")
    usdt = (await paper.balances())["USDT"]
    assert (usdt.free, usdt.used) == (before - locked, locked)
    show(paper, bids=[(9_990.0, 1.0)], asks=[(9_998.0, 0.1), (10_000.0, 1.0)])
    spent = D("0.1") * 9_999 * D("1.0002")
    usdt = (await paper.balances())["USDT"]
    assert (usdt.free, usdt.used) == (before - spent - locked / 2, locked / 2)
    await paper.cancel(KEY)
    usdt = (await paper.balances())["USDT"]
    assert (usdt.free, usdt.used) == (before - spent, 0)
    (report,) = [await paper.query(KEY)]
    assert report is not None
    assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, D("0.1"))
    assert await paper.open_orders([SPOT]) == []
    await paper.cancel(KEY)  # one that no longer rests is no error


def test_what_rests_cannot_be_spent_again() -> None:
    paper = make_paper(balance=3_000)
    rest(paper)
    with pytest.raises(Rejected) as caught:
        rest(paper, qty=D("0.11"))
    assert caught.value.cause is Cause.FUNDS


async def test_what_happens_to_it_is_pushed() -> None:
    paper = make_paper()
    told: list[StreamNews] = []
    await paper.follow([SPOT], told.append)
    assert told == [StreamState(is_followed=True)]
    rest(paper)
    assert [one.client_order_id for one in await paper.open_orders([SPOT])] == ["o1"]
    show(paper, bids=[(9_990.0, 1.0)], asks=[(9_991.0, 0.1), (10_000.0, 1.0)])
    await paper.cancel(KEY)
    statuses = [news.status for news in told if isinstance(news, OrderReport)]
    assert statuses == [OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELED]
