"""One suite for every gateway: paper, and ccxt with signed requests at three simulated venues."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from services.executor.accounts import open_gateways
from services.executor.paper import PaperGateway
from services.sentinel.gateways import open_gateways as open_to_kill
from services.sentinel.requests import OrdersRead, ReadOrders
from shared.accounts import ccxt_orders
from shared.accounts.ccxt_orders import GenericOrders
from shared.accounts.gateway import Gateway, OrderKey, OrderRequest
from shared.accounts.venue_capabilities import load_quirks, probed
from shared.clock import SystemClock
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.errors import Cause, OutcomeUnknown, Rejected, Scope, Unavailable
from shared.messages.base import BookState, Side
from shared.messages.execution import OrderStatus
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms, OrderType, TimeInForce
from shared.venues.registry import TRADED, load_simulated
from tests.support import ROOT, eventually

D = Decimal
VENUES = {name: load_simulated(name).LISTINGS[0].instrument for name in TRADED}
OTHERS = {"otherbinance": ("binance", "binanceus")}
"""Tried through the generic gateway: the simulated venue, and as which exchange ccxt meets it."""
RULES = InstrumentRules(
    venue="paper",
    instrument="BTC/USDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
    qty_min=D("0.001"),
    notional_min=D(5),
    taker_fee_bps=D(10),
    maker_fee_bps=D(10),
)


MADE = count(1)
"""Orders of all tests: a venue may take no id twice, whenever it was used."""


class Account:
    """A gateway, its instrument, and where its market is."""

    def __init__(self, gateway: Gateway, instrument: str, control: str = "") -> None:
        self.gateway, self.instrument, self.control = gateway, instrument, control

    async def best(self, side: Side) -> Decimal:
        """The price at which ``side`` would trade now, rounded to a coarse tick."""
        if not self.control:
            return D(10_001) if side is Side.BUY else D(9_999)
        books = await asyncio.to_thread(fetch, f"{self.control}/books?limit=5")
        book = books[self.gateway.venue][self.instrument]
        return D(str(book["asks" if side is Side.BUY else "bids"][0][0])).quantize(D(1))

    async def order(self, side: Side = Side.BUY, **changes: Any) -> OrderRequest:
        price = await self.best(side) + (100 if side is Side.BUY else -100)
        order_id = changes.pop("client_order_id", f"abcontract{next(MADE):04d}000")
        values: dict[str, Any] = {
            "venue": self.gateway.venue,
            "instrument": self.instrument,
            "side": side,
            "qty": D("0.01"),
            "price_limit": price,
        }
        return OrderRequest(client_order_id=order_id, terms=OrderTerms(**{**values, **changes}))

    def key(self, order: OrderRequest) -> OrderKey:
        return OrderKey(
            venue=order.terms.venue,
            instrument=order.terms.instrument,
            client_order_id=order.client_order_id,
        )

    def fault(self, kind: str, **parameters: Any) -> None:
        body = {"kind": kind, "venue": self.gateway.venue, "count": 1, **parameters}
        fetch(f"{self.control}/fault", json.dumps(body).encode())


def fetch(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(url, body, timeout=5) as answer:
        return json.load(answer)


@contextmanager
def venues() -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.venuesim", "--seed", "3", "--json", "--more-venues"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    with process:
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.fixture(scope="module")
def shared_venues():
    with venues() as described:
        yield described


@pytest.fixture
def simulated(request):
    """Simulated venues. Kraken counts calls per account over time: its tests share no account."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or callspec.params.get("name") == "kraken":
        with venues() as described:
            yield described
    else:
        yield request.getfixturevalue("shared_venues")


