"""Recorded Kraken Futures frames played to the clients of the simulated venue. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.venues.krakenfutures import parse
from shared.venues.krakenfutures.recordings import levels_of, read_marks
from shared.venues.krakenfutures.sequence import follow
from shared.venues.krakenfutures.simulated.streams import BOOK, MarketStreams
from shared.venues.rest_join import Verdict


class RecordedKrakenFutures:
    """Sends frames as recorded, and rebuilds the books for who comes later.

    After a gap there is no book until the next snapshot.
    """

    def __init__(self, exchange: Exchange, streams: MarketStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        listing, marks = self._exchange.by_instrument.get(instrument), read_marks(payload)
        if listing is None or marks is None:
            return
        hub = self._streams.hub
        feed = marks.feed.removesuffix("_snapshot")
        topic = f"{feed}/{listing.symbol}"
        if feed == BOOK:
            self._keep(listing, marks.feed, payload, now_ns // 1_000_000)
        if marks.feed == BOOK:
            hub.publish_delta(topic, payload, None, instrument)
        else:
            hub.publish(topic, payload, None, instrument)

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Nothing: books come on the connection."""

    def end(self) -> None:
        """Nobody waits for anything."""

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber."""
        return [
            name
            for name, listing in self._exchange.by_instrument.items()
            if not self._streams.is_watched(listing)
        ]

    def _keep(self, listing: Listing, feed: str, payload: bytes, now_ms: int) -> None:
        try:
            is_whole = feed != BOOK
            seq = (parse.parse_snapshot if is_whole else parse.parse_book)(payload).seq
        except ParseError:
            self._rebuilder.unusable += 1
            return
        last = self._streams.seqs[listing.symbol]
        if not is_whole:
            verdict = follow(last, seq)
            if verdict is Verdict.GAP and last:  # what was lost is not known
                self._streams.seqs[listing.symbol] = 0
                self._rebuilder.replace(listing, [], [], now_ms)
            if verdict is not Verdict.APPLY or not last:
                return
        self._streams.seqs[listing.symbol] = seq
        bids, asks = levels_of(payload)
        if is_whole:
            self._rebuilder.replace(listing, bids, asks, now_ms)
        else:
            self._rebuilder.change(listing, bids, asks, now_ms)
        self._exchange.books[listing.instrument].changed = {}


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
