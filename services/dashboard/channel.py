"""The live channel: what each client has asked for, and its next frame. Pure.

A client has at most one frame that it has not acknowledged. Behind it nothing waits: its next frame
is made of what has changed since, so who reads slowly gets fewer and newer frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.dashboard.topic import Reader, Topic

CLIENTS_MAX: Final = 20
FRAME_BYTES_MAX: Final = 64_000
SNAPSHOT_BYTES_MAX: Final = 2_000_000
"""Of the answer to who asks for all at once, every two seconds."""
REQUEST_BYTES_MAX: Final = 8_192
"""Of the live channel: two hundred row ids."""
FRAME_EVERY_NS: Final = 250_000_000
IDLE_NS: Final = 1_000_000_000
"""A frame without topics comes this often: silence means that the server is gone."""
ACK_WITHIN_NS: Final = 60_000_000_000
BYTES_PER_S_MAX, BYTES_PER_S_IN_VIEW_MAX = 150_000, 38_000
"""Of one client; the second where it has said which rows are in view."""
OUT_OF_VIEW_BYTES_MAX: Final = 2_500
"""Of a frame: rows that are not in view, in turn."""
_OVERHEAD_BYTES: Final = 200
_LITTLE_ROOM: Final = 2_000

TopicName = Annotated[str, Meta(max_length=32)]
RowId = Annotated[str, Meta(max_length=200)]


class Subscribe(msgspec.Struct, tag="sub", forbid_unknown_fields=True):
    """Show these topics, of those in ``rows`` only these rows; all others no more.

    Of a topic in ``view`` these rows come with every frame, and the others slowly, in turn; not of
    one in ``rows``, where none are left out.
    """

    topics: Annotated[list[TopicName], Meta(max_length=32)]
    rows: dict[TopicName, Annotated[list[RowId], Meta(max_length=200)]] = {}
    view: dict[TopicName, Annotated[list[RowId], Meta(max_length=200)]] = {}


class Acknowledge(msgspec.Struct, tag="ack", forbid_unknown_fields=True):
    """Frame ``n`` was taken in."""

    n: Annotated[int, Meta(ge=0, le=2**53)]


class Pause(msgspec.Struct, tag="pause", forbid_unknown_fields=True):
    """Nobody looks: send only that the server is there."""


class Resume(msgspec.Struct, tag="resume", forbid_unknown_fields=True):
    """Somebody looks again."""


class RequestError(Exception):
    """The connection is to be closed: ``code`` as of WebSocket, and why as text."""

    def __init__(self, code: int, reason: str, kind: Literal["oversize", "malformed"]) -> None:
        super().__init__(reason)
        self.code, self.reason, self.kind = code, reason, kind


_decode = msgspec.json.Decoder(Subscribe | Acknowledge | Pause | Resume).decode


@dataclass(frozen=True, slots=True)
class _AllBut:
    keys: frozenset[str]

    def __contains__(self, key: object) -> bool:
        return key not in self.keys


@dataclass(slots=True)
class _Wanted:
    """What a client wants of a topic; ``view`` is how far it is with the rows that are in view."""

    only: frozenset[str] | None
    reader: Reader = field(default_factory=Reader)
    in_view: frozenset[str] | None = None
    view: Reader = field(default_factory=Reader)
    has_all: bool = False

    def look_at(self, keys: frozenset[str] | None) -> None:
        """Let other rows be in view; what was sent of those that stay is not sent again."""
        if keys == self.in_view:
            return
        had, was, all_rows = self.in_view or frozenset(), self.view, self.reader
        # What leaves the view may have changed since: it comes with the others.
        if self.has_all and had:
            all_rows.since = min(all_rows.since, was.since)
        stay = sorted((keys or frozenset()) & had, key=lambda key: was.sent.get(key, 0))
        sent = {key: max(was.since, was.sent.get(key, 0)) for key in stay}
        since = all_rows.since if self.has_all and self.in_view is None else 0
        self.view = Reader(since=since, told=all_rows.told, is_new=False, sent=sent)
        self.in_view = keys

    def patches(self, topic: Topic, room: int) -> tuple[list[bytes], bool]:
        """Return what changed of a topic, and whether there was too little room for it."""
        if self.in_view is None or topic.is_lost(self.reader) or topic.is_lost(self.view):
            self.has_all = False
        if not self.has_all:
            patch = topic.patch(self.reader, self.only, room)
            self.has_all = not patch.is_cut and not self.reader.is_new
            self.view.told = self.reader.told
            return [patch.body], patch.is_cut
        assert self.in_view is not None
        seen = topic.patch(self.view, self.in_view, room)
        room = min(room - len(seen.body), OUT_OF_VIEW_BYTES_MAX)
        rest = topic.patch(self.reader, _AllBut(self.in_view), room)
        return [seen.body, rest.body], seen.is_cut


class Client:
    """One reader of the live channel.

    Args:
        topics: All that there are.
        bytes_max: Of a frame.
    """

    def __init__(self, topics: Mapping[str, Topic], bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._topics, self._bytes_max = topics, bytes_max
        self._wanted: dict[str, _Wanted] = {}
        self._n = 0
        self._unacked_ns: int | None = None
        self._due_ns = self._idle_ns = 0
        self._is_paused = False

    def on_text(self, text: str | bytes) -> None:
        """Take a request in.

        Raises:
            RequestError: It is none; the connection is to be closed.
        """
        if len(text) > REQUEST_BYTES_MAX:
            raise RequestError(
                1009, f"a request of more than {REQUEST_BYTES_MAX} bytes", "oversize"
            )
        try:
            request = _decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RequestError(1008, f"no request: {error}"[:120], "malformed") from error
        match request:
            case Subscribe():
                self.subscribe(request)
            case Acknowledge(n=n):
                if n == self._n:
                    self._unacked_ns = None
            case Pause():
                self._is_paused = True
            case Resume():
                self._is_paused = False

    def wanted(self) -> Mapping[str, frozenset[str] | None]:
        """Return the topics that it shows, each with the rows that it wants of it."""
        return {} if self._is_paused else {name: w.only for name, w in self._wanted.items()}

    def is_deaf(self, now_ns: int) -> bool:
        """Tell whether it has not acknowledged a frame for too long."""
        return self._unacked_ns is not None and now_ns - self._unacked_ns > ACK_WITHIN_NS

    def next_frame(self, now_ns: int) -> bytes | None:
        """Return what it is to be sent now, if anything."""
        if self._unacked_ns is not None or now_ns < self._due_ns:
            return None
        parts, more = ([], []) if self._is_paused else self._patches()
        if not parts and not more and now_ns < self._idle_ns:
            return None
        self._n += 1
        frame = b'{"type":"frame","n":%d,"now_ms":%d,"topics":{%b}%b}' % (
            self._n,
            now_ns // 1_000_000,
            b",".join(parts),
            b',"more":{%b}' % b",".join(more) if more else b"",
        )
        is_in_view = any(w.only is not None or w.in_view for w in self._wanted.values())
        rate = BYTES_PER_S_IN_VIEW_MAX if is_in_view else BYTES_PER_S_MAX
        pace_ns = len(frame) * 1_000_000_000 // rate
        self._due_ns, self._idle_ns = now_ns + max(FRAME_EVERY_NS, pace_ns), now_ns + IDLE_NS
        self._unacked_ns = now_ns
        return frame

    def subscribe(self, request: Subscribe) -> None:
        """Show what is asked for from now on.

        Raises:
            RequestError: There is no such topic.
        """
        for name in (*request.topics, *request.rows, *request.view):
            if name not in self._topics:
                raise RequestError(1008, f"no topic {name[:32]!r}", "malformed")
        wanted: dict[str, _Wanted] = {}
        for name in request.topics:
            only = frozenset(request.rows[name]) if name in request.rows else None
            known = self._wanted.get(name)
            each = wanted[name] = known if known and known.only == only else _Wanted(only)
            seen = request.view.get(name) if only is None else None
            each.look_at(frozenset(seen) if seen else None)
        self._wanted = wanted

    def _patches(self) -> tuple[list[bytes], list[bytes]]:
        """Return what changed of each topic, and of rows out of view, as much as a frame holds."""
        room = self._bytes_max - _OVERHEAD_BYTES
        parts: list[bytes] = []
        more: list[bytes] = []
        cut = []
        for name, wanted in self._wanted.items():
            head = b'"%b":' % name.encode()
            room -= len(head) + _OVERHEAD_BYTES
            if room < _LITTLE_ROOM:
                break
            bodies, is_cut = wanted.patches(self._topics[name], room)
            for into, body in zip((parts, more), bodies, strict=False):
                if body:
                    into.append(head + body)
                    room -= len(body)
            if is_cut:
                cut.append(name)
        for name in cut:  # the others come first next time
            self._wanted[name] = self._wanted.pop(name)
        return parts, more


def snapshot(topics: Mapping[str, Topic], names: list[str], now_ns: int) -> bytes:
    """Return one frame of these topics, for who cannot keep a connection.

    Raises:
        RequestError: There is no such topic.
    """
    client = Client(topics, SNAPSHOT_BYTES_MAX)
    client.subscribe(Subscribe(topics=names))
    frame = client.next_frame(now_ns)
    assert frame is not None
    return frame
