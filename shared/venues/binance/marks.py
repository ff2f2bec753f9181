"""Finds a recorded Binance frame's kind, market and instrument. Pure.

Everything is read from the decoded frame: the spelling of the JSON (white space, order of keys,
escapes) does not matter. Only a frame that is cut off is searched as text, for what is left of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

_ABSENT = msgspec.Raw(b"")
"""Raw cannot be optional; an absent field is empty."""
_ID_MAX = 2**62
_PARTIAL = re.compile(r"depth\d+")
"""Streams of the best levels only, which are no snapshot of a book."""
_TORN_STREAM = re.compile(rb'"stream"\s*:\s*"([^"]*)')
_TORN_EVENT = re.compile(rb'"e"\s*:\s*"(\w+)"')
_TORN_SYMBOL = re.compile(rb'"(?:s|symbol)"\s*:\s*"([^"]+)"')
_TORN_FLAG = re.compile(rb'"(pu|T|b|a|A|M|X|B)"\s*:')
_TORN_BYTES = 400

_Id = Annotated[int, Meta(ge=0, le=_ID_MAX)]


class _Event(msgspec.Struct, frozen=True, gc=False):
    """An event, a quote or a REST book: the fields that identify it."""

    event: Any = field(name="e", default="")
    symbol: Any = field(name="s", default="")
    symbol_rest: Any = field(name="symbol", default="")
    event_time: msgspec.Raw = field(name="E", default=_ABSENT)
    match_time: msgspec.Raw = field(name="T", default=_ABSENT)
    prev_id: msgspec.Raw = field(name="pu", default=_ABSENT)
    last_id: msgspec.Raw = field(name="u", default=_ABSENT)
    snapshot_id: msgspec.Raw = field(name="lastUpdateId", default=_ABSENT)
    best_match: msgspec.Raw = field(name="M", default=_ABSENT)
    order_type: msgspec.Raw = field(name="X", default=_ABSENT)
    bids: msgspec.Raw = field(name="b", default=_ABSENT)
    asks: msgspec.Raw = field(name="a", default=_ABSENT)
    bid_qty: msgspec.Raw = field(name="B", default=_ABSENT)
    ask_qty: msgspec.Raw = field(name="A", default=_ABSENT)
    rest_bids: msgspec.Raw = field(name="bids", default=_ABSENT)


class _Frame(_Event, frozen=True, gc=False):
    """A frame: the wrapper of the combined stream, or a bare event."""

    stream: Any = ""
    data: msgspec.Raw = _ABSENT


_FRAME = msgspec.json.Decoder(_Frame)
_EVENT = msgspec.json.Decoder(_Event)
_ID = msgspec.json.Decoder(_Id, strict=False)
_BID = msgspec.json.Decoder(float | list[tuple[float, float]], strict=False)


class Marks(msgspec.Struct, frozen=True, gc=False):
    """What a frame says of itself; empty or false where it says nothing.

    Attributes:
        stream: Name of the combined stream.
        kind: The stream's, ``depth`` of ``btcusdt@depth@100ms``.
        event: The event's name; spot's best quotes and REST books have none.
        symbol: Upper case, the event's, else the stream's.
        number: Of the last update contained, as written.
        moment: Event time in the venue's unit, as written.
        body: The event or book without the wrapper.
    """

    stream: str = ""
    kind: str = ""
    event: str = ""
    symbol: str = ""
    number: bytes = b""
    moment: bytes = b""
    body: bytes = b""
    bids: bytes = b""
    has_event_time: bool = False
    has_match_time: bool = False
    has_prev_id: bool = False
    has_sides: bool = False
    has_order_type: bool = False
    is_best_match: bool = False
    is_quote: bool = False
    is_book: bool = False

    @property
    def is_partial_book(self) -> bool:
        """Whether it is of a stream of the best levels only."""
        kind = self.kind
        return kind != "depth" and _PARTIAL.fullmatch(kind) is not None

    @property
    def is_rest_book(self) -> bool:
        """Whether it is the answer of a depth request, bare or wrapped by a recorder."""
        return self.is_book and not self.is_partial_book

    @property
    def update_id(self) -> int | None:
        """The last update contained."""
        return _whole(self.number)

    @property
    def time(self) -> int | None:
        """Event time in the venue's unit."""
        return _whole(self.moment)

    def first_bid(self) -> float:
        """Return the first bid's price, 0 where there is none."""
        try:
            bids: float | list[tuple[float, float]] = _BID.decode(self.bids)
        except (ValueError, RecursionError):
            return 0.0
        if isinstance(bids, list):
            return bids[0][0] if bids else 0.0
        return bids


def read_marks(raw: bytes) -> Marks | None:
    """Read a frame; ``None`` if it is no object of this protocol."""
    try:
        frame = _FRAME.decode(raw)
        stream = _text(frame.stream)
        body = bytes(frame.data) if stream else raw
        if not stream:
            return _marks(frame, "", raw)
        is_event = body[:1] == b"{"
        return _marks(_EVENT.decode(body) if is_event else _Event(), stream, body)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn(raw)


def _marks(event: _Event, stream: str, body: bytes) -> Marks:
    name, _, rest = stream.partition("@")
    symbol = _text(event.symbol) or _text(event.symbol_rest) or (name if rest else "")
    event_time, match_time = bytes(event.event_time), bytes(event.match_time)
    snapshot_id, rest_bids = bytes(event.snapshot_id), bytes(event.rest_bids)
    bids = bytes(event.bids)
    return Marks(
        stream=stream,
        kind=rest.partition("@")[0],
        event=_text(event.event),
        symbol=symbol.upper(),
        number=bytes(event.last_id) or snapshot_id,
        moment=event_time or match_time,
        body=body,
        bids=bids or rest_bids,
        has_event_time=bool(event_time),
        has_match_time=bool(match_time),
        has_prev_id=bool(bytes(event.prev_id)),
        has_sides=bool(bids or bytes(event.asks)),
        has_order_type=bool(bytes(event.order_type)),
        is_best_match=bool(bytes(event.best_match)),
        is_quote=bool(bytes(event.bid_qty) and bytes(event.ask_qty)),
        is_book=bool(snapshot_id and rest_bids),
    )


def _torn(raw: bytes) -> Marks | None:
    """Read what is left of a frame that is no JSON."""
    head = raw[:_TORN_BYTES]
    stream, event, symbol = (
        _found(pattern, head) for pattern in (_TORN_STREAM, _TORN_EVENT, _TORN_SYMBOL)
    )
    flags = set(_TORN_FLAG.findall(head))
    name, _, rest = stream.partition("@")
    if not (stream or event):
        return None
    return Marks(
        stream=stream,
        kind=rest.partition("@")[0],
        event=event,
        symbol=(symbol or (name if rest else "")).upper(),
        body=raw,
        has_match_time=b"T" in flags,
        has_prev_id=b"pu" in flags,
        has_sides=b"b" in flags,
        has_order_type=b"X" in flags,
        is_best_match=b"M" in flags,
        is_quote={b"A", b"B"} <= flags,
    )


def _found(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return match.group(1).decode("utf-8", "replace") if match else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(text: bytes) -> int | None:
    try:
        return _ID.decode(text)
    except ValueError:
        return None