@asynccontextmanager
async def open_account(
    name: str, simulated: Any, *, started: bool = True
) -> AsyncIterator[Account]:
    if name == "paper":
        paper = PaperGateway(
            "paper",
            {("paper", "BTC/USDT"): RULES},
            SystemClock(),
            wait=partial(asyncio.sleep, 0.001),
            quote_balance=D(1_000_000),
        )
        paper.on_view(
            DepthView(
                venue="paper",
                instrument="BTC/USDT",
                state=BookState.LIVE,
                epoch=1,
                seq=1,
                bids=[(9_999.0, 1.0)],
                asks=[(10_001.0, 1.0)],
                ts_recv_ns=0,
                ts_ns=0,
            )
        )
        yield Account(paper, "BTC/USDT")
        return
    place, ccxt_id = OTHERS.get(name, (name, ""))
    venue = VenueConfig(
        instruments=[VENUES[place]],
        rest_url=simulated["http"],
        ws_url=simulated["ws"],
        ccxt_id=ccxt_id,
        taker_fee_bps=D(10) if ccxt_id else None,
    )
    config = Config(
        venues={place: venue},
        executor=ExecutorConfig(mode="simulated", request_timeout_ms=2_000),
    )
    keys = simulated["credentials"][place]
    environ = {
        f"ARB_{place.upper()}_API_KEY": keys["apiKey"],
        f"ARB_{place.upper()}_API_SECRET": keys["secret"],
    }
    gateway = open_gateways(config, {}, SystemClock(), environ)[place]
    try:
        account = Account(gateway, VENUES[place], simulated["control"])
        if started:
            await gateway.start()
            if ccxt_id:
                await prove_lookup(account)
        yield account
    finally:
        await gateway.close()


async def prove_lookup(account: Account) -> None:
    """Let the generic gateway find an order of ours by its client order id; before, it may not."""
    never = account.key(await account.order())
    truth = await asyncio.to_thread(fetch, f"{account.control}/accounts")
    if truth[account.gateway.venue]["fills"]:
        assert await account.gateway.query(never) is None, "the order of the newest execution is"
        return
    with pytest.raises(OutcomeUnknown, match="no order was found there yet"):
        await account.gateway.query(never)
    far = (await account.best(Side.BUY) * D("0.9")).quantize(D(1))
    order = await account.order(price_limit=far)
    answer = await account.gateway.submit(order)
    known = msgspec.structs.replace(account.key(order), venue_order_id=answer.venue_order_id)
    assert await account.gateway.query(known)
    assert await account.gateway.query(never) is None


ALL = pytest.mark.parametrize("name", ["paper", *VENUES, *OTHERS])
CAN_SEND = {
    "paper": {TimeInForce.IOC, TimeInForce.FOK},
    **{name: load_quirks(name).TIMES_IN_FORCE for name in VENUES},
    **{name: load_quirks(place).TIMES_IN_FORCE for name, (place, _) in OTHERS.items()},
}
NATIVE = pytest.mark.parametrize("name", list(VENUES))
REAL = pytest.mark.parametrize("name", [*VENUES, *OTHERS])


async def asked(account: Account, order: OrderRequest) -> Any:
    """What the venue says of the order; the suite as a whole asks faster than Kraken allows."""

    async def ask() -> Any:
        try:
            return (await account.gateway.query(account.key(order)),)
        except Unavailable:
            return None

    return (await eventually(ask, timeout_s=25))[0]


async def settled(account: Account, order: OrderRequest) -> Any:
    """The order with all its fills; a venue may take a moment to list them."""

    async def look() -> Any:
        report = await asked(account, order)
        filled = sum((fill.qty for fill in report.fills), D(0)) if report else None
        return report if report and filled == report.filled_qty else None

    return await eventually(look, timeout_s=25)


@ALL
async def test_an_order_is_filled_and_found_with_its_fills_and_fees(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id=f"abfill{name[:6]}000")
        answer = await account.gateway.submit(order)
        assert (answer.client_order_id, answer.terms) == (order.client_order_id, order.terms)
        assert answer.venue_order_id
        report = await settled(account, order)
        assert report.status is OrderStatus.FILLED
        assert report.filled_qty == order.terms.qty
        assert all(fill.price <= order.terms.price_limit for fill in report.fills)
        assert all(fill.fee is not None and fill.fee_asset for fill in report.fills)
        assert {fill.venue_order_id for fill in report.fills} == {answer.venue_order_id}
        assert answer.fills in ((), report.fills), "the same executions, or none yet"
        history = await account.gateway.fills_since(
            [account.instrument],
            0 if name == "paper" else (min(f.ts_venue_ns for f in report.fills) - 10**9),
        )
        assert {f.trade_id for f in report.fills} <= {f.trade_id for f in history}
        assert await account.gateway.open_orders([account.instrument]) == []


