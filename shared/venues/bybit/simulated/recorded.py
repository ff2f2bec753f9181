"""Recorded Bybit frames played to the clients of the simulated venue. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.venues.bybit import parse
from shared.venues.bybit.recordings import levels_of, read_marks
from shared.venues.bybit.sequence import follow, is_whole
from shared.venues.bybit.simulated.streams import MarketStreams
from shared.venues.rest_join import Verdict


class RecordedBybit:
    """Rebuilds the books, and sends them to each depth as the venue would.

    Of a book recorded with fewer levels than are asked for there is what was recorded. After a gap
    there is no book until the next snapshot.
    """

    def __init__(self, exchange: Exchange, streams: MarketStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)
        self._at: dict[str, tuple[str, int]] = {}  # instrument -> its topic, and ``u``

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        listing, marks = self._exchange.by_instrument.get(instrument), read_marks(payload)
        if listing is None or marks is None:
            return
        if marks.kind == "orderbook":
            self._book(listing, payload, now_ns // 1_000_000)
        else:
            topic = f"{marks.kind}.{listing.symbol}"
            self._streams.hub.publish(topic, payload, None, instrument)

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Nothing: books come on the connection."""

    def end(self) -> None:
        """Nobody waits for anything."""

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber."""
        return [
            name
            for name, listing in self._exchange.by_instrument.items()
            if not self._streams.topics_of(listing)
        ]

    def _book(self, listing: Listing, payload: bytes, now_ms: int) -> None:
        try:
            frame = parse.parse_book(payload)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        update_id, whole = frame.data.update_id, is_whole(frame.type, frame.data.update_id)
        topic, last = self._at.get(listing.instrument, (frame.topic, 0))
        if topic != frame.topic:
            return  # numbered apart: the book is rebuilt from the depth that came first
        if not whole:
            verdict = follow(last, update_id)
            if verdict is Verdict.GAP and last:  # what was lost is not known
                self._at[listing.instrument] = topic, 0
                self._rebuilder.replace(listing, [], [], now_ms)
            if verdict is not Verdict.APPLY or not last:
                return
        self._at[listing.instrument] = topic, update_id
        bids, asks = levels_of(payload)
        if whole:
            self._rebuilder.replace(listing, bids, asks, now_ms)
        else:
            self._rebuilder.change(listing, bids, asks, now_ms)
        book = self._exchange.books[listing.instrument]
        book.seq, book.changed = update_id, {}
        self._publish(listing, now_ms, whole=whole)

    def _publish(self, listing: Listing, now_ms: int, *, whole: bool) -> None:
        streams = self._streams
        for name in streams.topics_of(listing):
            window = streams.windows[name]
            if whole or window.is_empty():
                frame = window.restart(now_ms, window.last + 1)
                streams.hub.publish(name, frame, None, listing.instrument)
            elif (change := window.move(now_ms)) is not None:
                streams.hub.publish_delta(name, change, None, listing.instrument)


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
