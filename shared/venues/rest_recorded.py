"""Recorded frames of a venue whose books join a REST snapshot, played to clients. Pure.

Frames are sent as they were recorded, and the books are rebuilt for who comes later; who comes
before a book's snapshot waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.hub import Hub
from shared.simulated.recorded import BookRebuilder, Rows, listing_as_recorded, plain
from shared.simulated.rest import Answer, Pending
from shared.venues.rest_join import SequenceRule, Snapshot, Update, Verdict

EARLY_MAX = 10_000  # changes that wait for their snapshot
WAITING_MAX = 1_000  # requests that wait for the snapshot of one book


class RecordedFormat(Protocol):
    """How a venue's recorded payloads are read."""

    @property
    def rule(self) -> SequenceRule:
        """How changes follow one another."""

    def topic(self, payload: bytes, listing: Listing) -> str:
        """Return the topic of a frame, empty where it has none."""

    def books_topic(self, listing: Listing) -> str:
        """Return the topic of a book's changes."""

    def update(self, payload: bytes) -> Update:
        """Read a change of a book, or raise ``ParseError``."""

    def snapshot(self, body: bytes) -> Snapshot:
        """Read a REST book, or raise ``ParseError``."""

    def levels(self, payload: bytes) -> tuple[Rows, Rows]:
        """Return bids and asks of either, as written."""

    def failed(self, text: str) -> Answer:
        """Return the answer of a venue that has no book."""


@dataclass(slots=True)
class PlayedBook:
    """Where one recorded book is; ``seq`` is 0 before its snapshot and after a gap."""

    listing: Listing
    seq: int = 0
    snapshot: bytes = b""
    early: deque[bytes] = field(default_factory=lambda: deque(maxlen=EARLY_MAX))
    waiting: list[Pending] = field(default_factory=list)


class RecordedRestBooks:
    """Sends frames as recorded, and rebuilds the books for who comes later."""

    def __init__(self, exchange: Exchange, hub: Hub, form: RecordedFormat) -> None:
        self._exchange, self._hub, self._form = exchange, hub, form
        self._rebuilder = BookRebuilder(exchange)
        self._books = {x.instrument: PlayedBook(x) for x in exchange.by_instrument.values()}
        self._is_over = False

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        state = self._books.get(instrument)
        topic = "" if state is None else self._form.topic(payload, state.listing)
        if state is None or not topic:
            return
        is_book = topic == self._form.books_topic(state.listing)
        if is_book:
            self._apply(state, payload, now_ns // 1_000_000)
        publish = self._hub.publish_delta if is_book else self._hub.publish
        publish(topic, payload, None, instrument)

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Let a snapshot arrive."""
        state = self._books.get(instrument)
        if state is None:
            return
        try:
            snapshot = self._form.snapshot(body)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        if snapshot.last_id < state.seq:
            return  # the book is beyond it already
        now_ms = now_ns // 1_000_000
        self._rebuilder.replace(state.listing, *self._form.levels(body), now_ms)
        state.snapshot = body
        self._advance(state, snapshot.last_id)
        self._settle(state)
        early = list(state.early)
        state.early.clear()
        for payload in early:
            self._apply(state, payload, now_ms)

    def end(self) -> None:
        """The recording is over: no snapshot is waited for any more."""
        self._is_over = True
        for state in self._books.values():
            self._settle(state)

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber."""
        topics, topic_of = self._hub.topics, self._form.books_topic
        return [name for name, s in self._books.items() if topic_of(s.listing) not in topics]

    def seq(self, symbol: str) -> int:
        """Return the number of the last change in a book, 0 where it has none."""
        return self._books[self._exchange.by_symbol[symbol].instrument].seq

    def book(self, symbol: str, answer: Answer) -> Answer | Pending:
        """Return the answer from the rebuilt book, or the recorded snapshot once its time has come.

        Where the recording ends without one, the venue has failed.
        """
        state = self._books[self._exchange.by_symbol[symbol].instrument]
        if state.seq:
            return answer
        if self._is_over or len(state.waiting) >= WAITING_MAX:
            return self._no_snapshot(state)
        pending = Pending()
        state.waiting.append(pending)
        return pending

    def _settle(self, state: PlayedBook) -> None:
        waiting, state.waiting = state.waiting, []
        for pending in waiting:
            pending.settle(Answer(state.snapshot) if state.seq else self._no_snapshot(state))

    def _no_snapshot(self, state: PlayedBook) -> Answer:
        return self._form.failed(f"the recording holds no snapshot of {state.listing.symbol}")

    def _apply(self, state: PlayedBook, payload: bytes, now_ms: int) -> None:
        if not state.seq:
            state.early.append(payload)
            return
        try:
            update = self._form.update(payload)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        verdict = self._form.rule.follow(state.seq, update)
        if verdict is Verdict.GAP:
            # What the recording lost is not known: a request waits for the next snapshot recorded.
            state.seq = 0
            state.early.append(payload)
        elif verdict is Verdict.APPLY:
            self._rebuilder.change(state.listing, *self._form.levels(payload), now_ms)
            self._advance(state, update.last_id)

    def _advance(self, state: PlayedBook, seq: int) -> None:
        state.seq = seq
        book = self._exchange.books[state.listing.instrument]
        book.seq, book.changed = seq, {}


def recorded_listing(
    template: Listing,
    samples: Sequence[bytes],
    levels_of: Callable[[bytes], tuple[Rows, Rows]],
) -> tuple[Listing, Listing]:
    """Return a listing that holds everything recorded, and one with the grid that shows in it."""
    prices: list[str] = []
    quantities: list[str] = []
    for payload in samples:
        for side in levels_of(payload):
            for price, qty, *_ in side:
                try:
                    pair = plain(str(price)), plain(str(qty))
                except ValueError:
                    continue
                prices.append(pair[0])
                quantities.append(pair[1])
    unknown = template.price_scale, template.qty_scale
    return listing_as_recorded(template, prices, quantities, decimals_unknown=unknown)
