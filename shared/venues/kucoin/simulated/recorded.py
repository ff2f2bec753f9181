"""Recorded KuCoin frames played to the clients of the simulated venue. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.simulated.rest import Answer, Pending, json_answer
from shared.venues.kucoin import parse
from shared.venues.kucoin.recordings import levels_of, read_marks
from shared.venues.kucoin.sequence import SEQUENCE
from shared.venues.kucoin.simulated.streams import BOOKS, MarketStreams
from shared.venues.rest_join import Verdict

EARLY_MAX = 10_000  # changes that wait for their snapshot
WAITING_MAX = 1_000  # requests that wait for the snapshot of one book


@dataclass(slots=True)
class PlayedBook:
    """Where one recorded book is; ``seq`` is 0 before its snapshot and after a gap."""

    listing: Listing
    seq: int = 0
    snapshot: bytes = b""
    early: deque[bytes] = field(default_factory=lambda: deque(maxlen=EARLY_MAX))
    waiting: list[Pending] = field(default_factory=list)


class RecordedKucoin:
    """Sends frames as recorded, and rebuilds the books for who comes later."""

    def __init__(self, exchange: Exchange, streams: MarketStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)
        self._books = {x.instrument: PlayedBook(x) for x in exchange.by_instrument.values()}
        self._is_over = False

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        state, marks = self._books.get(instrument), read_marks(payload)
        if state is None or marks is None or not marks.topic:
            return
        is_book = marks.topic == BOOKS
        if is_book:
            self._apply(state, payload, now_ns // 1_000_000)
        publish = self._streams.hub.publish_delta if is_book else self._streams.hub.publish
        publish(f"{marks.topic}:{state.listing.symbol}", payload, None, instrument)

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Let a snapshot arrive."""
        state = self._books.get(instrument)
        if state is None:
            return
        try:
            snapshot = parse.parse_rest_book(body)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        if snapshot.last_id < state.seq:
            return  # the book is beyond it already
        now_ms = now_ns // 1_000_000
        self._rebuilder.replace(state.listing, *levels_of(body), now_ms)
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
        topics = self._streams.hub.topics
        return [
            name for name, s in self._books.items() if f"{BOOKS}:{s.listing.symbol}" not in topics
        ]

    def book(self, symbol: str, answer: Answer) -> Answer | Pending:
        """Return the answer from the rebuilt book, or the recorded snapshot once its time has come.

        Where the recording ends without one, the venue has failed.
        """
        state = self._books[self._exchange.by_symbol[symbol].instrument]
        if state.seq:
            return answer
        if self._is_over or len(state.waiting) >= WAITING_MAX:
            return _no_snapshot(state)
        pending = Pending()
        state.waiting.append(pending)
        return pending

    def _settle(self, state: PlayedBook) -> None:
        waiting, state.waiting = state.waiting, []
        for pending in waiting:
            pending.settle(Answer(state.snapshot) if state.seq else _no_snapshot(state))

    def _apply(self, state: PlayedBook, payload: bytes, now_ms: int) -> None:
        if not state.seq:
            state.early.append(payload)
            return
        try:
            update = parse.parse_book(parse.parse_envelope(payload).data)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        verdict = SEQUENCE.follow(state.seq, update)
        if verdict is Verdict.GAP:
            # What the recording lost is not known: a request waits for the next snapshot recorded.
            state.seq = 0
            state.early.append(payload)
        elif verdict is Verdict.APPLY:
            self._rebuilder.change(state.listing, *levels_of(payload), now_ms)
            self._advance(state, update.last_id)

    def _advance(self, state: PlayedBook, seq: int) -> None:
        state.seq = seq
        book = self._exchange.books[state.listing.instrument]
        book.seq, book.changed = seq, {}


def _no_snapshot(state: PlayedBook) -> Answer:
    text = f"the recording holds no snapshot of {state.listing.symbol}"
    return json_answer({"code": "500000", "msg": text}, 503)


def recorded_listing(template: Listing, samples: Sequence[bytes]) -> tuple[Listing, Listing]:
    """Return a listing that holds everything recorded, and one with the grid that shows in it."""
    prices: list[str] = []
    quantities: list[str] = []
    for payload in samples:
        for side in levels_of(payload):
            for price, qty in side:
                try:
                    pair = plain(price), plain(qty)
                except ValueError:
                    continue
                prices.append(pair[0])
                quantities.append(pair[1])
    unknown = template.price_scale, template.qty_scale
    return listing_as_recorded(template, prices, quantities, decimals_unknown=unknown)