@ALL
async def test_an_order_out_of_reach_ends_without_a_fill(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        price = await account.best(Side.BUY) * D("0.9")
        order = await account.order(
            client_order_id=f"abnone{name[:6]}000", price_limit=price.quantize(D(1))
        )
        await account.gateway.submit(order)
        report = await settled(account, order)
        assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, 0)
        await account.gateway.cancel(account.key(order))  # works no longer: no error


@ALL
@pytest.mark.parametrize("order_type", list(OrderType))
@pytest.mark.parametrize("time_in_force", list(TimeInForce))
async def test_an_order_is_sent_as_it_is_or_not_at_all(
    name, order_type: OrderType, time_in_force: TimeInForce, simulated
) -> None:
    """Out of reach: IOC and FOK end without a fill, GTC rests until it is canceled."""
    async with open_account(name, simulated) as account:
        far = await account.best(Side.BUY) * D("0.9")
        order = await account.order(
            client_order_id=f"abkind{name[:3]}{order_type[0]}{time_in_force[0]}000",
            price_limit=far.quantize(D(1)),
            order_type=order_type,
            time_in_force=time_in_force,
        )
        if order_type is OrderType.MARKET or time_in_force not in CAN_SEND[name]:
            with pytest.raises(Unavailable, match=rf"not sent.*{order.terms.kind}"):
                await account.gateway.submit(order)
            assert await asked(account, order) is None, "it never was there"
            return
        try:
            report = await account.gateway.submit(order)
        except Rejected:  # a definite no to an order that cannot fill whole
            assert time_in_force is TimeInForce.FOK
            return
        assert report.terms == order.terms
        report = await asked(account, order)
        if order.terms.rests:
            assert report.status is OrderStatus.ACCEPTED
            if time_in_force is TimeInForce.PO:
                assert report.terms.time_in_force is TimeInForce.PO
            await account.gateway.cancel(account.key(order))
            report = await asked(account, order)
        assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, 0)


@pytest.mark.parametrize("name", [n for n, can in CAN_SEND.items() if TimeInForce.FOK in can])
async def test_an_order_that_must_fill_whole_takes_no_part_of_it(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        whole = {"time_in_force": TimeInForce.FOK, "qty": D(1_000)}
        order = await account.order(client_order_id=f"abfok{name[:6]}000", **whole)
        with suppress(Rejected):  # some venues refuse it, others let it expire
            report = await account.gateway.submit(order)
            if report.status is OrderStatus.ACCEPTED:  # what became of it is asked for
                report = await settled(account, order)
            assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, 0)


@REAL
async def test_a_post_only_order_takes_nothing(name, simulated) -> None:
    """Some venues refuse one that would, others accept it and cancel it."""
    async with open_account(name, simulated) as account:
        order = await account.order(time_in_force=TimeInForce.PO)
        try:
            await account.gateway.submit(order)
        except Rejected as error:
            assert (error.cause, error.scope) == (Cause.WOULD_TAKE, Scope.ORDER)
            return
        report = await settled(account, order)
        assert (report.status, report.filled_qty) == (OrderStatus.CANCELED, 0)


@ALL
async def test_what_the_venue_never_heard_of_is_none(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id="abneversent00000")
        assert await asked(account, order) is None


@ALL
@pytest.mark.parametrize("wrong", [{"qty": D("0.00000001")}, {"qty": D(1_000_000)}])
async def test_a_definite_no_is_rejected(name, simulated, wrong) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id="abrefused0000000", **wrong)
        if name == "paper" and wrong["qty"] > 1:
            return  # paper fills what the book holds
        with pytest.raises(Rejected):
            await account.gateway.submit(order)
        assert await asked(account, order) is None


@ALL
async def test_balances_move_with_a_trade(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        before = await account.gateway.balances()
        order = await account.order(client_order_id=f"abbal{name[:6]}0000")
        await account.gateway.submit(order)
        await settled(account, order)
        after = await account.gateway.balances()
        assert after["USDT"].free < before["USDT"].free
        if ":" in account.instrument:
            positions = await account.gateway.positions([account.instrument])
            assert positions[account.instrument] >= order.terms.qty
            report = await settled(account, order)
            paid = sum(fill.fee for fill in report.fills if fill.fee_asset == "USDT")
            assert before["USDT"].settled - after["USDT"].settled == paid
            assert after["USDT"].wallet is not None, "without the position's open result"
        else:
            assert after["BTC"].free == before["BTC"].free + order.terms.qty


@REAL
@pytest.mark.parametrize("how", ["close", "timeout"])
async def test_a_lost_answer_is_unknown_and_the_order_is_found(name, simulated, how) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id=f"ablost{name[:4]}{how[:1]}0000"[:18])
        account.fault("lose_answer", how=how)
        with pytest.raises(OutcomeUnknown):
            await account.gateway.submit(order)
        report = await settled(account, order)
        assert report.status is OrderStatus.FILLED


