"""A light source of Binance and Kraken spot frames at a steady rate, for latency measurements.

It speaks just enough of both venues (lists of instruments, Binance's depth and combined streams,
Kraken's book with checksums) for the real ingestor to subscribe, join its snapshot and follow.
Frames are short real-shaped deltas, so that the source itself costs little. Every
``dislocation_ms`` a cheap ask stands in Binance's book for half that time, so that plans arise at a
known rate, each from an ordinary small delta.

    python -m tests.bench.frame_source --rate 1000      # prints {"port": ...} when ready
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time

import uvloop
from aiohttp import WSMsgType, web

from tests.kraken_frames import book_frame, subscribed

BASE = 60_000.0
LEVELS = 50
KRAKEN_LEVELS = 10
BARGAIN = 360.0

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00001", "maxQty": "900", "stepSize": "0.00001"},
    {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
]


def _exchange_info() -> dict[str, object]:
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "filters": FILTERS,
    }
    return {
        "timezone": "UTC",
        "serverTime": int(time.time() * 1e3),
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [symbol],
    }


def _asset_pairs() -> dict[str, object]:
    pair = {
        "altname": "XBTUSDT",
        "wsname": "XBT/USDT",
        "aclass_base": "currency",
        "base": "XXBT",
        "aclass_quote": "currency",
        "quote": "USDT",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.25]],
        "fees_maker": [[0, 0.16]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
    return {"error": [], "result": {"XBTUSDT": pair}}


def _assets() -> dict[str, object]:
    def asset(altname: str, decimals: int) -> dict[str, object]:
        return {
            "aclass": "currency",
            "altname": altname,
            "decimals": decimals,
            "display_decimals": 5,
            "status": "enabled",
        }

    return {"error": [], "result": {"XXBT": asset("XBT", 10), "USDT": asset("USDT", 8)}}


class Subscribers:
    """The sockets that asked for a book."""

    def __init__(self) -> None:
        self.sockets: set[web.WebSocketResponse] = set()

    async def broadcast(self, text: str) -> None:
        for socket in list(self.sockets):
            try:
                await socket.send_str(text)
            except (ConnectionError, RuntimeError):
                self.sockets.discard(socket)


class Binance(Subscribers):
    """Numbering and book: bids from ``bid`` down, asks from ``ask`` up."""

    def __init__(self, bid: float, ask: float) -> None:
        super().__init__()
        self.update_id = 1_000_000
        self.bid, self.ask = bid, ask
        self.qty = 1.0

    def snapshot(self) -> dict[str, object]:
        bids = [[f"{self.bid - i:.2f}", "5.0"] for i in range(LEVELS)]
        asks = [[f"{self.ask + i:.2f}", "5.0"] for i in range(LEVELS)]
        return {"lastUpdateId": self.update_id, "bids": bids, "asks": asks}

    def tick(self, bargain: tuple[float, float] | None = None) -> str:
        """A delta of eight levels at the top; ``bargain`` sets one more ask (price, quantity)."""
        self.qty = 1.0 + (self.qty * 7.3 % 3.0)
        bids = [[f"{self.bid - i:.2f}", f"{self.qty + i:.5f}"] for i in range(4)]
        asks = [[f"{self.ask + i:.2f}", f"{self.qty + i:.5f}"] for i in range(4)]
        if bargain is not None:
            asks.append([f"{bargain[0]:.2f}", f"{bargain[1]:.5f}"])
        first = self.update_id + 1
        self.update_id += 7
        data = {
            "e": "depthUpdate",
            "E": int(time.time() * 1e3),
            "s": "BTCUSDT",
            "U": first,
            "u": self.update_id,
            "b": bids,
            "a": asks,
        }
        return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":"))


class Kraken(Subscribers):
    """A book of ten levels a side; every delta changes eight, the checksum covers all."""

    def __init__(self, bid: float, ask: float) -> None:
        super().__init__()
        self.bids = [(f"{bid - i:.1f}", "5.00000000") for i in range(KRAKEN_LEVELS)]
        self.asks = [(f"{ask + i:.1f}", "5.00000000") for i in range(KRAKEN_LEVELS)]
        self.qty = 1.0

    def snapshot(self) -> str:
        whole = (self.bids, self.asks)
        return book_frame("snapshot", "BTC/USDT", whole, whole)

    def tick(self) -> str:
        self.qty = 1.0 + (self.qty * 7.3 % 3.0)
        for side in (self.bids, self.asks):
            side[:4] = [(side[i][0], f"{self.qty + i:.8f}") for i in range(4)]
        changed = (self.bids[:4], self.asks[:4])
        return book_frame("update", "BTC/USDT", changed, (self.bids, self.asks))


async def _binance_socket(request: web.Request, market: Binance) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, autoping=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            body = json.loads(message.data)
            await socket.send_str(json.dumps({"result": None, "id": body.get("id")}))
            if any("@depth" in name for name in body.get("params", [])):
                market.sockets.add(socket)
    market.sockets.discard(socket)
    return socket


async def _kraken_socket(request: web.Request, market: Kraken) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, autoping=True)
    await socket.prepare(request)
    status = {"system": "online", "api_version": "v2", "connection_id": 1, "version": "2.0.0"}
    hello = {"channel": "status", "type": "update", "data": [status]}
    await socket.send_str(json.dumps(hello))
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        body = json.loads(message.data)
        if body.get("method") == "ping":
            await socket.send_str(json.dumps({"method": "pong", "req_id": body.get("req_id", 0)}))
        elif body.get("method") == "subscribe" and body["params"].get("channel") == "book":
            await socket.send_str(subscribed("BTC/USDT", body["params"]["depth"]))
            await socket.send_str(market.snapshot())
            market.sockets.add(socket)
    market.sockets.discard(socket)
    return socket


async def _drive(binance: Binance, kraken: Kraken, rate: float, dislocation_ms: float) -> None:
    """Send ``rate`` frames per second in all, alternating; each dislocation moves Binance."""
    period = 1.0 / rate
    due, index, cheap = time.monotonic(), 0, False
    half = dislocation_ms / 2e3
    flip_at = due + 3.0
    while True:
        now = time.monotonic()
        if now < due:
            await asyncio.sleep(due - now)
            continue
        due += period
        index += 1
        if index % 2:
            bargain = None
            if now >= flip_at and dislocation_ms:
                cheap = not cheap
                flip_at = now + half
                bargain = (BASE - BARGAIN, 1.0 if cheap else 0.0)
            await binance.broadcast(binance.tick(bargain))
        else:
            await kraken.broadcast(kraken.tick())


async def serve(rate: float, dislocation_ms: float) -> None:
    # Binance's own spread is wide, so that a cheap ask between its sides crosses only Kraken.
    binance = Binance(BASE - 2 * BARGAIN, BASE + 1)
    kraken = Kraken(BASE, BASE + 1)

    def answer(make):
        async def handler(_: web.Request) -> web.Response:
            return web.json_response(make())

        return handler

    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", answer(_exchange_info))
    app.router.add_get("/dapi/v1/exchangeInfo", answer(lambda: {"symbols": [], "rateLimits": []}))
    app.router.add_get("/api/v3/depth", answer(binance.snapshot))
    app.router.add_get("/0/public/AssetPairs", answer(_asset_pairs))
    app.router.add_get("/0/public/Assets", answer(_assets))
    for path in ("/stream", "/ws"):
        app.router.add_get(path, lambda r: _binance_socket(r, binance))
    app.router.add_get("/v2", lambda r: _kraken_socket(r, kraken))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"port": port}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    drive = asyncio.create_task(_drive(binance, kraken, rate, dislocation_ms))
    await stop.wait()
    drive.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0, help="frames per second in all")
    parser.add_argument("--dislocation-ms", type=float, default=200.0)
    options = parser.parse_args()
    uvloop.run(serve(options.rate, options.dislocation_ms))
