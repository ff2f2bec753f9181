"""A light source of Binance spot and USDT-M frames at a steady rate, for latency measurements.

It speaks just enough of both venues (exchangeInfo, depth, combined streams) for the real ingestor
to subscribe, join its snapshot and follow. Frames are short real-shaped deltas, so that the source
itself costs little. Every ``dislocation_ms`` a cheap ask stands in the spot book for half that
time, so that plans arise at a known rate, each from an ordinary small delta.

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

SPOT, PERP = "spot", "perp"
BASE = 60_000.0
LEVELS = 50
BARGAIN = 360.0


def _filters(tick: str, lot: str, notional_key: str) -> list[dict[str, str]]:
    notional = (
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True}
        if notional_key == "minNotional"
        else {"filterType": "MIN_NOTIONAL", "notional": "50"}
    )
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000", "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "900", "stepSize": lot},
        notional,
    ]


def _exchange_info(market: str) -> dict[str, object]:
    symbol: dict[str, object] = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
    }
    if market == SPOT:
        symbol |= {
            "isSpotTradingAllowed": True,
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "filters": _filters("0.01000000", "0.00001000", "minNotional"),
        }
    else:
        symbol |= {
            "pair": "BTCUSDT",
            "contractType": "PERPETUAL",
            "marginAsset": "USDT",
            "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000,
            "pricePrecision": 2,
            "quantityPrecision": 3,
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            "filters": _filters("0.10", "0.001", "notional"),
        }
    return {
        "timezone": "UTC",
        "serverTime": int(time.time() * 1e3),
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [symbol],
        "assets": [],
    }


class Market:
    """One venue's numbering, subscribers and book: bids from ``bid`` down, asks from ``ask`` up."""

    def __init__(self, market: str, bid: float, ask: float) -> None:
        self.market = market
        self.update_id = 1_000_000
        self.streams: dict[web.WebSocketResponse, str] = {}
        self.bid, self.ask = bid, ask
        self.qty = 1.0

    def snapshot(self) -> dict[str, object]:
        clock = {"E": 1, "T": 1} if self.market == PERP else {}
        bids = [[f"{self.bid - i:.2f}", "5.0"] for i in range(LEVELS)]
        asks = [[f"{self.ask + i:.2f}", "5.0"] for i in range(LEVELS)]
        return {"lastUpdateId": self.update_id, **clock, "bids": bids, "asks": asks}

    def tick(self, bargain: tuple[float, float] | None = None) -> bytes:
        """A delta of eight levels at the top; ``bargain`` sets one more ask (price, quantity)."""
        self.qty = 1.0 + (self.qty * 7.3 % 3.0)
        bids = [[f"{self.bid - i:.2f}", f"{self.qty + i:.5f}"] for i in range(4)]
        asks = [[f"{self.ask + i:.2f}", f"{self.qty + i:.5f}"] for i in range(4)]
        if bargain is not None:
            asks.append([f"{bargain[0]:.2f}", f"{bargain[1]:.5f}"])
        first, previous = self.update_id + 1, self.update_id
        self.update_id += 7
        now_ms = int(time.time() * 1e3)
        data: dict[str, object] = {
            "e": "depthUpdate", "E": now_ms, "s": "BTCUSDT", "U": first, "u": self.update_id,
        }  # fmt: skip
        if self.market == PERP:
            data |= {"T": now_ms, "pu": previous}
        data |= {"b": bids, "a": asks}
        wrapped = {"stream": "btcusdt@depth@100ms", "data": data}
        return json.dumps(wrapped, separators=(",", ":")).encode()

    async def broadcast(self, frame: bytes) -> None:
        text = frame.decode()
        for socket in list(self.streams):
            try:
                await socket.send_str(text)
            except (ConnectionError, RuntimeError):
                self.streams.pop(socket, None)


async def _websocket(request: web.Request, market: Market | None) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, autoping=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        body = json.loads(message.data)
        await socket.send_str(json.dumps({"result": None, "id": body.get("id")}))
        if market and any("@depth" in p for p in body.get("params", [])):
            market.streams[socket] = "depth"
    if market:
        market.streams.pop(socket, None)
    return socket


async def _drive(spot: Market, perp: Market, rate: float, dislocation_ms: float) -> None:
    """Send ``rate`` frames per second in all, alternating; every dislocation cycle moves spot."""
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
        market = spot if index % 2 else perp
        if market is spot and now >= flip_at and dislocation_ms:
            cheap = not cheap
            flip_at = now + half
            await market.broadcast(market.tick((BASE - BARGAIN, 1.0 if cheap else 0.0)))
        else:
            await market.broadcast(market.tick())


async def serve(rate: float, dislocation_ms: float) -> None:
    # Spot's own spread is wide, so that a cheap ask between its sides crosses only the perpetual.
    spot = Market(SPOT, BASE - 2 * BARGAIN, BASE + 1)
    perp = Market(PERP, BASE, BASE + 1)

    def answer(make):  # type: ignore[no-untyped-def]
        async def handler(_: web.Request) -> web.Response:
            return web.json_response(make())

        return handler

    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", answer(lambda: _exchange_info(SPOT)))
    app.router.add_get("/fapi/v1/exchangeInfo", answer(lambda: _exchange_info(PERP)))
    app.router.add_get("/dapi/v1/exchangeInfo", answer(lambda: {"symbols": [], "rateLimits": []}))
    app.router.add_get("/api/v3/depth", answer(spot.snapshot))
    app.router.add_get("/fapi/v1/depth", answer(perp.snapshot))
    for path in ("/stream", "/ws"):
        app.router.add_get(path, lambda r: _websocket(r, spot))
        app.router.add_get("/public" + path, lambda r: _websocket(r, perp))
        app.router.add_get("/market" + path, lambda r: _websocket(r, None))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"port": port}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    drive = asyncio.create_task(_drive(spot, perp, rate, dislocation_ms))
    await stop.wait()
    drive.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0, help="frames per second in all")
    parser.add_argument("--dislocation-ms", type=float, default=200.0)
    options = parser.parse_args()
    uvloop.run(serve(options.rate, options.dislocation_ms))
