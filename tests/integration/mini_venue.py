"""A scripted Binance spot over real sockets: every frame and answer is what the test says."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web


class MiniVenue:
    """One instrument, BTC/USDT. ``seq`` is the venue's last update id."""

    def __init__(self) -> None:
        self.seq = 1000
        self.bids: dict[float, float] = {99.0: 1.0, 98.0: 2.0}
        self.asks: dict[float, float] = {101.0: 1.0, 102.0: 2.0}
        self.sockets: list[web.WebSocketResponse] = []
        self.connects = 0
        self.snapshots = 0
        self.refuse: list[web.Response] = []
        self.acknowledge = True
        self.may_answer = asyncio.Event()
        """Requests for a snapshot wait for it."""
        self.may_answer.set()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> MiniVenue:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/depth", self._depth)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connects += 1
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT and self.acknowledge:
                await socket.send_json({"result": None, "id": json.loads(message.data)["id"]})
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    async def _depth(self, request: web.Request) -> web.Response:
        self.snapshots += 1
        await self.may_answer.wait()
        if self.refuse:
            return self.refuse.pop(0)
        if request.query["symbol"] != "BTCUSDT":
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        limit = int(request.query["limit"])
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        return web.json_response(
            {
                "lastUpdateId": self.seq,
                "bids": [[str(p), str(q)] for p, q in bids[:limit]],
                "asks": [[str(p), str(q)] for p, q in asks[:limit]],
            }
        )

    def change(self, bids=(), asks=()) -> str:
        """Change the book and return the frame that says so."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, qty in levels:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        self.seq += 1
        data = {
            "e": "depthUpdate",
            "E": 1_700_000_000_000,
            "s": "BTCUSDT",
            "U": self.seq,
            "u": self.seq,
            "b": [[str(p), str(q)] for p, q in bids],
            "a": [[str(p), str(q)] for p, q in asks],
        }
        stream = {"stream": "btcusdt@depth@100ms", "data": data}
        return json.dumps(stream, separators=(",", ":"))

    async def send(self, *frames: str) -> None:
        for socket in list(self.sockets):
            for frame in frames:
                await socket.send_str(frame)

    async def disconnect(self) -> None:
        for socket in list(self.sockets):
            await socket.close()
