"""The paper account: it walks the book, remembers what it took, and refuses what a venue would."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from services.executor.paper import PaperGateway
from services.executor.paper_conditions import Conditions
from shared.accounts.gateway import OrderKey, OrderRequest
from shared.clock import ManualClock
from shared.config_sections import PaperConfig
from shared.errors import Cause, Rejected, Unavailable
from shared.messages.base import BookState, Side
from shared.messages.execution import OrderStatus
from shared.messages.market import Funding, FundingSettled
from shared.messages.terms import OrderType, TimeInForce
from tests.decision_builders import PERP, SECOND, SPOT, make_rules, make_terms, make_view

D = Decimal
ASKS = [(10_001.0, 0.1), (10_002.0, 0.2), (10_003.0, 5.0)]


def make_paper(instrument: str = SPOT, balance: int = 1_000_000, **conditions: Any) -> PaperGateway:
    rules = {("alpha", instrument): make_rules("alpha", instrument)}
    paper = PaperGateway(
        "alpha",
        rules,
        ManualClock(),
        wait=partial(asyncio.sleep, 0),
        quote_balance=D(balance),
        conditions=Conditions("alpha", PaperConfig(**conditions)) if conditions else None,
    )
    paper.on_view(make_view("alpha", instrument, asks=ASKS))
    return paper


def make_order(order_id: str = "o1", **changes: Any) -> OrderRequest:
    terms = make_terms(**{"qty": D("0.15"), "price_limit": D("10002"), **changes})
    return OrderRequest(client_order_id=order_id, terms=terms)


def pieces(report: Any) -> list[tuple[Decimal, Decimal]]:
    return [(fill.price, fill.qty) for fill in report.fills]


def test_it_walks_the_book_up_to_the_limit() -> None:
    report = make_paper().fill(make_order(qty=D("0.5")))
    assert pieces(report) == [(D("10001.0"), D("0.1")), (D("10002.0"), D("0.2"))]
    assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, D("0.3"))


def test_what_it_took_is_gone_until_the_venue_changes_the_level() -> None:
    paper = make_paper()
    paper.fill(make_order("o1"))
    paper.on_view(make_view("alpha", asks=ASKS, seq=2))
    assert pieces(paper.fill(make_order("o2"))) == [(D("10002.0"), D("0.15"))]
    changed = [(10_001.0, 0.08), *ASKS[1:]]
    paper.on_view(make_view("alpha", asks=changed, seq=3))
    assert pieces(paper.fill(make_order("o3"))) == [(D("10001.0"), D("0.08"))]


def test_what_it_took_of_a_side_is_there_again_by_half_after_each_half_life() -> None:
    paper = make_paper(impact_half_life_ms=1_000)

    def quote_anew(seq: int) -> None:  # others, as if nothing had been taken
        asks = [(price, round(qty + seq / 1_000, 3)) for price, qty in ASKS]
        paper.on_view(make_view("alpha", asks=asks, seq=seq))

    paper.fill(make_order("o1", qty=D("0.16")))  # 0.1 at 10,001 and 0.06 at 10,002
    quote_anew(2)
    assert pieces(paper.fill(make_order("o2", qty=D("0.001")))) == [(D("10002.0"), D("0.001"))]
    paper._clock.advance(SECOND)
    quote_anew(3)  # of 0.161 there is 0.08 missing, in whole lots; the level has 0.103
    report = paper.fill(make_order("o3", qty=D("0.1"), price_limit=D("10001")))
    assert pieces(report) == [(D("10001.0"), D("0.023"))]
    paper._clock.advance(30 * SECOND)
    quote_anew(4)
    report = paper.fill(make_order("o4", qty=D("0.2"), price_limit=D("10001")))
    assert pieces(report) == [(D("10001.0"), D("0.104"))]


async def test_what_the_venue_refuses_changes_nothing() -> None:
    paper = make_paper(reject_rate=1.0)
    before = await paper.balances()
    with pytest.raises(Rejected) as caught:
        await paper.submit(make_order())
    assert (caught.value.code, caught.value.cause) == ("PAPER_REJECT", Cause.ORDER)
    assert await paper.balances() == before
    assert paper.order("o1") is None


async def test_a_venue_that_is_away_answers_nothing_and_takes_no_order() -> None:
    paper = make_paper(outages_per_hour=60.0, outage_s=3_600.0, outage_unknown_rate=0.0)
    key = OrderKey(venue="alpha", instrument=SPOT, client_order_id="o1")
    requests = (
        paper.submit(make_order()),
        paper.query(key),
        paper.cancel(key),
        paper.open_orders([SPOT]),
        paper.fills_since([SPOT], 0),
        paper.balances(),
        paper.positions([SPOT]),
        paper.funding_since([SPOT], 0),
    )
    for request in requests:
        with pytest.raises(Unavailable, match="out of order on paper") as caught:
            await request
        assert caught.value.cause is Cause.SERVICE
    assert paper.order("o1") is None


def test_an_order_that_must_fill_whole_takes_all_or_nothing() -> None:
    paper = make_paper()
    part = paper.fill(make_order("o1", qty=D("0.5"), time_in_force=TimeInForce.FOK))
    assert (part.status, part.filled_qty) == (OrderStatus.CANCELED, 0)
    whole = paper.fill(make_order("o2", qty=D("0.3"), time_in_force=TimeInForce.FOK))
    assert (whole.status, whole.filled_qty) == (OrderStatus.FILLED, D("0.3"))


@pytest.mark.parametrize(
    "change", [{"order_type": OrderType.MARKET}, {"time_in_force": TimeInForce.GTC}], ids=str
)
async def test_what_would_rest_or_has_no_limit_is_not_sent(change) -> None:
    paper = make_paper()
    with pytest.raises(Unavailable, match="cannot be filled on paper"):
        paper.fill(make_order(**change))
    assert await paper.query(OrderKey(venue="alpha", instrument=SPOT, client_order_id="o1")) is None


def test_an_untrusted_book_fills_nothing() -> None:
    paper = make_paper()
    paper.on_view(make_view("alpha", asks=ASKS, state=BookState.STALE))
    assert paper.fill(make_order()).filled_qty == 0


@pytest.mark.parametrize(
    "change, code",
    [
        ({"qty": D("0.0005")}, "LOT_SIZE"),
        ({"price_limit": D("10002.03")}, "TICK_SIZE"),
        ({"qty": D("0.001"), "price_limit": D("100")}, "NOTIONAL"),
        ({"instrument": "ETH/USDT"}, "INSTRUMENT"),
    ],
)
def test_it_refuses_what_a_venue_refuses(change, code) -> None:
    with pytest.raises(Rejected) as caught:
        make_paper().fill(make_order(**change))
    assert caught.value.code == code


async def test_money_moves_as_it_would() -> None:
    paper = make_paper()
    before = await paper.balances()
    report = paper.fill(make_order(qty=D("0.1")))
    after = await paper.balances()
    fee = report.fills[0].fee
    assert fee == D("1.0001")
    assert before["USDT"].free - after["USDT"].free == D("1000.1") + fee
    assert after["BTC"].free - before["BTC"].free == D("0.1")


async def test_it_does_not_spend_what_it_does_not_have() -> None:
    paper = make_paper(balance=100)
    before = await paper.balances()
    with pytest.raises(Rejected) as caught:
        paper.fill(make_order())
    assert caught.value.code == "INSUFFICIENT_BALANCE"
    assert await paper.balances() == before


async def test_a_perpetual_is_a_position_and_fees() -> None:
    paper = make_paper(PERP)
    paper.fill(make_order(instrument=PERP, qty=D("0.1"), side=Side.BUY))
    assert await paper.positions([PERP]) == {PERP: D("0.1")}
    assert (await paper.balances())["USDT"].free == D(1_000_000) - D("1.0001")


def test_the_same_inputs_give_the_same_fills() -> None:
    runs = []
    for _ in range(2):
        paper = make_paper()
        runs.append([paper.fill(make_order(f"o{n}", qty=D("0.01") * (n + 1))) for n in range(5)])
    assert runs[0] == runs[1]


def rate(ts_funding_ns: int, mark: float = 10_000.0) -> Funding:
    return Funding(
        venue="alpha",
        instrument=PERP,
        mark_price=mark,
        index_price=None,
        rate=0.0001,
        ts_funding_ns=ts_funding_ns,
        ts_recv_ns=0,
    )


def settled(ts_ns: int, mark: float | None = 10_000.0, rate: float = 0.0003) -> FundingSettled:
    return FundingSettled(
        venue="alpha",
        instrument=PERP,
        rate=rate,
        ts_funding_ns=ts_ns,
        ts_recv_ns=ts_ns,
        mark_price=mark,
    )


async def test_funding_pays_the_position_of_the_instant_once() -> None:
    paper = make_paper(PERP)
    start_ns = paper._clock.now_ns()
    first_ns, second_ns = (start_ns // SECOND + 10) * SECOND, (start_ns // SECOND + 20) * SECOND
    paper.on_message(settled(first_ns - 3_600 * SECOND))  # from before the account was opened
    paper.fill(make_order("o1", instrument=PERP, qty=D("0.1")))
    paper._clock.advance(15 * SECOND)
    paper.fill(make_order("o2", instrument=PERP, qty=D("0.2")))  # after it settled
    paper.on_message(rate(second_ns))
    for _ in range(2):  # the history is repeated
        paper.on_message(settled(first_ns + 7_000_000))
    (paid,) = await paper.funding_since([PERP], 0)
    assert (paid.amount, paid.asset, paid.ts_venue_ns) == (D("-0.3"), "USDT", first_ns)
    paper.on_message(rate(second_ns + 10 * SECOND))
    paper.on_message(settled(second_ns, mark=None, rate=-0.0001))  # the mark seen last counts
    assert [each.amount for each in await paper.funding_since([PERP], 0)] == [D("-0.3"), D("0.3")]
    balances = await paper.balances()
    fees = D("3000.5") * paper._rules["alpha", PERP].taker_fee_bps / 10_000
    assert balances["USDT"].free == 1_000_000 - fees


async def test_without_rates_what_funding_cost_is_unknown() -> None:
    paper = make_paper(PERP)
    assert await paper.funding_since([PERP], 0) == []
    paper.fill(make_order("o1", instrument=PERP, qty=D("0.1")))
    with pytest.raises(Unavailable, match="no funding rates of BTC/USDT:USDT are received"):
        await paper.funding_since([PERP], 0)
