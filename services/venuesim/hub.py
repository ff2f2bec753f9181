"""WebSocket clients of one venue: bounded queues, topics, and faults of what is sent to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

from services.venuesim import config
from services.venuesim.faults import FaultTable

DELTA_FAULTS = ("drop", "duplicate", "reorder", "delay")


class Client:
    """One connection: frames wait in a bounded queue, a slow reader is cut off as venues do."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.path, self.query = socket, request.path, request.query
        self._transport = request.transport
        self.topics: dict[str, None] = {}
        self.combined = False
        self.session = ""  # what a protocol wants to remember of the connection
        self.frames_sent = 0
        self.too_slow = False
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self.goodbye: tuple[WSCloseCode, str] = (WSCloseCode.GOING_AWAY, "")
        self.inbound = deque[float](maxlen=64)  # when messages came in, for the venue's limit

    def send(self, frame: bytes) -> None:
        """Queue a text frame."""
        if self._closing:
            return
        if (
            len(self._queue) >= config.CLIENT_QUEUE_MAX
            or self._queued_bytes > config.CLIENT_QUEUE_BYTES_MAX
        ):
            self.too_slow = True
            self.cut()
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()

    def cut(self) -> None:
        """End the connection without ceremony, as a lost link does."""
        self._closing = True
        self._queue.clear()
        self._wake.set()
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, reason: str) -> None:
        """Close the connection with a policy violation."""
        self._closing = True
        self.goodbye = (WSCloseCode.POLICY_VIOLATION, reason)
        self._wake.set()

    async def pump(self) -> None:
        """Write queued frames until the connection ends."""
        while True:
            while self._queue:
                frame = self._queue.popleft()
                self._queued_bytes -= len(frame)
                await self.socket.send_frame(frame, WSMsgType.TEXT)
                self.frames_sent += 1
            if self._closing:
                await self.socket.close(code=self.goodbye[0], message=self.goodbye[1].encode())
                return
            self._wake.clear()
            await self._wake.wait()


class Hub:
    """Who listens to which topic of one venue."""

    def __init__(self, venue: str, faults: FaultTable, now_ms: Callable[[], int]) -> None:
        self.venue, self.faults, self.now_ms = venue, faults, now_ms
        self.clients: dict[Client, None] = {}
        self.topics: dict[str, dict[Client, None]] = {}
        self.version = 0  # changes with the set of topics
        self.counters = {"connections": 0, "frames_sent": 0, "slow_clients": 0, "disconnects": 0}
        self.ping_every_s: float | None = None  # a client that does not pong is cut off
        self.on_idle_topic: Callable[[str], None] = lambda topic: None
        self._held: dict[str, Callable[[], None]] = {}

    def listeners(self, topic: str) -> dict[Client, None]:
        """Return who listens to a topic; empty for nobody."""
        return self.topics.get(topic, {})

    def subscribe(self, client: Client, topic: str) -> bool:
        """Add a listener; return whether it was new."""
        if topic in client.topics:
            return False
        client.topics[topic] = None
        self.topics.setdefault(topic, {})[client] = None
        self.version += 1
        return True

    def unsubscribe(self, client: Client, topic: str) -> bool:
        """Remove a listener; return whether it was one."""
        if topic not in client.topics:
            return False
        del client.topics[topic]
        listeners = self.topics[topic]
        listeners.pop(client, None)
        if not listeners:
            del self.topics[topic]
            self.version += 1
            self.on_idle_topic(topic)
        return True

    def send(self, client: Client, frame: bytes, instrument: str = "") -> None:
        """Send one client a frame, unless the venue is stalled."""
        if not self.faults.is_stalled(self.venue, instrument, self.now_ms()):
            client.send(frame)
            self.counters["frames_sent"] += 1

    def publish(self, topic: str, frame: bytes, combined: bytes | None, instrument: str) -> None:
        """Send a frame to a topic's listeners; ``combined`` is its wrapped form."""
        listeners = self.topics.get(topic)
        if not listeners or self.faults.is_stalled(self.venue, instrument, self.now_ms()):
            return
        for client in tuple(listeners):
            client.send(combined if client.combined and combined is not None else frame)
        self.counters["frames_sent"] += len(listeners)

    def publish_delta(
        self, topic: str, frame: bytes, combined: bytes | None, instrument: str
    ) -> None:
        """Publish a book change, subject to the faults of deltas."""
        fault = None
        if self.faults.waiting and topic in self.topics and topic not in self._held:
            fault = self.faults.take(DELTA_FAULTS, self.venue, instrument)

        def send() -> None:
            self.publish(topic, frame, combined, instrument)

        if fault is None:
            send()
        elif fault.kind == "duplicate":
            send()
            send()
        elif fault.kind == "delay":
            asyncio.get_running_loop().call_later(fault.number("ms") / 1000, send)
        elif fault.kind == "reorder":
            self._held[topic] = send
            return
        if held := self._held.pop(topic, None):
            held()

    def too_many_messages(self, client: Client, limit_per_s: int) -> bool:
        """Count an inbound message; refuse a client that sends more than the venue allows."""
        now = asyncio.get_running_loop().time()
        client.inbound.append(now)
        if sum(now - at < 1.0 for at in client.inbound) <= limit_per_s:
            return False
        client.refuse("Too many requests")
        return True

    def disconnect(self) -> int:
        """Cut every connection; return how many there were."""
        count = len(self.clients)
        for client in tuple(self.clients):
            client.cut()
        self.counters["disconnects"] += count
        return count

    async def serve(
        self,
        request: web.Request,
        on_open: Callable[[Client], None],
        on_text: Callable[[Client, str], Awaitable[None] | None],
    ) -> web.WebSocketResponse:
        """Accept a WebSocket and serve it until it closes."""
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=config.REQUEST_BYTES_MAX, heartbeat=self.ping_every_s
        )
        await socket.prepare(request)
        client = Client(socket, request)
        self.clients[client] = None
        self.counters["connections"] += 1
        pump = asyncio.create_task(client.pump())
        try:
            on_open(client)
            async for message in socket:
                if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    data = message.data
                    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
                    answer = on_text(client, text)
                    if answer is not None:
                        await answer
        finally:
            self._forget(client)
            client.cut()
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, OSError):
                await pump
        return socket

    def _forget(self, client: Client) -> None:
        for topic in tuple(client.topics):
            self.unsubscribe(client, topic)
        self.clients.pop(client, None)
        if client.too_slow:
            self.counters["slow_clients"] += 1
