"""`arb watch`: shouts when nobody pings any more, over channels of its own. IO."""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from services.cli.output import note
from services.cli.silence import ALERTMANAGER, NAMES, NOTIFIER, Shout, Silence, words
from services.cli.watch_door import Door
from shared.clock import SystemClock
from shared.config import Secret, read_secret
from shared.config_notifier import NotifierConfig
from shared.errors import ConfigError
from shared.notify.courier import Courier, Secrets
from shared.notify.requests import Send

TOKEN: Final = "ARB_WATCH_SECRET"
BODY_BYTES_MAX: Final = 65_536
WATCHDOG: Final = "ArbWatchdog"
LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}
TRIES, RETRY_S = 5, 10.0
"""Of a message that a channel does not take."""
RETRY_S_MAX: Final = 60.0
"""Whatever the provider asks for: with ``--once`` another one waits for us to end."""
EXIT_WELL, EXIT_SILENT = 0, 1


class Labels(msgspec.Struct):
    """What we read of an alert's labels."""

    alertname: str = ""


class FiringAlert(msgspec.Struct):
    """One alert of a webhook of Alertmanager."""

    status: str = ""
    labels: Labels = msgspec.field(default_factory=Labels)


class Webhook(msgspec.Struct):
    """A webhook of Alertmanager, as far as it is read."""

    alerts: list[FiringAlert] = []


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises:
        ConfigError: It is none.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= 65_535):
        raise ConfigError(f"--listen {text}: give HOST:PORT, like 0.0.0.0:9466")
    return host, int(port)


class Watcher:
    """Listens for pings, and shouts about those who fell silent."""

    def __init__(
        self, section: NotifierConfig, silence: Silence, environ: Mapping[str, str]
    ) -> None:
        self._section, self._silence = section, silence
        self._token: Secret = read_secret(TOKEN, environ)
        self._clock = SystemClock()
        self._courier = Courier(section, Secrets(section, environ), self._clock)
        self._changed = asyncio.Event()
        self._saying: set[asyncio.Task[None]] = set()
        self._notes = 0

    @property
    def is_open(self) -> bool:
        """Whether anybody may ping."""
        return not self._token

    def application(self) -> web.Application:
        """Return what pings and webhooks are sent to."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/ping", self._on_ping)
        app.router.add_post("/alertmanager", self._on_webhook)
        return app

    async def watch(self, stop: asyncio.Event, *, once: bool) -> int:
        """Shout whenever it is time, until it is to stop; with ``once`` until the first time."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                for shout in self._silence.due(self._clock.monotonic_ns()):
                    self.say(shout)
                    if once:
                        await self._finish()
                        return EXIT_SILENT
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                wait_s = (self._silence.next_ns() - self._clock.monotonic_ns()) / 1e9
                await asyncio.wait(
                    {stopping, changed},
                    timeout=max(wait_s, 0.01),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                changed.cancel()
        finally:
            stopping.cancel()
        return EXIT_WELL

    def say(self, shout: Shout) -> None:
        """Shout: on this terminal, with its bell, and over every channel for critical messages."""
        self.tell(words(shout, self._section.system), bell=not shout.is_over)

    def tell(self, text: str, *, bell: bool = False) -> None:
        """Say something here and over the channels."""
        note(("\a" if bell and sys.stderr.isatty() else "") + text)
        self._notes += 1
        for channel in self._section.channels:
            if "critical" in channel.severities:
                send = Send(
                    channel=channel.name,
                    note_id=self._notes,
                    subject=text.partition("\n")[0],
                    text=text,
                    severity="critical" if bell else "info",
                    ts_ns=self._clock.now_ns(),
                )
                task = asyncio.create_task(self._send(send))
                self._saying.add(task)
                task.add_done_callback(self._saying.discard)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._saying:
            task.cancel()
        await asyncio.gather(*self._saying, return_exceptions=True)
        await self._courier.close()

    async def _finish(self) -> None:
        """Wait until every channel has answered, or was tried often enough."""
        if self._saying:
            await asyncio.wait(self._saying)

    async def _send(self, send: Send) -> None:
        for left in reversed(range(TRIES)):
            sent = await self._courier.send(send)
            if not sent.problem:
                return
            note(f"arb watch: {send.channel} does not take the message: {sent.problem}")
            if left and not sent.is_refused:
                asked_s = RETRY_S if sent.retry_after_s is None else sent.retry_after_s
                await asyncio.sleep(min(max(asked_s, 1.0), RETRY_S_MAX))
            else:
                return

    def _refusal(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = self._token.reveal()
        if token and not hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), token.encode("utf-8", "surrogateescape")
        ):
            return web.Response(status=401, text=f"a token is asked for: {TOKEN}\n")
        return None

    def _heard(self, name: str) -> web.Response:
        if not self._silence.is_heard(name):
            note(f"arb watch: {NAMES[name]} is heard")
        shout = self._silence.heard(name, self._clock.monotonic_ns())
        if shout is not None:
            self.say(shout)
        self._changed.set()
        return web.Response(text="ok\n")

    async def _on_ping(self, request: web.Request) -> web.Response:
        return self._refusal(request) or self._heard(NOTIFIER)

    async def _on_webhook(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            told = msgspec.json.decode(await request.read(), type=Webhook)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return web.Response(status=400, text="no webhook of Alertmanager\n")
        if any(e.status == "firing" and e.labels.alertname == WATCHDOG for e in told.alerts):
            return self._heard(ALERTMANAGER)
        return web.Response(status=400, text=f"no firing {WATCHDOG} in it\n")


async def run_watch(
    listen: str, section: NotifierConfig, expected: tuple[str, ...], after_s: float, *, once: bool
) -> int:
    """Watch until SIGTERM, SIGINT or SIGHUP; return the exit code.

    Raises:
        ConfigError: The address or a channel's secret is wrong.
    """
    host, port = parse_listen(listen)
    silence = Silence(expected, int(after_s * 1e9), SystemClock().monotonic_ns())
    watcher = Watcher(section, silence, os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    door = Door(watcher.application())
    where = await door.open(host, port)
    try:
        note(
            f"arb watch: listening on {where[0]}:{where[1]}, shouts after {after_s:g} s of silence"
        )
        if watcher.is_open and host not in LOOPBACK:
            note(f"arb watch: whoever reaches it can keep it quiet; set {TOKEN}")
        if section.channels:
            watcher.tell(f"[{section.system}] arb watch listens; this channel works")
        else:
            note("arb watch: it has no channels, so it shouts here alone; give --config")
        return await watcher.watch(stop, once=once)
    finally:
        await watcher.close()
        await door.close()
