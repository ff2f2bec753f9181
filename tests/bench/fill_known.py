"""When a fill is known: what the venue pushes, beside the answer and the queries that follow it.

    python -m tests.bench.fill_known [--json] [--orders N]

IOC orders through the executor's gateways at simulated venues on loopback. For every order both are
timed from the moment it is handed to its gateway: the last fill as the stream tells it, and as REST
does (the answer; where that tells no fills, queries without a pause).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

from services.venuesim.app import Options, serve
from shared.accounts.account_stream import AccountSource
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest, StreamNews, StreamState
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.config import Secret
from shared.messages.base import Side
from shared.messages.terms import OrderTerms
from shared.venues.registry import (
    ADAPTERS,
    load_account_feed,
    load_ccxt_setup,
    load_feed,
    load_simulated,
)

D = Decimal
QTY = D("0.01")
PAUSE_S = {"kraken": 2.5}
"""Between two orders: two queries each of a counter that falls by 0.9 a second."""


def gateway_of(description: dict[str, Any], venue: str) -> CcxtGateway:
    setup, feed = load_ccxt_setup(venue), load_account_feed(venue)
    assert feed is not None
    keys, place = description["credentials"][venue], description["venues"][venue]
    key, secret = Secret(keys["apiKey"]), Secret(keys["secret"])
    client = make_client(load_feed(venue).ccxt_id, setup.OPTIONS, key, secret, 5_000)
    setup.set_urls(client, place["http"])
    source = AccountSource(feed, place["ws"], load_feed(venue).to_symbol)
    return CcxtGateway(venue, client, load_quirks(venue), SystemClock(), account=source)


async def by_rest(gateway: CcxtGateway, request: OrderRequest) -> None:
    """Place an order and ask until its fills are known."""
    report: OrderReport | None = await gateway.submit(request)
    while report is None or sum(fill.qty for fill in report.fills) < QTY:
        key = OrderKey(
            venue=gateway.venue,
            instrument=request.terms.instrument,
            client_order_id=request.client_order_id,
            venue_order_id="" if report is None else report.venue_order_id,
        )
        report = await gateway.query(key)


async def measure(description: dict[str, Any], venue: str, orders: int) -> dict[str, Any]:
    gateway, filled, up = gateway_of(description, venue), dict[str, Decimal](), asyncio.Event()
    pushed_ns: dict[str, int] = {}

    def take(news: StreamNews) -> None:
        if isinstance(news, StreamState):
            up.set()
            return
        name = news.client_order_id
        filled[name] = filled.get(name, D(0)) + sum((fill.qty for fill in news.fills), D(0))
        if filled[name] >= QTY:
            pushed_ns.setdefault(name, time.perf_counter_ns())

    symbol = load_simulated(venue).LISTINGS[0].instrument
    await gateway.start()
    following = asyncio.create_task(gateway.follow([symbol], take))
    times: dict[str, list[float]] = {"stream": [], "rest": []}
    try:
        await up.wait()
        for number in range(orders):
            book = await gateway._client.fetch_order_book(symbol, 5)
            price = (D(str(book["asks"][0][0])) * D("1.01")).quantize(D(1))
            terms = OrderTerms(
                venue=venue, instrument=symbol, side=Side.BUY, qty=QTY, price_limit=price
            )
            request = OrderRequest(client_order_id=f"abbench{number:06d}000", terms=terms)
            begun_ns = time.perf_counter_ns()
            await by_rest(gateway, request)
            times["rest"].append((time.perf_counter_ns() - begun_ns) / 1e6)
            while request.client_order_id not in pushed_ns:
                await asyncio.sleep(0.01)
            times["stream"].append((pushed_ns[request.client_order_id] - begun_ns) / 1e6)
            await asyncio.sleep(PAUSE_S.get(venue, 0.05))
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await gateway.close()
    return {how: {"p50": at(found, 0.5), "p99": at(found, 0.99)} for how, found in times.items()}


def at(found: list[float], share: float) -> float:
    ordered = sorted(found)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


async def run(orders: int) -> dict[str, Any]:
    result: dict[str, Any] = {"unit": "ms", "orders": orders}
    async with serve(Options(seed=5)) as server:
        for venue in ADAPTERS:
            if load_account_feed(venue) is not None:
                result[venue] = await measure(server.description, venue, orders)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--orders", type=int, default=40)
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(run(chosen.orders))))


if __name__ == "__main__":
    main()
