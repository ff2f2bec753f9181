"""Requests of any JSON type on any socket are answered in the venue's words."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from services.venuesim import config
from services.venuesim.app import Options
from tests.integration.venuesim_clients import simulation, within

STREAMS = ("/stream", "/ws", "/public/ws", "/private/ws")
APIS = ("/ws-api/v3", "/ws-fapi/v1")
KRAKEN = ("/v2", "/auth/v2")
VALUES: list[Any] = [
    None,
    True,
    5,
    -1,
    1.5,
    10.0,
    10**30,
    "",
    "x",
    "\u00b2",
    "\u00e9" * 200,
    [],
    [[]],
    [{}],
    {},
    {"a": {"b": [1]}},
    [5],
    ["x", "y", "z"],
]
TOKEN = "simulated-websocket-token"
METHODS = {
    **dict.fromkeys(STREAMS, ("SUBSCRIBE", "UNSUBSCRIBE", "SET_PROPERTY", "GET_PROPERTY", "?")),
    **dict.fromkeys(APIS, ("depth", "order.place", "order.cancel", "userDataStream.stop", "?")),
    "/v2": ("subscribe", "unsubscribe", "?"),
    "/auth/v2": (
        "subscribe",
        "add_order",
        "cancel_order",
        "cancel_all",
        "cancel_all_orders_after",
        "batch_cancel",
        "batch_add",
        "?",
    ),
}
FIELDS = {
    "/v2": ("channel", "symbol", "depth", "event_trigger", "snapshot"),
    "/auth/v2": (
        "channel",
        "symbol",
        "side",
        "order_type",
        "order_qty",
        "limit_price",
        "cl_ord_id",
        "order_userref",
        "time_in_force",
        "order_id",
        "timeout",
        "orders",
        "snap_orders",
        "token",
    ),
    **dict.fromkeys(APIS, ("symbol", "limit", "apiKey", "signature", "timestamp", "recvWindow")),
}
GOOD = {
    "/v2": {"channel": "book", "symbol": ["BTC/USDT"]},
    "/auth/v2": {
        "channel": "executions",
        "token": TOKEN,
        "symbol": "BTC/USDT",
        "side": "buy",
        "order_type": "limit",
        "order_qty": 0.001,
        "limit_price": 100,
        "order_id": ["x"],
        "orders": ["x"],
    },
}


def requests(path: str) -> list[dict[str, Any]]:
    """Return requests with each part replaced by each value."""
    rows: list[dict[str, Any]] = [{"method": value} for value in VALUES]
    rows.append({})
    for method in METHODS[path]:
        rows += [{"method": method}]
        rows += [{"method": method, "params": value} for value in VALUES]
        good = GOOD.get(path, {})
        rows += [
            {"method": method, "params": {**good, name: value}}
            for name in FIELDS.get(path, ())
            for value in VALUES
        ]
    return rows


@pytest.fixture
async def sim():
    async with simulation(Options(seed=2)) as running:
        yield running


async def ask(session: aiohttp.ClientSession, url: str, sent: str | bytes) -> dict[str, Any]:
    """Send a frame on a connection of its own; return the first answer that is no push."""
    async with session.ws_connect(url) as socket:
        if isinstance(sent, bytes):
            await socket.send_bytes(sent)
        else:
            await socket.send_str(sent)
        while True:
            answer = json.loads(await within(socket.receive_str()))
            if "channel" not in answer and "e" not in answer and "stream" not in answer:
                return dict(answer)


@pytest.mark.parametrize("path", [*STREAMS, *APIS, *KRAKEN])
async def test_any_type_is_answered_under_its_id(sim, path, caplog):
    server, _ = sim
    name = "req_id" if path in KRAKEN else "id"
    async with aiohttp.ClientSession() as session:
        for number, request in enumerate(requests(path), 1):
            text = json.dumps({**request, name: number})
            answer = await ask(session, server.description["ws"] + path, text)
            assert answer.get(name) == number, (request, answer)
            if path in KRAKEN and "method" in request and request["method"] == "?":
                assert answer["success"] is False
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("path", [*STREAMS, *APIS, *KRAKEN])
async def test_what_is_no_request_is_refused(sim, path, caplog):
    server, _ = sim
    nested = "[" * 100_000 + "]" * 100_000
    bad = ["", "hello", "5", "null", "[]", nested, '{"id":', b"\xff\x00", b"[1]"]
    async with aiohttp.ClientSession() as session:
        for frame in bad:
            answer = await ask(session, server.description["ws"] + path, frame)
            if path in KRAKEN:
                assert answer["success"] is False
                assert answer["error"]
            elif path in APIS:
                assert (answer["status"], answer["error"]["code"]) == (400, -1135)
            else:
                assert answer["code"] == 3
                assert answer["msg"].startswith("Invalid JSON")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("path", [*STREAMS, *APIS, *KRAKEN])
async def test_ids_that_the_venue_does_not_take(sim, path):
    server, _ = sim
    name, url = ("req_id" if path in KRAKEN else "id"), server.description["ws"] + path
    async with aiohttp.ClientSession() as session:
        for value in (1.5, True, [], {}, {"a": 1}, 10**30, "x" * 37):
            answer = await ask(session, url, json.dumps({"method": "ping", name: value}))
            if path in KRAKEN:
                assert answer == {"error": "Malformed request: req_id", "success": False}
            elif path in APIS:
                assert answer["error"]["code"] == -1135
            else:
                assert answer["code"] == 2
                assert answer["msg"].startswith("Invalid request: request ID")


@pytest.mark.parametrize("path", ["/ws", "/ws-api/v3", "/v2"])
async def test_a_huge_frame_ends_the_connection_with_its_reason(sim, path):
    server, _ = sim
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.description["ws"] + path) as socket,
    ):
        await socket.send_str("x" * (config.REQUEST_BYTES_MAX + 1))
        while (message := await within(socket.receive())).type is WSMsgType.TEXT:
            pass
        assert message.data == WSCloseCode.MESSAGE_TOO_BIG
