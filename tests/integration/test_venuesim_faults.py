"""Injected faults as a client on the wire sees them."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from itertools import pairwise
from zlib import crc32

import aiohttp
import ccxt
import pytest

from services.venuesim.app import Options
from tests.integration.venuesim_clients import SYMBOLS, VENUES, client, simulation, within
from tests.support import eventually

STREAMS = {
    "binance": ("/stream?streams=btcusdt@depth@100ms", "BTC/USDT"),
    "binanceusdm": ("/public/stream?streams=btcusdt@depth@100ms", "BTC/USDT:USDT"),
}


@pytest.fixture
async def sim():
    async with simulation(Options(seed=9, rate=3.0, more_venues=True)) as running:
        yield running


@pytest.fixture(params=VENUES)
def venue(request) -> str:
    return request.param


class Wire:
    """Depth events of one Binance market as they arrive."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def event(self) -> dict:
        return json.loads(await within(self._socket.receive_str()))["data"]

    async def events(self, count: int) -> list[dict]:
        return [await self.event() for _ in range(count)]


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


def breaks(venue: str, events: list[dict]) -> int:
    """How often an event does not continue the one before."""
    if venue == "binance":
        return sum(b["U"] != a["u"] + 1 for a, b in pairwise(events))
    return sum(b["pu"] != a["u"] for a, b in pairwise(events))


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("kind", ["drop", "duplicate", "reorder", "delay"])
async def test_fault_of_a_delta_breaks_continuity_once_and_no_more(sim, session, name, kind):
    server, control = sim
    path, instrument = STREAMS[name]
    async with session.ws_connect(server.description["ws"] + path) as socket:
        wire = Wire(socket)
        before = await wire.events(4)
        assert breaks(name, before) == 0, "without a fault nothing is missing"
        parameters = {"ms": 150} if kind == "delay" else {}
        await control.fault(kind, name, instrument=instrument, **parameters)
        events = before[-1:] + await wire.events(12)
        ids = [event["u"] for event in events]
        if kind == "drop":
            assert breaks(name, events) == 1
        elif kind == "duplicate":
            assert len(ids) - len(set(ids)) == 1
        else:
            assert breaks(name, events) > 1
            assert breaks(name, sorted(events, key=lambda e: e["u"])) == 0, "late, not lost"
        assert breaks(name, await wire.events(4)) == 0
    state = await control.get("state")
    assert state["faults"] == {"happened": {kind: 1}, "waiting": []}


async def test_wrong_checksum_is_sent_once(sim, session):
    server, control = sim
    async with session.ws_connect(server.description["ws"] + "/v2") as socket:
        params = {"channel": "book", "symbol": ["BTC/USDT"], "depth": 10}
        await socket.send_json({"method": "subscribe", "params": params})
        sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
        verdicts: list[bool] = []
        while len(verdicts) < 20:
            message = json.loads(await within(socket.receive_str()), parse_float=Decimal)
            if message.get("channel") != "book":
                continue
            data = message["data"][0]
            for name, reverse in (("bids", True), ("asks", False)):
                for row in data[name]:
                    sides[name][row["price"]] = row["qty"]
                kept = sorted((p for p, q in sides[name].items() if q), reverse=reverse)[:10]
                sides[name] = {price: sides[name][price] for price in kept}
            text = "".join(
                format(number, "f").replace(".", "").lstrip("0")
                for name in ("asks", "bids")
                for row in sides[name].items()
                for number in row
            )
            verdicts.append(crc32(text.encode()) == data["checksum"])
            if len(verdicts) == 5:
                assert all(verdicts)
                await control.fault("checksum", "kraken", instrument="BTC/USDT")
    assert verdicts.count(False) == 1


async def test_stalled_connection_is_open_and_silent(sim, session):
    server, control = sim
    async with session.ws_connect(server.description["ws"] + STREAMS["binance"][0]) as socket:
        wire = Wire(socket)
        await wire.events(2)
        await control.fault("stall", "binance", ms=600)
        with pytest.raises(asyncio.TimeoutError):
            while True:
                await asyncio.wait_for(wire.event(), 0.4)
        assert not socket.closed
        await wire.event()


async def test_disconnect_ends_the_connection_and_a_client_comes_back(sim):
    server, control = sim
    async with client(server, "binance") as exchange:
        await within(exchange.watch_order_book("BTC/USDT"))
        answer = await control.fault("disconnect", "binance")
        assert answer["connections"] == 1
        with pytest.raises(ccxt.NetworkError):
            while True:
                await within(exchange.watch_order_book("BTC/USDT"))
        book = await within(exchange.watch_order_book("BTC/USDT"))
        assert book["bids"]


def fair_order(book) -> tuple[str, str, float, float]:
    return "limit", "buy", 0.02, book["asks"][0][0] * 1.01


async def fills_of(control, venue: str) -> Decimal:
    account = (await control.get("accounts"))[venue]
    return sum((Decimal(fill["qty"]) for fill in account["fills"]), Decimal(0))


async def order_at_market(exchange, symbol: str, client_id: str = "faulty1"):
    return await exchange.create_order(*await terms_at_market(exchange, symbol, client_id))


async def terms_at_market(exchange, symbol: str, client_id: str = "faulty1") -> tuple:
    book = await exchange.fetch_order_book(symbol)
    kind, side, qty, price = fair_order(book)
    price = float(exchange.price_to_precision(symbol, price))
    extra = {"timeInForce": "IOC", "clientOrderId": client_id}
    return symbol, kind, side, qty, price, extra


