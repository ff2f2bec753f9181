"""Recorded Binance frames, spot or futures, played to the clients of the simulated venue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from shared.domain.instrument import split_instrument
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.hub import Hub
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.simulated.rest import Answer, Pending, json_answer
from shared.venues.binance.simulated.streams import wrap
from shared.venues.binance.simulated.subscriptions import DEAD

EARLY_MAX = 10_000  # changes that wait for their snapshot: more than any client keeps
WAITING_MAX = 1_000  # requests that wait for the snapshot of one book
EVENT_KINDS = {
    "depthUpdate": "depth",
    "trade": "trade",
    "aggTrade": "aggTrade",
    "bookTicker": "bookTicker",
    "markPriceUpdate": "markPrice",
}


class Wrapper(msgspec.Struct):
    """A combined-stream frame; a bare event has no stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class Event(msgspec.Struct):
    """What is needed of an event: its kind, and the update ids of a depth event."""

    e: str = ""
    s: str = ""
    first: int = msgspec.field(name="U", default=0)
    u: int = 0
    pu: int | None = None
    b: Any = ()
    a: Any = ()

    def continues(self, seq: int) -> bool:
        """Whether nothing is missing between update ``seq`` and this; ``pu`` is of futures."""
        return (self.first - 1 if self.pu is None else self.pu) <= seq


class Snapshot(msgspec.Struct):
    """A REST book."""

    last_update_id: int = msgspec.field(name="lastUpdateId")
    bids: list[tuple[Any, Any]]
    asks: list[tuple[Any, Any]]


_wrapper = msgspec.json.Decoder(Wrapper)
_event = msgspec.json.Decoder(Event)
_snapshot = msgspec.json.Decoder(Snapshot)


@dataclass(slots=True)
class PlayedBook:
    """Where one recorded book is."""

    listing: Listing
    snapshot: bytes = b""  # as recorded
    seq: int = 0  # update id of the rebuilt book, 0 before its snapshot and after a gap
    early: deque[Event] = field(default_factory=lambda: deque(maxlen=EARLY_MAX))
    waiting: list[tuple[Pending, Answer]] = field(default_factory=list)


