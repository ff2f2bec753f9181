"""Orders that rest on paper: who trades before them, what fills them, and what they cost."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from functools import partial
from typing import Any

import pytest

from services.executor.accounts import read_on_paper
from services.executor.paper import PaperGateway
from services.executor.paper_conditions import Conditions
from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest, StreamNews, StreamState
from shared.clock import ManualClock
from shared.config_sections import (
    BusConfig,
    Config,
    ExecutorConfig,
    PaperConfig,
)
from shared.errors import Cause, Rejected, Unavailable
from shared.messages.base import BookState, Side
from shared.messages.execution import OrderStatus
from shared.messages.market import Trade
from shared.messages.terms import TimeInForce
from shared.streams import MD_TRADE
from tests.decision_builders import SECOND, SPOT, make_rules, make_terms, make_view

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


def trade(paper: PaperGateway, price: float, qty: float, **changes: Any) -> None:
    """Let others trade, a second after the order was placed if nothing else is said."""
    values: dict[str, Any] = {"side": Side.SELL, "venue": "alpha", "instrument": SPOT, **changes}
    ts_recv_ns = values.pop("ts_recv_ns", paper._clock.now_ns() + SECOND)
    paper.on_message(Trade(trade_id="t", price=price, qty=qty, ts_recv_ns=ts_recv_ns, **values))


def test_trades_at_its_price_take_what_is_before_it_first() -> None:
    paper = make_paper()
    rest(paper)
    trade(paper, 9_999.0, 0.25)
    assert now(paper).filled_qty == 0  # of the 0.3 before it 0.05 are left
    trade(paper, 9_999.0, 0.15)
    report = now(paper)
    assert (report.status, report.filled_qty) == (OrderStatus.PARTIALLY_FILLED, D("0.1"))
    trade(paper, 9_999.0, 5.0)
    assert now(paper).status is OrderStatus.FILLED
    assert {fill.price for fill in now(paper).fills} == {D(9_999)}


def test_a_trade_through_its_price_fills_it_at_its_own() -> None:
    paper = make_paper()
    rest(paper)
    trade(paper, 9_998.0, 0.15)
    assert [(fill.price, fill.qty) for fill in now(paper).fills] == [(D(9_999), D("0.15"))]


@pytest.mark.parametrize(
    "change",
    [
        {"price": 9_999.5},  # above what it would pay
        {"side": Side.BUY},  # somebody bought from others
        {"venue": "beta"},
        {"instrument": "ETH/USDT"},
        {"ts_recv_ns": 0},  # before it was placed
    ],
    ids=str,
)
def test_trades_that_it_had_no_part_in_fill_nothing(change: dict[str, Any]) -> None:
    paper = make_paper()
    rest(paper)
    trade(paper, **{"price": 9_998.0, "qty": 9.0, **change})
    assert now(paper).filled_qty == 0


def test_while_the_book_is_not_live_trades_fill_nothing() -> None:
    paper = make_paper()
    rest(paper)
    show(paper, state=BookState.STALE)
    trade(paper, 9_998.0, 9.0)
    assert now(paper).filled_qty == 0


def test_no_part_of_a_trade_fills_two_orders() -> None:
    paper = make_paper()
    for name in ("o1", "o2"):
        terms = make_terms(qty=D("0.2"), price_limit=D(9_999), time_in_force=TimeInForce.PO)
        paper.fill(OrderRequest(client_order_id=name, terms=terms))
    trade(paper, 9_998.0, 0.3)
    reports = [paper.order(name) for name in ("o1", "o2")]
    assert [report.filled_qty for report in reports if report] == [D("0.2"), D("0.1")]


@pytest.mark.parametrize("late_ms, filled", [(100, "0"), (900, "0.1")])
def test_a_trade_that_a_view_may_show_already_is_not_taken_off_twice(
    late_ms: int, filled: str
) -> None:
    paper = make_paper()
    rest(paper)
    shown_ns = paper._clock.now_ns() + SECOND
    show(paper, bids=[(9_999.0, 0.1), (9_998.0, 1.0)], ts_ns=shown_ns)
    trade(paper, 9_999.0, 0.1, ts_recv_ns=shown_ns + late_ms * 1_000_000)
    trade(paper, 9_999.0, 0.1, ts_recv_ns=shown_ns + late_ms * 1_000_000)
    assert now(paper).filled_qty == D(filled)


def test_a_trade_told_after_the_view_that_shows_it_was_traded_ahead() -> None:
    """0.3 was before it and traded; the book said so first. Only what comes then is its own."""
    paper = make_paper()
    rest(paper)
    shown_ns = paper._clock.now_ns() + SECOND
    show(paper, bids=[(9_998.0, 1.0)], ts_ns=shown_ns)
    trade(paper, 9_999.0, 0.2, ts_recv_ns=shown_ns + 50_000_000)
    assert now(paper).filled_qty == 0
    trade(paper, 9_999.0, 0.2, ts_recv_ns=shown_ns + 60_000_000)
    assert now(paper).filled_qty == D("0.1")


def test_a_view_that_shows_a_told_trade_hides_no_later_one() -> None:
    paper = make_paper()
    rest(paper)
    shown_ns = paper._clock.now_ns() + SECOND
    show(paper, ts_ns=shown_ns)
    trade(paper, 9_999.0, 0.3, ts_recv_ns=shown_ns + 10_000_000)
    show(paper, bids=[(9_998.0, 1.0)], ts_ns=shown_ns + 50_000_000)
    trade(paper, 9_999.0, 0.1, ts_recv_ns=shown_ns + 60_000_000)
    assert now(paper).filled_qty == D("0.1")


def test_what_was_canceled_before_it_hides_no_trade_for_long() -> None:
    paper = make_paper()
    rest(paper)
    shown_ns = paper._clock.now_ns() + SECOND
    for ms in (0, 100, 200, 300):
        show(paper, bids=[(9_998.0, 1.0)], ts_ns=shown_ns + ms * 1_000_000)
    trade(paper, 9_999.0, 0.1, ts_recv_ns=shown_ns + 310_000_000)
    assert now(paper).filled_qty == D("0.1")


@pytest.mark.parametrize("share, filled", [("0", "0.2"), ("0.5", "0.05"), ("1", "0")])
def test_its_place_in_the_queue_is_configured(share: str, filled: str) -> None:
    paper = make_paper(conditions=Conditions("alpha", PaperConfig(queue_ahead_share=D(share))))
    rest(paper)
    trade(paper, 9_999.0, 0.2)
    assert now(paper).filled_qty == D(filled)


def test_trades_are_read_on_paper_only() -> None:
    for mode, is_read in (("paper", True), ("simulated", False), ("live", False)):
        config = Config(executor=ExecutorConfig(mode=mode), bus=BusConfig(shards=2))
        read = [(i.spec, i.shards, i.interval_ms, i.start) for i in read_on_paper(config)]
        assert read == ([(MD_TRADE, (0, 1), 0, "new")] if is_read else [])


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
