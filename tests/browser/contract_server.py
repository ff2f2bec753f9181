"""A small server of the dashboard's contract: it shows the page any state, also ones hard to reach.

It serves the page's own files, signs in two fixed tokens and sends what a test puts into ``topics``
as the live channel does: a snapshot, then changes, one unacknowledged frame per client.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from shared.clock import SystemClock
from tests.ports import free_ports
from tests.support import ROOT

STATIC = ROOT / "services" / "dashboard" / "static"
TOKENS = {"viewer-token": "viewer", "operator-token": "operator"}
COOKIE = "arb_session"
TICK_S = 0.1
SILENCE_S = 1.0
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".css": "text/css"}
AGES_MS = {
    "overview": 3_000,
    "books": 2_000,
    "spreads": 3_000,
    "positions": 3_000,
    "pnl": 3_000,
    "funding": 120_000,
    "health": 5_000,
    "charts": 3_000,
}

Topics = dict[str, dict[str, Any]]


def now_ms() -> int:
    return SystemClock.now_ns() // 1_000_000


class ContractServer:
    """Runs in a thread of its own; ``topics`` may be changed at any time."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.port = free_ports(1)[0]
        self.commands: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"outcome": "confirmed", "state": "HALTED", "text": ""}
        self.is_token_fresh = True
        self.has_websocket = True
        self.is_mute = False
        self.charts: dict[str, list[float | None]] = {}
        self.cut: Counter[str] = Counter()
        """How often the connection of a request "METHOD path" is cut before anything is done."""
        self.cut_after: Counter[str] = Counter()
        """The same, when all is done and only the answer is lost."""
        self.is_over = False
        """Who has no session is told that it is over."""
        self._given: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._do(self._start())

    def kill(self) -> None:
        """Close the port and every connection, as a process that dies does."""
        self._do(self._stop())

    def close(self) -> None:
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        app = web.Application(middlewares=[_with_csp, self._cut])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/static/{path:.+}", self._file),
                web.get("/healthz", _healthz),
                web.post("/api/v1/session", self._sign_in),
                web.delete("/api/v1/session", self._sign_out),
                web.get("/api/v1/me", self._me),
                web.get("/api/v1/snapshot", self._snapshot),
                web.get("/api/v1/series", self._series),
                web.get("/api/v1/chart", self._chart),
                web.post("/api/v1/command", self._command),
                web.get("/api/v1/command", self._given_before),
                web.get("/api/v1/live", self._live),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=(STATIC / "index.html").read_text(), content_type="text/html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = (STATIC / request.match_info["path"]).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path, headers=_type_of(path))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        role = TOKENS.get((await request.json()).get("token"))
        if request.headers.get("X-Arb") != "1" or role is None:
            return web.json_response({"error": "unknown token"}, status=401)
        answer = web.Response(status=204)
        answer.set_cookie(COOKIE, role, httponly=True, samesite="Strict", path="/")
        return answer

    async def _sign_out(self, _: web.Request) -> web.StreamResponse:
        answer = web.Response(status=204)
        answer.del_cookie(COOKIE)
        return answer

    async def _me(self, request: web.Request) -> web.StreamResponse:
        if not (role := request.cookies.get(COOKIE)):
            over = "the session is over: older than 12 hours; sign in again"
            return web.json_response({"error": over if self.is_over else "sign in"}, status=401)
        me = {"role": role, "version": "0.1.0", "mode": "paper"}
        return web.json_response({**me, "is_token_fresh": self.is_token_fresh})

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.getall("topic", []) if name in self.topics]
        frame = {"type": "frame", "n": 0, "now_ms": now_ms()}
        topics = {name: {"is_snapshot": True, **self.topics[name]} for name in names}
        hello = self._hello(request.cookies.get(COOKIE, ""))
        return web.json_response({**frame, "topics": topics, "hello": hello})

    async def _series(self, _: web.Request) -> web.StreamResponse:
        found = [{"id": name, "unit": "", "is_long": True} for name in self.charts]
        return web.json_response({"series": found})

    async def _chart(self, request: web.Request) -> web.StreamResponse:
        name, step_ms = request.query["series"], int(request.query["step_s"]) * 1_000
        values = self.charts[name]
        start = now_ms() // step_ms * step_ms - (len(values) - 1) * step_ms
        answer = {"series": name, "unit": "", "step_ms": step_ms, "t0_ms": start, "values": values}
        return web.json_response(answer)

    async def _command(self, request: web.Request) -> web.StreamResponse:
        order = await request.json()
        if (name := order.pop("id", "")) not in self._given or not name:
            self.commands.append(order)
        self._given.add(name)
        if request.cookies.get(COOKIE) != "operator":
            return web.json_response({"error": "a viewer commands nothing"}, status=403)
        return web.json_response({"command_id": "c-1", **self.answer}, status=202)

    async def _given_before(self, request: web.Request) -> web.StreamResponse:
        if request.query["id"] not in self._given:
            return web.json_response({"error": "no such command"}, status=404)
        return web.json_response({"command_id": "c-1", **self.answer}, status=202)

    @web.middleware
    async def _cut(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Cut the connections that a test wants cut, as a network that changes does."""
        name = f"{request.method} {request.path}"
        is_late = self.cut_after[name] > 0
        if self.cut[name] > 0 or is_late:
            if is_late:
                await handler(request)
            (self.cut_after if is_late else self.cut)[name] -= 1
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        response: web.StreamResponse = await handler(request)
        return response

    def _hello(self, role: str) -> dict[str, Any]:
        hello = {"type": "hello", "role": role, "now_ms": now_ms(), "version": "0.1.0"}
        is_allowed = role == "operator"
        return {
            **hello,
            "mode": "paper",
            "is_command_allowed": is_allowed,
            "age_ms_max": AGES_MS,
            "topics": list(self.topics),
        }

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not request.cookies.get(COOKIE):
            return web.json_response({"error": "sign in"}, status=401)
        if not self.has_websocket:
            return web.Response(status=400)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(self._hello(request.cookies.get(COOKIE, "")))
        client = _Client()
        sender = asyncio.ensure_future(self._send(socket, client))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    said = json.loads(message.data)
                    self.received.append(said)
                    client.hear(said)
        finally:
            sender.cancel()
        return socket

    async def _send(self, socket: web.WebSocketResponse, client: _Client) -> None:
        silent_s = 0.0
        while not socket.closed:
            await asyncio.sleep(TICK_S)
            silent_s += TICK_S
            if self.is_mute or client.is_paused or client.awaited is not None:
                continue
            changes = client.changes(self.topics)
            if changes or silent_s >= SILENCE_S:
                silent_s = 0.0
                client.sent_n += 1
                client.awaited = client.sent_n
                frame = {"type": "frame", "n": client.sent_n, "now_ms": now_ms()}
                await socket.send_json({**frame, "topics": changes})


class _Client:
    """What one page asked for and has got."""

    def __init__(self) -> None:
        self.sent_n = 0
        self.awaited: int | None = None
        self.is_paused = False
        self._wanted: list[str] = []
        self._had: dict[str, Any] = {}

    def hear(self, said: dict[str, Any]) -> None:
        if said["type"] == "sub":
            self._wanted = said["topics"]
            self._had = {n: had for n, had in self._had.items() if n in self._wanted}
        elif said["type"] == "ack" and said["n"] == self.awaited:
            self.awaited = None
        elif said["type"] in {"pause", "resume"}:
            self.is_paused = said["type"] == "pause"

    def changes(self, topics: Topics) -> dict[str, Any]:
        changes = {}
        for name in self._wanted:
            if name not in topics:
                continue
            now, had = json.loads(json.dumps(topics[name])), self._had.get(name)
            self._had[name] = now
            if had is None:
                changes[name] = {"is_snapshot": True, **now}
            elif change := _change(had, now):
                changes[name] = {"is_snapshot": False, **change}
        return changes


def _change(had: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    change: dict[str, Any] = {}
    for part in ("cells", "rows"):
        before, after = had.get(part, {}), now.get(part, {})
        if new := {key: value for key, value in after.items() if before.get(key) != value}:
            change[part] = new
    if gone := [key for key in had.get("rows", {}) if key not in now.get("rows", {})]:
        change["gone"] = gone
    return change


async def _healthz(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def _type_of(path: Path) -> dict[str, str]:
    return {"Content-Type": TYPES[path.suffix]} if path.suffix in TYPES else {}


@web.middleware
async def _with_csp(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    if not isinstance(response, web.WebSocketResponse):
        response.headers["Content-Security-Policy"] = CSP
    return response