class RecordedBinance:
    """Sends frames to the subscribers of their symbol and kind, whatever the speed asked for."""

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange, self._hub = exchange, hub
        self._rebuilder = BookRebuilder(exchange)
        self._books = {x.instrument: PlayedBook(x) for x in exchange.by_instrument.values()}
        self._index: dict[tuple[str, str], list[str]] = {}
        self._indexed = -1
        self._is_over = False

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        state = self._books.get(instrument)
        if state is None:
            return
        try:
            self._play_frame(state, payload, now_ns // 1_000_000)
        except msgspec.DecodeError:
            self._rebuilder.unusable += 1

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Let a snapshot arrive."""
        state = self._books.get(instrument)
        if state is None:
            return
        try:
            self._take_snapshot(state, body, now_ns // 1_000_000)
        except msgspec.DecodeError:
            self._rebuilder.unusable += 1

    def end(self) -> None:
        """The recording is over: no snapshot is waited for any more."""
        self._is_over = True
        for state in self._books.values():
            self._settle(state)

    def depth(self, symbol: str, answer: Answer) -> Answer | Pending:
        """Return the answer from the rebuilt book, or the recorded snapshot once its time has come.

        Where the recording ends without one, the venue has failed.
        """
        listing = self._exchange.by_symbol.get(symbol)
        state = self._books[listing.instrument] if listing else None
        if state is None or state.seq:
            return answer
        if self._is_over or len(state.waiting) >= WAITING_MAX:
            return _no_snapshot(state)
        pending = Pending()
        state.waiting.append((pending, answer))
        return pending

    def _settle(self, state: PlayedBook) -> None:
        """Answer everybody who waits for the snapshot of a book."""
        waiting, state.waiting = state.waiting, []
        for pending, answer in waiting:
            whole = replace(answer, body=state.snapshot) if state.seq else _no_snapshot(state)
            pending.settle(whole)

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose depth has no subscriber."""
        self._refresh_index()
        return [
            instrument
            for instrument, state in self._books.items()
            if (state.listing.symbol.lower(), "depth") not in self._index
        ]

    def _take_snapshot(self, state: PlayedBook, body: bytes, now_ms: int) -> None:
        snapshot = _snapshot.decode(body)
        if snapshot.last_update_id < state.seq:
            return  # the book is beyond it already
        self._rebuilder.replace(state.listing, snapshot.bids, snapshot.asks, now_ms)
        state.snapshot, state.seq = body, snapshot.last_update_id
        self._exchange.books[state.listing.instrument].seq = state.seq
        self._settle(state)
        early = list(state.early)
        state.early.clear()
        for event in early:
            self._apply(state, event, now_ms)

    def _play_frame(self, state: PlayedBook, payload: bytes, now_ms: int) -> None:
        name, data = unwrapped(payload)
        combined = payload if name else b""
        event = _event.decode(data)
        kind = name.partition("@")[2].partition("@")[0] or EVENT_KINDS.get(event.e, "bookTicker")
        if kind == "depth":
            self._apply(state, event, now_ms)
        self._refresh_index()
        for topic in self._index.get((state.listing.symbol.lower(), kind), ()):
            whole = combined or wrap(topic, data)
            publish = self._hub.publish_delta if kind == "depth" else self._hub.publish
            publish(topic, data, whole, state.listing.instrument)

    def _apply(self, state: PlayedBook, event: Event, now_ms: int) -> None:
        if not state.seq:
            state.early.append(event)
            return
        if event.u <= state.seq:
            return
        if not event.continues(state.seq):
            # What the recording lost is not known: a book rebuilt across the gap would be false,
            # and a client that asks for it waits for the next one recorded.
            state.seq = 0
            state.early.append(event)
            return
        self._rebuilder.change(state.listing, event.b, event.a, now_ms)
        state.seq = event.u
        book = self._exchange.books[state.listing.instrument]
        book.seq, book.changed = event.u, {}

    def _refresh_index(self) -> None:
        if self._indexed == self._hub.version:
            return
        self._indexed = self._hub.version
        self._index = {}
        for topic in self._hub.topics:
            symbol, at, kind = topic.partition("@")
            if at and not topic.startswith(DEAD):
                self._index.setdefault((symbol, kind.partition("@")[0]), []).append(topic)


def _no_snapshot(state: PlayedBook) -> Answer:
    text = f"the recording holds no snapshot of {state.listing.symbol}"
    return json_answer({"code": -1000, "msg": text}, 503)


def unwrapped(payload: bytes) -> tuple[str, bytes]:
    """Return the stream's name, empty for a bare event, and the event."""
    wrapper = _wrapper.decode(payload)
    return (wrapper.stream, bytes(wrapper.data)) if wrapper.stream else ("", payload)


def number_texts(samples: Sequence[bytes]) -> tuple[list[str], list[str]]:
    """Return price and quantity texts found in frames and snapshots."""
    prices: list[str] = []
    quantities: list[str] = []
    for payload in samples:
        try:
            rows = _rows(msgspec.json.decode(unwrapped(payload)[1]))
            found = [(plain(str(row[0])), plain(str(row[1]))) for row in rows]
        except (ValueError, LookupError, TypeError):
            continue  # of another kind, or damaged
        prices += [price for price, _ in found]
        quantities += [qty for _, qty in found]
    return prices, quantities


def _rows(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        return []
    rows: list[Any] = []
    for name in ("bids", "asks", "b", "a"):
        value = body.get(name)
        if isinstance(value, list):
            rows += value
    return rows


def recorded_listings(
    samples: Mapping[str, Sequence[bytes]], make: Callable[..., Listing]
) -> tuple[tuple[Listing, ...], dict[str, Listing]]:
    """Return listings that hold all that was recorded, and by symbol those of the grid shown.

    ``make`` is the venue's: it takes base and quote, and by name scales and least notional.
    """
    whole: list[Listing] = []
    shown: dict[str, Listing] = {}
    for instrument, payloads in samples.items():
        name = split_instrument(instrument)
        template = make(name.base, name.quote, price_scale=8, qty_scale=8, notional_min="5")
        listing, grid = recorded_listing(template, payloads)
        whole.append(listing)
        shown[listing.symbol] = grid
    return tuple(whole), shown


def recorded_listing(template: Listing, samples: Sequence[bytes]) -> tuple[Listing, Listing]:
    """Return a listing that holds everything recorded, and one with the grid that shows in it."""
    prices, quantities = number_texts(samples)
    return listing_as_recorded(template, prices, quantities, decimals_unknown=(8, 8))
