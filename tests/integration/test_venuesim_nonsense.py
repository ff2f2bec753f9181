"""Nonsense from a client is refused in the venue's words; nothing else is disturbed."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

import aiohttp
import pytest

from services.venuesim.app import Options
from tests.integration.venuesim_clients import client, simulation, within

NONSENSE = ["", "-1", "1e999999", "NaN", "0x10", "9" * 60, "\x00", "é", "[]", "null"]
SOCKETS = ["/stream", "/ws", "/ws-api/v3", "/ws-fapi/v1", "/public/ws", "/private/ws"]
SOCKETS += ["/v2", "/auth/v2"]
FRAMES = [
    "",
    "hello",
    "[]",
    "5",
    "{}",
    '{"method":5}',
    '{"method":"SUBSCRIBE","params":5,"id":1}',
    '{"method":"SUBSCRIBE","params":[5],"id":1}',
    '{"method":"SET_PROPERTY","params":"x"}',
    '{"method":"subscribe","params":5}',
    '{"method":"subscribe","params":{"channel":"book","symbol":5}}',
    '{"method":"subscribe","params":{"channel":"book","symbol":["NO/PE"]}}',
    '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USDT"],"depth":[7]}}',
    '{"method":"add_order","params":{"token":"simulated-websocket-token","order_qty":"x"}}',
    '{"method":"batch_add","params":{"token":"simulated-websocket-token","orders":[1,2]}}',
    '{"id":1,"method":"order.place","params":[]}',
    '{"id":1,"method":"order.place","params":{"timestamp":"yesterday"}}',
    '{"id":1,"method":"depth","params":{"symbol":{"a":1}}}',
]


@pytest.fixture
async def sim():
    async with simulation(Options(seed=2)) as running:
        yield running


@pytest.mark.parametrize("path", SOCKETS)
async def test_nonsense_on_a_socket_is_answered_or_ends_only_that_socket(sim, path):
    server, _ = sim
    url = server.description["ws"] + path
    async with aiohttp.ClientSession() as session:
        for frame in FRAMES:
            async with session.ws_connect(url) as socket:
                await socket.send_str(frame)
                await socket.send_str('{"method":"ping","id":7,"req_id":7}')
                answers = [json.loads(await within(socket.receive_str()))]
                while "7" not in json.dumps([answers[-1].get("id"), answers[-1].get("req_id")]):
                    answers.append(json.loads(await within(socket.receive_str())))
        async with session.get(server.description["control"] + "/state") as response:
            assert response.status == 200


@pytest.mark.parametrize("venue", ["binance", "binanceusdm"])
async def test_nonsense_in_a_signed_request_is_a_client_error(sim, venue):
    server, control = sim
    keys = server.description["credentials"][venue]
    prefix = "/api/v3/" if venue == "binance" else "/fapi/v1/"
    trades = "myTrades" if venue == "binance" else "userTrades"
    good = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01",
        "price": "30000",
    }
    requests = [("POST", "order", {**good, name: bad}) for name in good for bad in NONSENSE]
    requests += [("POST", "order", {**good, "newClientOrderId": "x" * 40})]
    requests += [
        (method, path, {"symbol": "BTCUSDT", name: bad})
        for bad in NONSENSE[1:]
        for method, path, name in (
            ("GET", "order", "orderId"),
            ("DELETE", "order", "orderId"),
            ("GET", trades, "fromId"),
            ("GET", "allOrders", "limit"),
        )
    ]
    async with aiohttp.ClientSession() as session:
        for method, path, parameters in requests:
            query = urlencode({**parameters, "timestamp": int(time.time() * 1000)})
            signature = hmac.new(keys["secret"].encode(), query.encode(), hashlib.sha256)
            url = f"{server.description['http']}{prefix}{path}"
            async with session.request(
                method,
                f"{url}?{query}&signature={signature.hexdigest()}",
                headers={"X-MBX-APIKEY": keys["apiKey"]},
            ) as response:
                body = await response.json()
                assert 400 <= response.status < 500, (parameters, body)
                assert body["code"] < 0
    account = (await control.get("accounts"))[venue]
    assert account["orders"] == []


async def test_nonsense_to_kraken_is_an_error_in_the_list(sim):
    server, control = sim
    good = {
        "pair": "XBTUSDT",
        "type": "buy",
        "ordertype": "limit",
        "volume": "0.01",
        "price": "30000",
    }
    async with client(server, "kraken") as exchange:
        for name in good:
            for bad in NONSENSE:
                with pytest.raises(Exception, match=r'"error":\["E'):
                    await exchange.privatePostAddOrder({**good, name: bad})
        for bad in NONSENSE[1:]:
            with pytest.raises(Exception, match=r'"error":\["E'):
                await exchange.privatePostQueryOrders({"txid": bad})
    assert (await control.get("accounts"))["kraken"]["orders"] == []
