"""Clients of one simulated venue: bounded outboxes, topics, faults of what is sent. Pure.

Whoever hosts the venue writes what waits in a client's outbox and tells what a client said.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping

from shared.simulated import config
from shared.simulated.context import Context

DELTA_FAULTS = ("drop", "duplicate", "reorder", "delay")
_QTY = rb"([0-9.]*[1-9][0-9.]*)"
_LEVEL = re.compile(
    rb'\["[0-9.]+","' + _QTY + rb'"|\["(?:buy|sell)","[0-9.]+","' + _QTY + rb'"|"qty":' + _QTY
)
"""A level that is not removed, as venues write it."""
GOING_AWAY, POLICY_VIOLATION = 1001, 1008
"""Codes with which a WebSocket is closed (RFC 6455)."""
SECOND_NS = 1_000_000_000


class Client:
    """One connection: frames wait in a bounded outbox, a slow reader is cut off as venues do.

    Args:
        path: The path asked for, without what the host put before it.
        query: The parameters of the URL.
        wake: Tells the host that frames wait, or that the connection is to end.
        abort: Ends the connection without a closing handshake, as a lost link does.
    """

    def __init__(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        wake: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        self.path, self.query = path, query
        self.topics: dict[str, None] = {}
        self.combined = False
        self.session = ""  # what a protocol wants to remember of the connection
        self.frames_sent = 0
        self.too_slow = False
        self.is_closing = False
        self.goodbye = (GOING_AWAY, "")
        self.inbound = deque[int](maxlen=config.INBOUND_MAX)  # when messages came in, ns
        self._wake, self._abort = wake, abort
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0

    def send(self, frame: bytes) -> None:
        """Put a text frame into the outbox."""
        if self.is_closing:
            return
        if (
            len(self._outbox) >= config.CLIENT_QUEUE_MAX
            or self._outbox_bytes > config.CLIENT_QUEUE_BYTES_MAX
        ):
            self.too_slow = True
            self.cut()
            return
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        self._wake()

    @property
    def waiting(self) -> int:
        """Frames that wait to be written: what the reader has not taken, nor the link holds."""
        return len(self._outbox)

    def next_frame(self) -> bytes | None:
        """Return the next frame to write, ``None`` if none waits."""
        if not self._outbox:
            return None
        frame = self._outbox.popleft()
        self._outbox_bytes -= len(frame)
        self.frames_sent += 1
        return frame

    def cut(self) -> None:
        """End the connection without a closing handshake, as a lost link does."""
        self.is_closing = True
        self._outbox.clear()
        self._wake()
        self._abort()

    def refuse(self, reason: str) -> None:
        """Close the connection with a policy violation."""
        self.close(POLICY_VIOLATION, reason)

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection with a closing handshake."""
        self.is_closing = True
        self.goodbye = (code, reason)
        self._wake()


class Hub:
    """Who listens to which topic of one venue."""

    def __init__(self, venue: str, context: Context) -> None:
        self.venue, self.faults = venue, context.faults
        self._context = context
        self.clients: dict[Client, None] = {}
        self.topics: dict[str, dict[Client, None]] = {}
        self.version = 0  # changes with the set of topics
        self.counters = {"connections": 0, "frames_sent": 0, "slow_clients": 0, "disconnects": 0}
        self.ping_every_s: float | None = None  # a client that does not pong is cut off
        self.on_idle_topic: Callable[[str], None] = lambda topic: None
        self._held: dict[str, Callable[[], None]] = {}

    def now_ms(self) -> int:
        """Return the venue's own time."""
        return self._context.venue_ms(self.venue)

    def connect(self, client: Client) -> None:
        """A client's connection is open."""
        self.clients[client] = None
        self.counters["connections"] += 1

    def forget(self, client: Client) -> None:
        """A client's connection is gone."""
        for topic in tuple(client.topics):
            self.unsubscribe(client, topic)
        self.clients.pop(client, None)
        if client.too_slow:
            self.counters["slow_clients"] += 1

    def listeners(self, topic: str) -> dict[Client, None]:
        """Return the subscribers of a topic."""
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
            if fault is None and _LEVEL.search(frame):  # else there is nothing to be wrong
                fault = self.faults.take(("wrong_qty",), self.venue, instrument)

        if fault is not None and fault.kind == "wrong_qty":
            fault, frame = None, _with_wrong_qty(frame)
            combined = None if combined is None else _with_wrong_qty(combined)

        def send() -> None:
            self.publish(topic, frame, combined, instrument)

        if fault is None:
            send()
        elif fault.kind == "duplicate":
            send()
            send()
        elif fault.kind == "delay":
            self._context.later(fault.number("ms") / 1000, send)
        elif fault.kind == "reorder":
            self._held[topic] = send
            return
        if held := self._held.pop(topic, None):
            held()

    def too_many_messages(self, client: Client, limit_per_s: int) -> bool:
        """Count an inbound message; refuse a client that sends more than the venue allows."""
        now_ns = self._context.now_ns()
        client.inbound.append(now_ns)
        if sum(now_ns - at_ns < SECOND_NS for at_ns in client.inbound) <= limit_per_s:
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

    def close(self, code: int) -> int:
        """Close every connection with this code, in order; return how many there were."""
        count = len(self.clients)
        for client in tuple(self.clients):
            client.close(code)
        self.counters["disconnects"] += count
        return count


def _with_wrong_qty(frame: bytes) -> bytes:
    """Return a change whose last level has a quantity that the venue's own book does not have."""
    *_, level = _LEVEL.finditer(frame)
    start = level.start(level.lastindex or 0)
    return frame[:start] + b"7" + frame[start:]
