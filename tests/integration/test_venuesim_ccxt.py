"""Proof that the simulated venues are real enough: unmodified ccxt and ccxt.pro use them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from importlib import import_module
from urllib.parse import urlsplit

import aiohttp
import ccxt
import ccxt.pro
import pytest

from services.venuesim.app import Options
from shared.venues.binanceusdm.simulated.rest import LISTEN_KEY
from shared.venues.registry import EVERY, load_account_feed, load_feed, load_simulated
from tests.integration.venuesim_clients import SYMBOLS, VENUES, client, simulation, within
from tests.support import eventually

HAS_USER_STREAM = [name for name in VENUES if load_account_feed(name) is not None]
"""Where the account is followed on a socket: the simulated side serves that, too."""
PUBLIC = pytest.mark.parametrize("venue", EVERY)
"""What needs no orders."""


@pytest.fixture
async def sim():
    async with simulation(Options(seed=5, more_venues=True)) as running:
        yield running


@pytest.fixture(params=VENUES)
def venue(request) -> str:
    return request.param


def far_below(exchange, symbol: str, book) -> float:
    return float(exchange.price_to_precision(symbol, book["bids"][0][0] * 0.8))


@PUBLIC
async def test_markets_carry_the_venues_rules(sim, venue):
    server, _ = sim
    async with client(server, venue) as exchange:
        markets = await exchange.load_markets()
        wanted = {x["instrument"] for x in server.description["instruments"] if x["venue"] == venue}
        assert wanted == set(markets)
        market = exchange.market(SYMBOLS[venue])
        listing = server.sim.venues[venue].exchange.by_instrument[SYMBOLS[venue]]
        assert Decimal(str(market["precision"]["price"])) == listing.tick
        assert Decimal(str(market["precision"]["amount"])) == listing.lot
        assert Decimal(str(market["limits"]["cost"]["min"] or 0)) == listing.notional_min
        feed = import_module(f"shared.venues.{venue}.feed").FEED
        rules = feed.rules(venue, market)
        assert (rules.tick_size, rules.lot_size) == (listing.tick, listing.lot)
        if venue == "kraken":  # the only one whose fees are public
            assert rules.taker_fee_bps == listing.taker_bps


def moved(urls: dict, base: str) -> dict:
    """Every address of a client, on another host."""
    return {
        name: moved(url, base) if isinstance(url, dict) else base + urlsplit(url).path
        for name, url in urls.items()
        if isinstance(url, (dict, str))
    }


@PUBLIC
@pytest.mark.parametrize("has_keys", [False, True])
async def test_markets_load_in_an_unmodified_client(sim, venue, has_keys):
    server, _ = sim
    keys = server.description["credentials"][venue] if has_keys else {}
    exchange = getattr(ccxt.pro, load_feed(venue).ccxt_id)(keys)
    exchange.urls["api"] = moved(exchange.urls["api"], server.description["http"])
    try:
        assert SYMBOLS[venue] in await within(exchange.load_markets())
    finally:
        await exchange.close()


async def test_each_venue_is_served_below_its_name_too(sim, venue):
    """Venues that share a path, like ``/ws``, can be told apart there; signatures hold as well."""
    server, _ = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue, is_below_its_name=True) as exchange:
        book = await within(exchange.watch_order_book(symbol))
        assert book["bids"][0][0] < book["asks"][0][0]
        price = far_below(exchange, symbol, book)
        order = await within(exchange.create_order(symbol, "limit", "buy", 0.01, price))
        await within(exchange.cancel_order(order["id"], symbol))


@PUBLIC
async def test_watched_book_is_the_venues_book(sim, venue):
    server, control = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        same = 0
        # Where frames are numbered by their topic, look at a moment at which both are the same.
        is_numbered = server.sim.venues[venue].has_update_ids

        async def watch() -> None:
            while True:
                await exchange.watch_order_book(symbol)

        await within(exchange.watch_order_book(symbol))
        task = asyncio.create_task(watch())

        async def equal() -> bool:
            nonlocal same
            truth = (await control.get("books"))[venue][symbol]
            mine = exchange.orderbooks[symbol]
            if is_numbered and mine["nonce"] != truth["seq"]:
                return False
            depth = 10 if venue == "kraken" else 50
            bids = [list(map(float, row[:2])) for row in mine["bids"][:depth]]
            asks = [list(map(float, row[:2])) for row in mine["asks"][:depth]]
            if not is_numbered and (bids, asks) != (truth["bids"][:depth], truth["asks"][:depth]):
                return False
            assert bids == truth["bids"][:depth]
            assert asks == truth["asks"][:depth]
            same += 1
            return same >= 5

        try:
            await eventually(equal, what="five moments at which both books are the same")
        finally:
            task.cancel()


@PUBLIC
async def test_public_streams_and_answers(sim, venue):
    server, _ = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        trades = await within(exchange.watch_trades(symbol))
        assert trades[-1]["price"] > 0
        assert trades[-1]["side"] in {"buy", "sell"}
        if exchange.has["watchBidsAsks"]:
            quote = (await within(exchange.watch_bids_asks([symbol])))[symbol]
            assert quote["bid"] < quote["ask"]
        if exchange.has["watchTicker"]:
            ticker = await within(exchange.watch_ticker(symbol))
            assert ticker["last"] > 0
        book = await exchange.fetch_order_book(symbol, 20)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(book["bids"]) == 20 or "limit" not in exchange.last_request_url
        assert (await exchange.fetch_trades(symbol))[-1]["price"] > 0
        assert (await exchange.fetch_ticker(symbol))["bid"] > 0
        if exchange.has["fetchTime"]:
            assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 3_000


async def test_order_rests_is_found_by_client_id_and_canceled(sim, venue):
    server, _ = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        price = far_below(exchange, symbol, await exchange.fetch_order_book(symbol))
        before = await exchange.fetch_balance()
        placed = await exchange.create_order(
            symbol, "limit", "buy", 0.01, price, {"clientOrderId": "resting1"}
        )
        [found] = await exchange.fetch_open_orders(symbol)
        assert found["id"] == placed["id"]
        assert found["clientOrderId"].removeprefix("t-") == "resting1"  # Gate wants that before it
        assert (found["status"], found["filled"], found["price"]) == ("open", 0, price)
        during = await exchange.fetch_balance()
        assert during["USDT"]["free"] < before["USDT"]["free"]
        assert during["USDT"]["total"] == pytest.approx(before["USDT"]["total"])
        # ccxt's kraken looks up by txid only; its own endpoint takes the client's id.
        if venue == "kraken":
            answer = await exchange.privatePostOpenOrders({"cl_ord_id": "resting1"})
            assert list(answer["result"]["open"]) == [placed["id"]]
        elif venue == "bybit":
            by_client = {"orderLinkId": "resting1"}
            [same] = await exchange.fetch_open_orders(symbol, None, None, by_client)
            assert same["id"] == placed["id"]
        else:
            by_client = {"clientOrderId": "resting1"}
            assert (await exchange.fetch_order(None, symbol, by_client))["id"] == placed["id"]
        await exchange.cancel_order(placed["id"], symbol)
        assert await exchange.fetch_open_orders(symbol) == []
        assert (await exchange.fetch_order(placed["id"], symbol))["status"] == "canceled"
        assert (await exchange.fetch_balance())["USDT"]["free"] == before["USDT"]["free"]
        with pytest.raises((ccxt.OrderNotFound, ccxt.InvalidOrder)):
            await exchange.cancel_order(placed["id"], symbol)


async def test_immediate_order_fills_with_the_venues_fee(sim, venue):
    server, control = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        await exchange.load_markets()
        book = await exchange.fetch_order_book(symbol)
        price = float(exchange.price_to_precision(symbol, book["asks"][0][0] * 1.01))
        placed = await exchange.create_order(
            symbol, "limit", "buy", 0.02, price, {"timeInForce": "IOC", "clientOrderId": "ioc1"}
        )
        order = await exchange.fetch_order(placed["id"], symbol)
        assert (order["status"], order["filled"]) == ("closed", 0.02)
        trades = await exchange.fetch_my_trades(symbol)
        assert sum(Decimal(str(t["amount"])) for t in trades) == Decimal("0.02")
        asset = "BNB" if venue == "binance" else "USDT"
        bps = float(load_simulated(venue).LISTINGS[0].taker_bps)
        assert {t["fee"]["currency"] for t in trades} == {asset}
        if asset == "USDT":
            cost = sum(t["price"] * t["amount"] for t in trades)
            fees = sum(t["fee"]["cost"] for t in trades)
            assert fees == pytest.approx(cost * bps / 10_000, rel=1e-4)
        account = (await control.get("accounts"))[venue]
        assert sum(Decimal(f["qty"]) for f in account["fills"]) == Decimal("0.02")
        assert {f["client_order_id"] for f in account["fills"]} == {"ioc1"}
        if ":" in symbol:
            assert Decimal(account["positions"][symbol]) == Decimal("0.02")
            [position] = await exchange.fetch_positions([symbol])
            assert (position["contracts"], position["side"]) == (0.02, "long")
        else:
            assert Decimal(account["balances"]["BTC"]["free"]) == Decimal("100.02")


async def test_immediate_order_that_cannot_fill_leaves_nothing(sim, venue):
    server, control = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        price = far_below(exchange, symbol, await exchange.fetch_order_book(symbol))
        placed = await exchange.create_order(
            symbol, "limit", "buy", 0.01, price, {"timeInForce": "IOC"}
        )
        order = await exchange.fetch_order(placed["id"], symbol)
        assert order["status"] in {"expired", "canceled"}
        assert order["filled"] == 0
        account = (await control.get("accounts"))[venue]
        assert account["open_orders"] == account["fills"] == []
        assert all(Decimal(b["used"]) == 0 for b in account["balances"].values())


@pytest.mark.parametrize("venue", HAS_USER_STREAM)
async def test_user_stream_tells_orders_and_fills(sim, venue):
    server, _ = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        price = far_below(exchange, symbol, await exchange.fetch_order_book(symbol))
        # Kraken's cancels carry no symbol, so ccxt finds them only when none is asked for.
        where = () if venue == "kraken" else (symbol,)
        watching = asyncio.create_task(exchange.watch_orders(*where))
        hub = server.sim.venues[venue].hub
        await eventually(
            lambda: {"!user", LISTEN_KEY, "executions"} & set(hub.topics), what="subscription"
        )
        placed = await exchange.create_order(symbol, "limit", "buy", 0.01, price)
        updates = await within(watching)
        assert (updates[-1]["id"], updates[-1]["status"]) == (placed["id"], "open")
        watching = asyncio.create_task(exchange.watch_orders(*where))
        await exchange.cancel_order(placed["id"], symbol)
        updates = await within(watching)
        assert (updates[-1]["id"], updates[-1]["status"]) == (placed["id"], "canceled")
        watching = asyncio.create_task(exchange.watch_my_trades(symbol))
        await asyncio.sleep(0)  # the stream is open: only the waiter must exist before the fill
        placed = await exchange.create_order(symbol, "market", "sell", 0.01)
        fills = await within(watching)
        assert {fill["order"] for fill in fills} == {placed["id"]}


async def test_futures_user_stream_is_subscribed_by_a_frame_too(sim):
    """As Binance's own connectors do: the listen key is the name of a stream."""
    server, _ = sim
    async with client(server, "binanceusdm") as exchange, aiohttp.ClientSession() as session:
        key = (await exchange.fapiPrivatePostListenKey())["listenKey"]
        async with session.ws_connect(server.description["ws"] + "/private/ws") as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": [key], "id": 1})
            assert await within(socket.receive_json()) == {"result": None, "id": 1}
            await exchange.create_order("BTC/USDT:USDT", "market", "buy", 0.01)
            events = {(await within(socket.receive_json()))["e"] for _ in range(3)}
            assert events == {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"}


async def test_spot_user_stream_ends_without_a_signature(sim):
    server, _ = sim
    url = server.description["ws"] + "/ws-api/v3"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        answers = []
        for method in ("ping", "time", "userDataStream.unsubscribe", "order.status"):
            await socket.send_json({"id": method, "method": method})
            answers.append(await within(socket.receive_json()))
        assert [answer["status"] for answer in answers] == [200, 200, 200, 401]
        assert answers[1]["result"]["serverTime"] > 0


async def test_mark_price_and_funding(sim):
    server, _ = sim
    symbol = SYMBOLS["binanceusdm"]
    async with client(server, "binanceusdm") as exchange:
        ticker = await within(exchange.watch_mark_price(symbol))
        assert ticker["markPrice"] > 0
        funding = await exchange.fetch_funding_rate(symbol)
        assert funding["fundingRate"] == 0.0001
        assert funding["fundingTimestamp"] > exchange.milliseconds()


@pytest.mark.parametrize("venue", HAS_USER_STREAM)
async def test_websocket_order_entry(sim, venue):
    server, _ = sim
    symbol = SYMBOLS[venue]
    async with client(server, venue) as exchange:
        price = far_below(exchange, symbol, await exchange.fetch_order_book(symbol))
        placed = await within(exchange.create_order_ws(symbol, "limit", "buy", 0.01, price))
        [found] = await exchange.fetch_open_orders(symbol)
        assert found["id"] == placed["id"]
        where = () if venue == "kraken" else (symbol,)
        await within(exchange.cancel_order_ws(placed["id"], *where))
        assert await exchange.fetch_open_orders(symbol) == []


async def test_refusals_have_the_classes_ccxt_gives_to_the_real_ones(sim, venue):
    server, _ = sim
    symbol = SYMBOLS[venue]
    no_money = ccxt.ExchangeError if venue == "binanceusdm" else ccxt.InsufficientFunds
    async with client(server, venue) as exchange:
        book = await exchange.fetch_order_book(symbol)
        low, high = far_below(exchange, symbol, book), book["asks"][0][0]
        with pytest.raises(no_money):
            await exchange.create_order(symbol, "limit", "buy", 5_000, low)
        above = float(exchange.price_to_precision(symbol, high * 1.01))
        late = exchange.create_order(symbol, "limit", "buy", 0.01, above, {"postOnly": True})
        if venue == "bybit":  # accepted, and canceled at once
            placed = await exchange.fetch_order((await late)["id"], symbol)
            assert (placed["status"], placed["filled"]) == ("canceled", 0)
        else:
            with pytest.raises(ccxt.ExchangeError):
                await late
        with pytest.raises((ccxt.OrderNotFound, ccxt.InvalidOrder)):
            unknown = "OABCDE-ABCDE-ABCDEF" if venue == "kraken" else "12345"
            await exchange.fetch_order(unknown, symbol)
        request = {"clientOrderId": "double1"}
        await exchange.create_order(symbol, "limit", "buy", 0.01, low, request)
        with pytest.raises(ccxt.ExchangeError):
            await exchange.create_order(symbol, "limit", "buy", 0.01, low, request)
        assert len(await exchange.fetch_open_orders(symbol)) == 1


async def test_filters_of_binance(sim):
    server, _ = sim
    async with client(server, "binance") as exchange:
        await exchange.load_markets()
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        for bad, text in (
            ({"quantity": "0.01", "price": "50000.001"}, "PRICE_FILTER"),
            ({"quantity": "0.010000001", "price": "50000"}, "LOT_SIZE"),
            ({"quantity": "0.00001", "price": "50000"}, "NOTIONAL"),
        ):
            with pytest.raises((ccxt.InvalidOrder, ccxt.BadRequest), match=f"-1013.*{text}"):
                await exchange.privatePostOrder({**order, **bad})
        with pytest.raises(ccxt.BadRequest, match="-1102"):
            await exchange.privatePostOrder({**order, "quantity": "0.01"})
        with pytest.raises(ccxt.BadSymbol, match="-1121"):
            await exchange.publicGetDepth({"symbol": "NOPE"})


async def test_wrong_secret_is_refused(sim, venue):
    server, _ = sim
    wrong = "d3Jvbmc=" if venue == "kraken" else "wrong"
    async with client(server, venue, secret=wrong) as exchange:
        await exchange.load_markets()
        with pytest.raises(
            ccxt.ExchangeError, match=r"-1022|EAPI:Invalid signature|INVALID_SIGNATURE|10004"
        ):
            await exchange.fetch_balance()
    async with client(server, venue, apiKey="nobody") as exchange:
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()


async def test_late_and_repeated_requests_are_refused(sim):
    server, _ = sim
    async with client(server, "binance") as exchange:
        exchange.nonce = lambda: exchange.milliseconds() - 20_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
    async with client(server, "kraken") as exchange:
        await exchange.fetch_balance()
        exchange.incrementing_nonce = lambda: 1
        with pytest.raises(ccxt.InvalidNonce, match="EAPI:Invalid nonce"):
            await exchange.fetch_balance()


def test_synchronous_ccxt_in_another_process(simulator_process):
    described = simulator_process
    for venue in VENUES:  # those that take orders
        symbol = SYMBOLS[venue]
        setup = import_module(f"shared.venues.{venue}.ccxt_urls")
        options = {"options": dict(setup.OPTIONS), **described["credentials"][venue]}
        exchange = getattr(ccxt, load_feed(venue).ccxt_id)(options)
        setup.set_urls(exchange, described["http"])
        price = far_below(exchange, symbol, exchange.fetch_order_book(symbol))
        order = exchange.create_order(symbol, "limit", "buy", 0.01, price)
        assert [o["id"] for o in exchange.fetch_open_orders(symbol)] == [order["id"]]
        exchange.cancel_order(order["id"], symbol)
        exchange.session.close()


@pytest.fixture
def simulator_process():
    """The ready line of ``python -m services.venuesim``."""
    import json
    import subprocess
    import sys

    from tests.support import ROOT

    process = subprocess.Popen(
        [sys.executable, "-m", "services.venuesim", "--seed", "5", "--json", "--more-venues"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    try:
        yield json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


async def test_funding_of_perpetuals_settles_in_the_account():
    symbol = SYMBOLS["binanceusdm"]
    options = Options(seed=5, funding_interval_s=2, premium_bps=200.0)
    async with simulation(options) as (server, _), client(server, "binanceusdm") as exchange:
        await exchange.load_markets()
        running = await exchange.fetch_funding_rate(symbol)
        assert running["markPrice"] > 0 and running["indexPrice"] > 0
        assert running["fundingTimestamp"] % 2_000 == 0
        start = await exchange.fetch_funding_rate_history(symbol, limit=2)
        assert len(start) == 2
        assert start[1]["timestamp"] - start[0]["timestamp"] == 2_000
        await exchange.create_order(symbol, "market", "buy", 5)
        venue = server.sim.venues["binanceusdm"]
        await eventually(lambda: len(venue.funding.payments) >= 2, timeout_s=20)
        paid = await exchange.fetch_funding_history(symbol)
        assert len(paid) >= 2
        told = await exchange.fetch_funding_rate_history(symbol, limit=1_000)
        settled_at = {row["timestamp"]: row for row in told}
        for payment in paid:
            settled = settled_at[payment["timestamp"]]
            due = -5 * float(settled["info"]["markPrice"]) * settled["fundingRate"]
            assert payment["amount"] == pytest.approx(due, abs=1e-8)
            assert payment["code"] == "USDT"
        assert (await within(exchange.watch_mark_price(symbol)))["markPrice"] > 0
        assert venue.exchange.ledger.total("USDT") == 5_000_000, "what it paid, the house has"


async def test_usual_funding_is_every_eight_hours(sim):
    server, _ = sim
    symbol = SYMBOLS["binanceusdm"]
    async with client(server, "binanceusdm") as exchange:
        await exchange.load_markets()
        running = await exchange.fetch_funding_rate(symbol)
        assert running["fundingTimestamp"] % (8 * 3_600_000) == 0
        intervals = await exchange.fetch_funding_intervals([symbol])
        assert intervals[symbol]["interval"] == "8h"
        (last,) = await exchange.fetch_funding_rate_history(symbol, limit=1)
        assert last["fundingRate"] == 0.0001
        assert await exchange.fetch_funding_history(symbol) == []


async def test_a_market_that_stands_still_changes_by_orders_alone(sim):
    server, control = sim
    await control.post("market", {"moves": 0}, status=400)
    assert await control.post("market", {"moves": False}) == {"moves": False}
    before = (await control.get("state"))["ticks"]
    books = await control.get("books")
    await eventually(lambda: server.sim.control.ticks > before + 5)
    assert await control.get("books") == books
    async with client(server, "binance") as exchange:
        await exchange.create_order("BTC/USDT", "market", "sell", 0.01)
    after = await control.get("books")
    assert after["binance"]["BTC/USDT"]["bids"] != books["binance"]["BTC/USDT"]["bids"]
    assert after["binance"]["BTC/USDT"]["asks"] == books["binance"]["BTC/USDT"]["asks"]
    await control.post("market", {"moves": True})
    await eventually(lambda: server.sim.control.ticks > before + 20)
    assert await control.get("books") != after
