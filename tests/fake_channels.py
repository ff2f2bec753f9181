"""Telegram, Slack, Discord, a webhook and a mail server on loopback, as far as we use them.

They record what they are sent, and can refuse, ask to wait, or hang.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "123456:telegram-bot-token"
SLACK_PATH, DISCORD_PATH = "/services/T0/B0/slack-secret", "/api/webhooks/1/discord-secret"


@dataclass
class Post:
    """One request: where to, its headers, its body as text."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Providers:
    """HTTP providers on one port; ``answers`` are given instead of success, the first first."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    hangs: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.posts.append(Post(request.path, dict(request.headers), body))
        if self.hangs:
            await asyncio.sleep(3_600)
        if self.answers:
            return self.answers.pop(0)
        if request.path == f"/bot{TOKEN}/sendMessage":
            return web.json_response({"ok": True, "result": {}})
        if request.path == SLACK_PATH:
            return web.Response(text="ok")
        if request.path == DISCORD_PATH:
            return web.Response(status=204)
        if request.path in {"/hook", "/ping"}:
            return web.Response(status=200)
        return web.json_response({"ok": False, "description": "Not Found"}, status=404)

    def of(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path == path]


@asynccontextmanager
async def providers() -> AsyncIterator[Providers]:
    made = Providers()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


@contextmanager
def providers_in_thread() -> Iterator[Providers]:
    """The same for a test without an event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = providers()
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass
class MailServer:
    """SMTP without TLS; ``refuses`` is what it says to a recipient (to those with ``refused``)."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    refuses: str = ""
    refused: str = ""
    bye: str = "221 bye"
    hangs: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        try:
            if self.hangs:
                await reader.read()
                return
            say("220 fake ESMTP")
            while line := (await reader.readline()).decode().strip():
                word = line.upper()
                if word.startswith(("EHLO", "HELO")):
                    say("250 fake")
                elif word.startswith("RCPT") and self.refuses and self.refused in line:
                    say(self.refuses)
                elif word == "DATA":
                    say("354 go on")
                    mail = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(mail)
                    say("250 taken")
                elif word == "QUIT":
                    say(self.bye)
                    break
                else:
                    say("250 well")
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    made = MailServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