@REAL
async def test_too_many_requests_is_surely_not_done(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id=f"ab429{name[:6]}0000")
        account.fault("http_429", path="rder")
        with pytest.raises(Unavailable):
            await account.gateway.submit(order)


@REAL
async def test_a_server_error_is_unknown(name, simulated) -> None:
    async with open_account(name, simulated) as account:
        order = await account.order(client_order_id=f"ab5xx{name[:6]}0000")
        account.fault("http_5xx", path="rder")
        with pytest.raises(OutcomeUnknown):
            await account.gateway.submit(order)
        assert await asked(account, order) is None


async def test_a_venue_that_is_not_there_was_surely_not_reached(simulated) -> None:
    nowhere = {**simulated, "http": "http://127.0.0.1:9"}
    with pytest.raises(Unavailable):
        async with open_account("kraken", nowhere):
            pass


async def trade_with_ourselves(account: Account) -> tuple[OrderRequest, OrderRequest]:
    """Rest a bid in front of all others, and sell into it; once more where the market moved on."""
    for _ in range(10):
        books = await asyncio.to_thread(fetch, f"{account.control}/books?limit=5")
        best_ask = D(str(books[account.gateway.venue][account.instrument]["asks"][0][0]))
        terms = {"price_limit": best_ask - D("0.1"), "time_in_force": TimeInForce.GTC}
        bid, ask = [await account.order(side, **terms) for side in (Side.BUY, Side.SELL)]
        for order in (bid, ask):
            await account.gateway.submit(order)
        reports = [await asked(account, order) for order in (bid, ask)]
        if all(report.status is OrderStatus.FILLED for report in reports):
            return bid, ask
        for order in (bid, ask):
            await account.gateway.cancel(account.key(order))
    raise AssertionError("others were always faster")


@REAL
async def test_both_sides_of_a_trade_of_ours_are_told(name, simulated) -> None:
    """Asked about either order and about all executions: a fill of each, of that order's side."""
    async with open_account(name, simulated) as account:
        since_ns = time.time_ns() - 5 * 10**9
        orders = await trade_with_ourselves(account)
        reports = [await settled(account, order) for order in orders]
        for order, report in zip(orders, reports, strict=True):
            assert [(fill.side, fill.qty) for fill in report.fills] == [
                (order.terms.side, order.terms.qty)
            ]
        told = await account.gateway.fills_since([account.instrument], since_ns)
        keys = {fill.key_at(account.gateway.venue) for report in reports for fill in report.fills}
        assert len(keys) == 2
        assert keys <= {fill.key_at(account.gateway.venue) for fill in told}
        ids = {key.trade_id for key in keys}
        assert len(ids) == (2 if name == "kraken" else 1), "its history is a table by trade id"


