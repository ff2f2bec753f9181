"""Collects an ingestor's inputs and outputs for a recorder; decides nothing itself. Pure.

It wraps the engine only where a recorder is configured. Frames are published some milliseconds
after the messages that they caused, so recording does not delay trading.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.ingestor.engine.engine import IngestorEngine
from services.ingestor.engine.requests import (
    ConnectionClosed,
    ConnectionOpened,
    FetchSnapshot,
    FrameReceived,
    OpenConnection,
    SendFrames,
    SnapshotAnswered,
)
from shared.engine import NOTHING, BusBack, BusLost, Result, Step, Stopping
from shared.messages.base import Message
from shared.messages.raw import FRAME_BYTES_MAX, RawFrames, RawItem, RawKind, RawOrigin

HOLD_NS = 50_000_000
"""How long a frame waits for others to be handed over with it."""
ITEMS_HELD_MAX = 1_000
BYTES_HELD_MAX = 256_000
REQUESTS_MAX = 1_000
"""GETs whose answers are waited for; the oldest is forgotten."""
OK = 200


class RecordedEngine:
    """An ingestor's engine whose traffic is written down.

    Args:
        engine: Decides.
        source: Names this process; numbers of frames are its own.
    """

    def __init__(self, engine: IngestorEngine, source: str) -> None:
        self._engine, self._source = engine, source
        self._origins: dict[int, RawOrigin] = {}
        """Connection -> where it leads, until it is closed."""
        self._requests: dict[int, RawOrigin] = {}
        self._held: list[tuple[RawOrigin, RawKind, int, bytes]] = []
        self._held_bytes = 0
        self._seq = 1
        self._due_ns: int | None = None
        self._is_lost = False
        self._dropped = 0

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin."""
        return self._seen(self._engine.start(saved, now_ns), now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Write down what came in, and let the engine decide on it."""
        if type(message) is FrameReceived:
            if (origin := self._origins.get(message.connection)) is not None:
                self._hold(origin, RawKind.FRAME, message.ts_recv_ns, message.raw)
        elif type(message) is ConnectionOpened:
            if (origin := self._origins.get(message.connection)) is not None:
                self._hold(origin, RawKind.OPENED, now_ns, b"")
        elif type(message) is SnapshotAnswered:
            asked = self._requests.pop(message.request, None)
            if asked is not None and message.status == OK:
                self._hold(asked, RawKind.REST, now_ns, message.body)
        elif type(message) is ConnectionClosed:
            self._origins.pop(message.connection, None)
        elif type(message) is BusLost:
            self._is_lost = True
        elif type(message) is BusBack:
            self._is_lost = False
        step = self._seen(self._engine.on_message(message, now_ns, redelivered=redelivered), now_ns)
        if type(message) is Stopping:
            return self._handed_over(step)
        return step

    def on_timer(self, now_ns: int) -> Step:
        """Do what is due."""
        step = NOTHING
        due_ns = self._engine.next_deadline_ns()
        if due_ns is not None and now_ns >= due_ns:
            step = self._seen(self._engine.on_timer(now_ns), now_ns)
        if self._due_ns is not None and now_ns >= self._due_ns:
            return self._handed_over(step)
        return step

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next (UNIX ns)."""
        due_ns = self._engine.next_deadline_ns()
        if self._due_ns is None:
            return due_ns
        return self._due_ns if due_ns is None else min(due_ns, self._due_ns)

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return what the engine saves."""
        return self._engine.checkpoints()

    def counters(self) -> Mapping[str, int]:
        """Return the engine's, and what was handed over and what could not be."""
        own = {"raw_frames": self._seq - 1 - self._dropped, "raw_dropped": self._dropped}
        return {**self._engine.counters(), **own}

    def gauges(self) -> Mapping[str, float]:
        """Return the engine's."""
        return self._engine.gauges()

    def _seen(self, step: Step, now_ns: int) -> Step:
        """Note where connections and requests of a step lead; hand frames over if they are many."""
        for action in (*step.at_once, *step.actions):
            if type(action) is SendFrames:
                if (origin := self._origins.get(action.connection)) is not None:
                    for frame in action.frames:
                        self._hold(origin, RawKind.SENT, now_ns, frame.encode())
            elif type(action) is OpenConnection:
                name = f"{action.venue}.ws.{action.connection}"
                self._origins[action.connection] = RawOrigin(action.venue, name, action.url)
            elif type(action) is FetchSnapshot and not action.is_audit:  # no part of any book
                origin = RawOrigin(action.venue, f"{action.venue}.http", action.url)
                self._requests[action.request] = origin
                if len(self._requests) > REQUESTS_MAX:
                    del self._requests[next(iter(self._requests))]
        if self._held_bytes >= BYTES_HELD_MAX or len(self._held) >= ITEMS_HELD_MAX:
            return self._handed_over(step)
        return step

    def _hold(self, origin: RawOrigin, kind: RawKind, ts_recv_ns: int, frame: bytes) -> None:
        if self._due_ns is None:
            self._due_ns = ts_recv_ns + HOLD_NS
        self._held.append((origin, kind, ts_recv_ns, frame))
        self._held_bytes += len(frame)

    def _handed_over(self, step: Step) -> Step:
        """Return the step with what is held; numbers go on also over what cannot be passed on."""
        held, self._held, self._held_bytes, self._due_ns = self._held, [], 0, None
        messages: list[Message] = []
        items: list[tuple[RawOrigin, RawKind, int, bytes]] = []
        for each in held:
            if not self._is_lost and len(each[3]) <= FRAME_BYTES_MAX:
                items.append(each)
                continue
            messages += self._message(items)
            items = []
            self._seq += 1
            self._dropped += 1
        messages += self._message(items)
        if not messages:
            return step
        return Step([*step.messages, *messages], step.actions, step.at_once)

    def _message(self, held: list[tuple[RawOrigin, RawKind, int, bytes]]) -> list[Message]:
        if not held:
            return []
        origins: dict[RawOrigin, int] = {}
        items = [
            RawItem(origins.setdefault(origin, len(origins)), kind, ts_recv_ns, frame)
            for origin, kind, ts_recv_ns, frame in held
        ]
        message = RawFrames(
            source=self._source,
            seq=self._seq,
            origins=list(origins),
            items=items,
            ts_recv_ns=held[-1][2],
        )
        self._seq += len(items)
        return [message]
