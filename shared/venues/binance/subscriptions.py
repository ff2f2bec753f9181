"""What one connection subscribes, and the search for the stream that was refused. Pure.

A frame names many streams and is refused as a whole if one of them cannot be.
Then its instruments are asked for again in halves, until the one at fault stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import json

from shared.venues.port import Send

STREAMS_PER_FRAME = 50
"""Four subscribe frames fill a connection: within 5 messages a second even sent at once."""
ACK_TIMEOUT_NS = 10_000_000_000
AGAIN_PAUSE_NS = 300_000_000
"""Between frames of the search: the venue takes five a second."""

Instruments = tuple[str, ...]


class Subscriptions:
    """Frames sent and answered; ``streams`` maps an instrument to its stream names."""

    def __init__(self, streams: Mapping[str, Sequence[str]]) -> None:
        self._streams = streams
        self._frame_id = 0
        self._pending: dict[int, tuple[Instruments, int]] = {}
        self._again: deque[Instruments] = deque()
        self._again_ns = 0

    def request(self, method: str, params: list[str] | None = None) -> Send:
        """Return a frame with this method and these streams."""
        self._frame_id += 1
        request: dict[str, object] = {"method": method}
        if params is not None:
            request["params"] = params
        request["id"] = self._frame_id
        return Send(json.encode(request).decode())

    def open(self, now_ns: int) -> list[Send]:
        """Return the frames that subscribe everything."""
        self.close()
        named = [(stream, name) for name, streams in self._streams.items() for stream in streams]
        frames = []
        for start in range(0, len(named), STREAMS_PER_FRAME):
            chunk = named[start : start + STREAMS_PER_FRAME]
            instruments = tuple(dict.fromkeys(name for _, name in chunk))
            frames.append(self._subscribe([stream for stream, _ in chunk], instruments, now_ns))
        return frames

    def close(self) -> None:
        """The connection is gone: wait for no answer."""
        self._pending.clear()
        self._again.clear()

    def answered(self, frame_id: object) -> Instruments | None:
        """Return the instruments of the frame that was answered, ``None`` if it was not one."""
        pending = self._pending.pop(frame_id, None) if isinstance(frame_id, int) else None
        return None if pending is None else pending[0]

    def split(self, instruments: Instruments) -> None:
        """Ask for both halves of a refused frame when it is time."""
        half = len(instruments) // 2
        self._again.extend((instruments[:half], instruments[half:]))

    def due(self, now_ns: int) -> Send | None:
        """Return the next frame of the search, if it is time."""
        if not self._again or now_ns - self._again_ns < AGAIN_PAUSE_NS:
            return None
        self._again_ns = now_ns
        instruments = self._again.popleft()
        streams = [stream for name in instruments for stream in self._streams[name]]
        return self._subscribe(streams, instruments, now_ns)

    def overdue(self, now_ns: int) -> Instruments | None:
        """Return the instruments of a frame that should have been answered by now."""
        for instruments, deadline_ns in self._pending.values():
            if now_ns >= deadline_ns:
                return instruments
        return None

    def _subscribe(self, streams: list[str], instruments: Instruments, now_ns: int) -> Send:
        frame = self.request("SUBSCRIBE", streams)
        self._pending[self._frame_id] = (instruments, now_ns + ACK_TIMEOUT_NS)
        return frame