async def many_fills(account: Account, count: int) -> tuple[set[tuple[str, str]], int]:
    """Make executions until there are ``count``; return trades, sides and a time before them."""
    since_ns = SystemClock().now_ns() - 10**9
    ids: set[tuple[str, str]] = set()
    while len(ids) < count:
        await account.gateway.submit(await account.order(qty=D("0.001")))
        truth = await asyncio.to_thread(fetch, f"{account.control}/accounts")
        fills = truth[account.gateway.venue]["fills"]
        ids = {(f["trade_id"], f["side"]) for f in fills if f["ts_ms"] >= since_ns // 1_000_000}
    return ids, since_ns


def module_of(name: str) -> Any:
    """Where the bounds of a venue are: USDT-M shares those of spot."""
    return import_module(f"shared.venues.{'binance' if name == 'binanceusdm' else name}.orders")


@NATIVE
async def test_all_pages_of_executions_are_read(name, simulated, monkeypatch) -> None:
    if name != "kraken":  # where the page is 50 whatever is asked for
        monkeypatch.setattr(module_of(name), "FILLS_PAGE", 7)
    async with open_account(name, simulated) as account:
        ids, since_ns = await many_fills(account, 60 if name == "kraken" else 30)
        told = await account.gateway.fills_since([account.instrument], since_ns)
        assert len(told) == len(ids)
        assert len({(fill.trade_id, fill.side) for fill in told}) == len(ids)
        monkeypatch.setattr(module_of(name), "FILLS_PAGES_MAX", 1)
        with pytest.raises(Unavailable, match="after 1 pages"):
            await account.gateway.fills_since([account.instrument], since_ns)


@pytest.mark.parametrize("name", ["binance", "binanceusdm", "bybit"])
async def test_executions_are_looked_for_beyond_a_span_without_any(
    name, simulated, monkeypatch
) -> None:
    module = import_module(f"shared.venues.{name}.orders")
    monkeypatch.setattr(module, "FILLS_SPAN_MS", 60_000)
    async with open_account(name, simulated) as account:
        ids, since_ns = await many_fills(account, 1)
        long_ago_ns = since_ns - 600 * 10**9
        told = await account.gateway.fills_since([account.instrument], long_ago_ns)
        assert ids <= {(fill.trade_id, fill.side) for fill in told}


@pytest.mark.parametrize("name", list(OTHERS))
@pytest.mark.parametrize("limit", [7, None], ids=["pages of seven", "pages not documented"])
async def test_executions_are_read_to_both_ends_whatever_a_page_holds(
    name, limit, simulated, monkeypatch
) -> None:
    """Seven are asked for; where that is not known to be a page, nothing new is the end."""
    place, ccxt_id = OTHERS[name]
    venue = VenueConfig(instruments=[VENUES[place]], ccxt_id=ccxt_id, rest_url="http://h")
    known = msgspec.structs.replace(probed(place, venue), fills_limit=limit)
    async with open_account(name, simulated) as account:
        ids, since_ns = await many_fills(account, 30)
        client = account.gateway._client
        in_sevens = partial(_ask_for_seven, client.fetch_my_trades)
        monkeypatch.setattr(client, "fetch_my_trades", in_sevens)
        monkeypatch.setattr(account.gateway, "_quirks", GenericOrders(known))
        told = await account.gateway.fills_since([account.instrument], since_ns)
        assert {(fill.trade_id, fill.side) for fill in told} >= ids
        assert len(told) == len({(fill.trade_id, fill.side) for fill in told})
        monkeypatch.setattr(ccxt_orders, "REQUESTS_MAX", 2)
        with pytest.raises(Unavailable, match="not all executions are read: more than 2 pages"):
            await account.gateway.fills_since([account.instrument], since_ns)


async def _ask_for_seven(ask: Any, symbol: str, since: int, limit: int | None, params: Any) -> Any:
    del limit
    return await ask(symbol, since, 7, params)


@NATIVE
async def test_all_executions_of_one_order_are_read(name, simulated, monkeypatch) -> None:
    if name == "kraken":
        monkeypatch.setattr(module_of(name), "TRADE_IDS_MAX", 2)
    else:
        monkeypatch.setattr(module_of(name), "FILLS_PAGE", 2)
    async with open_account(name, simulated) as account:
        price = await account.best(Side.BUY) * D("1.02")
        order = await account.order(qty=D("3"), price_limit=price.quantize(D(1)))
        await account.gateway.submit(order)
        report = await settled(account, order)
        assert len(report.fills) > 2
        assert sum(fill.qty for fill in report.fills) == report.filled_qty > 0


@pytest.mark.parametrize("name", ["binance", "binanceusdm", "bybit", *OTHERS])
@pytest.mark.parametrize("skew_ms", [-5_000, 5_000])
async def test_after_a_refusal_for_our_clock_it_is_measured_again(name, simulated, skew_ms) -> None:
    async with open_account(name, simulated) as account:
        account.fault("clock_skew", ms=skew_ms)
        try:
            with pytest.raises(Unavailable) as refused:
                await account.gateway.submit(await account.order())
            assert refused.value.cause is Cause.CLOCK
            order = await account.order()
            await account.gateway.submit(order)
            assert (await settled(account, order)).status is OrderStatus.FILLED
        finally:
            account.fault("clock_skew", ms=0)


@REAL
@pytest.mark.parametrize("skew_ms", [-3_000, 3_000])
async def test_a_clock_that_is_off_at_the_start_does_not_matter(name, simulated, skew_ms) -> None:
    async with open_account(name, simulated, started=False) as account:
        account.fault("clock_skew", ms=skew_ms)
        try:
            await account.gateway.start()
            order = await account.order()
            await account.gateway.submit(order)
            assert (await settled(account, order)).filled_qty == order.terms.qty
        finally:
            account.fault("clock_skew", ms=0)


@NATIVE
@pytest.mark.parametrize(
    "state, cause",
    [
        ("revoked", Cause.KEY),
        ("read_only", Cause.KEY),
        ("restricted", Cause.ACCOUNT),
        ("hedge_mode", Cause.ACCOUNT),
    ],
)
async def test_an_account_that_cannot_trade_is_found_at_the_start(
    name, simulated, state, cause
) -> None:
    if state == "hedge_mode" and ":" not in VENUES.get(name, ""):
        return  # spot has no position mode
    async with open_account(name, simulated) as account:
        account.fault("account", state=state)
        try:
            with pytest.raises(Rejected) as refused:
                await account.gateway.start()
            assert refused.value.cause is cause
            assert refused.value.scope is Scope.VENUE
            with pytest.raises(Rejected) as refused:
                await account.gateway.submit(await account.order())
            assert refused.value.scope is Scope.VENUE
        finally:
            account.fault("account", state="ok")
        await account.gateway.start()
        await account.gateway.submit(await account.order())


async def look_for_orders(simulated: Any) -> None:
    """What the kill switch does first; it must work where nothing may be traded."""
    name = "binanceusdm"
    venue = VenueConfig(
        instruments=[VENUES[name]], rest_url=simulated["http"], ws_url=simulated["ws"]
    )
    config = Config(venues={name: venue}, executor=ExecutorConfig(mode="simulated"))
    keys = simulated["credentials"][name]
    environ = {
        f"ARB_{name.upper()}_API_KEY": keys["apiKey"],
        f"ARB_{name.upper()}_API_SECRET": keys["secret"],
    }
    gateways = open_to_kill(config, SystemClock(), environ)
    try:
        told = await gateways.carry_out(ReadOrders(name, (VENUES[name],)))
        assert isinstance(told, OrdersRead), told
    finally:
        await gateways.close()


async def test_an_account_of_one_margin_for_all_assets_is_refused_at_the_start(simulated) -> None:
    """The venue would take its orders; what it shows as available is no amount of one asset."""
    async with open_account("binanceusdm", simulated, started=False) as account:
        account.fault("account", state="multi_assets")
        try:
            with pytest.raises(Rejected, match="single-asset mode is used here") as refused:
                await account.gateway.start()
            assert (refused.value.cause, refused.value.scope) == (Cause.ACCOUNT, Scope.VENUE)
            await look_for_orders(simulated)
        finally:
            account.fault("account", state="ok")
        await account.gateway.start()


ORDER_PATHS = ("/v3/order", "/v1/order", "/AddOrder", "/spot/orders", "/v5/order/create")


@asynccontextmanager
async def answering_orders(simulated: Any, status: int, body: str) -> AsyncIterator[Any]:
    """The simulated venues behind a server that answers every new order itself."""
    async with aiohttp.ClientSession() as session:

        async def serve(request: web.Request) -> web.Response:
            path = request.path
            if request.method == "POST" and path.endswith(ORDER_PATHS):
                return web.Response(status=status, text=body, content_type="application/json")
            dropped = {"Host", "Content-Length", "Accept-Encoding"}
            headers = {k: v for k, v in request.headers.items() if k not in dropped}
            url = URL(simulated["http"] + request.raw_path, encoded=True)
            sent = await request.read()
            async with session.request(request.method, url, data=sent, headers=headers) as answer:
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=answer.content_type
                )

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            yield {**simulated, "http": f"http://127.0.0.1:{port}"}
        finally:
            await runner.cleanup()