async def test_rejected_order_did_nothing(sim, venue):
    server, control = sim
    async with client(server, venue) as exchange:
        await control.fault("reject", venue)
        with pytest.raises(ccxt.ExchangeError):
            await order_at_market(exchange, SYMBOLS[venue])
        assert await fills_of(control, venue) == 0
        await order_at_market(exchange, SYMBOLS[venue])
        assert await fills_of(control, venue) == Decimal("0.02")


@pytest.mark.parametrize("how", ["close", "timeout"])
async def test_lost_answer_hides_an_order_that_was_executed(sim, venue, how):
    server, control = sim
    async with client(server, venue) as exchange:
        await control.fault("lose_answer", venue, how=how)
        with pytest.raises((ccxt.OperationFailed, ccxt.ExchangeError)):
            await order_at_market(exchange, SYMBOLS[venue])
        assert await fills_of(control, venue) == Decimal("0.02")
        account = (await control.get("accounts"))[venue]
        assert [order["client_order_id"] for order in account["orders"]] == ["faulty1"]


@pytest.mark.parametrize("executed", [True, False])
async def test_server_error_may_or_may_not_have_executed(sim, venue, executed):
    server, control = sim
    async with client(server, venue) as exchange:
        terms = await terms_at_market(exchange, SYMBOLS[venue])
        await control.fault("http_5xx", venue, status=502, executed=executed)
        with pytest.raises((ccxt.OperationFailed, ccxt.ExchangeError)):
            await exchange.create_order(*terms)
        assert await fills_of(control, venue) == (Decimal("0.02") if executed else 0)


async def test_partial_fill_ends_the_order_early(sim, venue):
    server, control = sim
    async with client(server, venue) as exchange:
        await control.fault("partial_fill", venue, fraction=0.25)
        placed = await order_at_market(exchange, SYMBOLS[venue])
        order = await exchange.fetch_order(placed["id"], SYMBOLS[venue])
        assert order["filled"] == 0.005
        assert order["status"] in {"canceled", "expired"}
        assert await fills_of(control, venue) == Decimal("0.005")


async def test_rate_limit_answers_and_bans(sim, venue):
    server, control = sim
    async with client(server, venue) as exchange:
        await exchange.load_markets()
        for kind in ("http_429", "ban"):
            await control.fault(kind, venue, retry_after_s=7)
            with pytest.raises((ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
                await exchange.fetch_order_book(SYMBOLS[venue])
            told = exchange.last_response_headers
            if venue != "bybit":
                assert told["Retry-After"] == "7"
            elif kind == "http_429":
                assert int(told["X-Bapi-Limit-Reset-Timestamp"]) > exchange.milliseconds()
        await exchange.fetch_order_book(SYMBOLS[venue])


async def test_request_weight_is_counted_and_limited(sim, session):
    server, _ = sim
    url = server.description["http"] + "/api/v3/depth?symbol=BTCUSDT&limit=5000"
    statuses = []
    for _ in range(25):
        async with session.get(url) as response:
            statuses.append(response.status)
            used = int(response.headers["X-MBX-USED-WEIGHT-1M"])
            if response.status == 429:
                assert 1 <= int(response.headers["Retry-After"]) <= 60
                assert (await response.json())["code"] == -1003
    assert used == 25 * 250 or 429 not in statuses, "a new minute began"
    assert statuses[0] == 200
    if used == 25 * 250:
        assert statuses[-1] == 429


async def test_clock_skew_makes_the_venue_refuse_our_time(sim):
    server, control = sim
    async with client(server, "binance") as exchange:
        await exchange.fetch_balance()
        await control.fault("clock_skew", "binance", ms=30_000)
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
        assert await exchange.fetch_time() > exchange.milliseconds() + 25_000
        await control.fault("clock_skew", "binance", ms=-30_000)
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
        await control.fault("clock_skew", "binance", ms=0)
        await exchange.fetch_balance()


async def test_bad_fault_is_answered_with_what_would_be_right(sim):
    _, control = sim
    answer = await control.post("fault", {"kind": "drop", "venue": "mtgox"}, status=400)
    assert "one of binance, binanceusdm, kraken" in answer["error"]


async def test_stream_on_the_wrong_entry_point_is_acknowledged_and_silent(sim, session):
    server, _ = sim
    async with session.ws_connect(server.description["ws"] + "/market/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@depth@0ms"], "id": 4})
        assert json.loads(await within(socket.receive_str())) == {"result": None, "id": 4}
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(socket.receive_str(), 0.5)


async def test_client_that_does_not_read_is_cut_off_and_the_others_do_not_notice(
    sim, session, monkeypatch
):
    server, control = sim
    monkeypatch.setattr("shared.simulated.config.CLIENT_QUEUE_MAX", 20)
    url = server.description["ws"]
    names = ["btcusdt", "ethusdt", "solusdt", "bnbusdt"]
    streams = "/".join(f"{name}@{kind}" for name in names for kind in ("depth@100ms", "bookTicker"))
    hub = server.sim.venues["binance"].hub
    async with session.ws_connect(url + STREAMS["binance"][0]) as reading:
        wire = Wire(reading)
        async with session.ws_connect(f"{url}/stream?streams={streams}"):
            [slow] = [c for c in hub.clients if "bookTicker" in c.query["streams"]]
            # Nothing can be written, as with a full TCP window.
            monkeypatch.setattr(slow, "next_frame", lambda: None)
            await eventually(lambda: hub.counters["slow_clients"] == 1)
        assert breaks("binance", await wire.events(5)) == 0
    assert (await control.get("state"))["venues"]["binance"]["slow_clients"] == 1