BINANCE_SAYS: list[tuple[int, str, type[Exception], Cause]] = [
    (400, '{"code":-4999,"msg":"a code of next year"}', Rejected, Cause.ORDER),
    (400, '{"code":-1013,"msg":"Filter failure: LOT_SIZE"}', Rejected, Cause.ORDER),
    (401, '{"code":-2015,"msg":"Invalid API-key, IP, or permissions."}', Rejected, Cause.KEY),
    (400, '{"code":-1021,"msg":"Timestamp outside of the recvWindow."}', Unavailable, Cause.CLOCK),
    (429, '{"code":-1015,"msg":"Too many new orders."}', Unavailable, Cause.RATE),
    (418, "", Unavailable, Cause.RATE),
    (503, '{"code":-1008,"msg":"Request throttled."}', Unavailable, Cause.SERVICE),
    (503, '{"code":-1013,"msg":"Filter failure: LOT_SIZE"}', OutcomeUnknown, Cause.SERVICE),
    (408, '{"code":-1007,"msg":"Timeout waiting for response."}', OutcomeUnknown, Cause.SERVICE),
    (400, '{"code":-1006,"msg":"Execution status unknown."}', OutcomeUnknown, Cause.SERVICE),
    (502, "<html>Bad gateway</html>", OutcomeUnknown, Cause.SERVICE),
    (403, "<html>Request blocked</html>", Unavailable, Cause.RATE),
    (404, "<html>Not found</html>", Rejected, Cause.SERVICE),
    (451, '{"code":0,"msg":"Service unavailable from here."}', Rejected, Cause.ACCOUNT),
    (200, "<html>Welcome</html>", OutcomeUnknown, Cause.SERVICE),
    (200, "{}", OutcomeUnknown, Cause.SERVICE),
    (200, "[]", OutcomeUnknown, Cause.SERVICE),
    (200, "", OutcomeUnknown, Cause.SERVICE),
    (200, '{"orderId":', OutcomeUnknown, Cause.SERVICE),
]
KRAKEN_SAYS: list[tuple[int, str, type[Exception], Cause]] = [
    (200, '{"error":["EOrder:Something of next year"]}', Rejected, Cause.ORDER),
    (200, '{"error":["EOrder:Insufficient funds"]}', Rejected, Cause.FUNDS),
    (200, '{"error":["EGeneral:Permission denied"]}', Rejected, Cause.KEY),
    (200, '{"error":["EAPI:Invalid nonce"]}', Unavailable, Cause.CLOCK),
    (200, '{"error":["EOrder:Rate limit exceeded"]}', Unavailable, Cause.RATE),
    (200, '{"error":["EService:Unavailable"]}', OutcomeUnknown, Cause.SERVICE),
    (200, '{"error":["EGeneral:Internal error"]}', OutcomeUnknown, Cause.SERVICE),
    (200, '{"error":["WGeneral:Mind the gap"]}', OutcomeUnknown, Cause.SERVICE),
    (520, '{"error":["EOrder:Insufficient funds"]}', OutcomeUnknown, Cause.SERVICE),
    (502, "<html>Bad gateway</html>", OutcomeUnknown, Cause.SERVICE),
    (403, "<html>Request blocked</html>", Unavailable, Cause.RATE),
    (429, "", Unavailable, Cause.RATE),
    (200, "<html>Welcome</html>", OutcomeUnknown, Cause.SERVICE),
    (200, '{"error":[],"result":{}}', OutcomeUnknown, Cause.SERVICE),
    (200, "{}", OutcomeUnknown, Cause.SERVICE),
    (200, "[]", OutcomeUnknown, Cause.SERVICE),
    (200, "", OutcomeUnknown, Cause.SERVICE),
]
GATE_SAYS: list[tuple[int, str, type[Exception], Cause]] = [
    (400, '{"label":"SOMETHING_NEW","message":"of next year"}', Rejected, Cause.ORDER),
    (400, '{"label":"BALANCE_NOT_ENOUGH","message":"Not enough balance"}', Rejected, Cause.FUNDS),
    (400, '{"label":"POC_FILL_IMMEDIATELY","message":"It would take"}', Rejected, Cause.WOULD_TAKE),
    (401, '{"label":"INVALID_KEY","message":"Invalid key provided"}', Rejected, Cause.KEY),
    (403, '{"label":"READ_ONLY","message":"The key may only read"}', Rejected, Cause.KEY),
    (403, '{"label":"ACCOUNT_LOCKED","message":"Locked"}', Rejected, Cause.ACCOUNT),
    (403, '{"label":"REQUEST_EXPIRED","message":"Gap in time"}', Unavailable, Cause.CLOCK),
    (429, '{"label":"TOO_MANY_REQUESTS","message":"Slow down"}', Unavailable, Cause.RATE),
    (500, '{"label":"SERVER_ERROR","message":"Internal"}', OutcomeUnknown, Cause.SERVICE),
    (503, '{"label":"BALANCE_NOT_ENOUGH","message":"?"}', OutcomeUnknown, Cause.SERVICE),
    (400, '{"label":"INVALID_PARAM_VALUE","message":"Duplicate"}', OutcomeUnknown, Cause.SERVICE),
    (502, "<html>Bad gateway</html>", OutcomeUnknown, Cause.SERVICE),
    (403, "<html>Request blocked</html>", Unavailable, Cause.RATE),
    (200, "<html>Welcome</html>", OutcomeUnknown, Cause.SERVICE),
    (200, "{}", OutcomeUnknown, Cause.SERVICE),
    (200, "[]", OutcomeUnknown, Cause.SERVICE),
    (200, "", OutcomeUnknown, Cause.SERVICE),
]
BYBIT_SAYS: list[tuple[int, str, type[Exception], Cause]] = [
    (200, '{"retCode":199999,"retMsg":"a code of next year"}', Rejected, Cause.ORDER),
    (200, '{"retCode":10001,"retMsg":"Qty invalid"}', Rejected, Cause.ORDER),
    (200, '{"retCode":110007,"retMsg":"ab not enough for new order"}', Rejected, Cause.FUNDS),
    (200, '{"retCode":110074,"retMsg":"This contract is not live"}', Rejected, Cause.INSTRUMENT),
    (200, '{"retCode":10003,"retMsg":"API key is invalid."}', Rejected, Cause.KEY),
    (200, '{"retCode":10005,"retMsg":"Permission denied"}', Rejected, Cause.KEY),
    (200, '{"retCode":10027,"retMsg":"Transactions are banned."}', Rejected, Cause.ACCOUNT),
    (
        200,
        '{"retCode":10001,"retMsg":"position idx not match position mode"}',
        Rejected,
        Cause.ACCOUNT,
    ),
    (200, '{"retCode":10002,"retMsg":"recv_window"}', Unavailable, Cause.CLOCK),
    (200, '{"retCode":10006,"retMsg":"Too many visits!"}', Unavailable, Cause.RATE),
    (200, '{"retCode":10000,"retMsg":"Server Timeout"}', OutcomeUnknown, Cause.SERVICE),
    (200, '{"retCode":10016,"retMsg":"Internal System Error."}', OutcomeUnknown, Cause.SERVICE),
    (
        200,
        '{"retCode":110072,"retMsg":"OrderLinkedID is duplicate"}',
        OutcomeUnknown,
        Cause.SERVICE,
    ),
    (503, '{"retCode":110007,"retMsg":"?"}', OutcomeUnknown, Cause.SERVICE),
    (502, "<html>Bad gateway</html>", OutcomeUnknown, Cause.SERVICE),
    (403, "<html>access too frequent</html>", Unavailable, Cause.RATE),
    (200, "<html>Welcome</html>", OutcomeUnknown, Cause.SERVICE),
    (200, '{"retCode":0,"retMsg":"OK","result":{}}', OutcomeUnknown, Cause.SERVICE),
    (200, "{}", OutcomeUnknown, Cause.SERVICE),
    (200, "[]", OutcomeUnknown, Cause.SERVICE),
    (200, "", OutcomeUnknown, Cause.SERVICE),
]
ANSWERS = [("binance", *row) for row in BINANCE_SAYS]
ANSWERS += [("gateio", *row) for row in GATE_SAYS]
ANSWERS += [("binanceusdm", *row) for row in BINANCE_SAYS]
ANSWERS += [("bybit", *row) for row in BYBIT_SAYS]
ANSWERS += [("kraken", *row) for row in KRAKEN_SAYS]


@pytest.mark.parametrize(
    "answer", ANSWERS, ids=lambda answer: f"{answer[0]} {answer[1]} {answer[2][:40]}"
)
async def test_an_answer_means_what_the_venue_documents(answer, shared_venues) -> None:
    venue, status, body, outcome, cause = answer
    async with (
        answering_orders(shared_venues, status, body) as front,
        open_account(venue, front, started=False) as account,
    ):
        with pytest.raises(outcome) as failed:
            await account.gateway.submit(await account.order())
        assert failed.value.cause is cause
