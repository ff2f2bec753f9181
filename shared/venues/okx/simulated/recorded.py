"""Recorded OKX frames played to the clients of the simulated venue. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.venues.okx import parse
from shared.venues.okx.recordings import levels_of, read_marks
from shared.venues.okx.sequence import Chain
from shared.venues.okx.simulated.streams import BOOKS, MarketStreams
from shared.venues.rest_join import Verdict


class RecordedOkx:
    """Rebuilds the books and sends them as the venue does today, numbered by ``seqId``.

    After a gap there is no book until the next snapshot. Recordings of the form without numbers
    are taken as whole.
    """

    def __init__(self, exchange: Exchange, streams: MarketStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)
        self._chains: dict[str, Chain | None] = {}  # of books that have begun

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        listing, marks = self._exchange.by_instrument.get(instrument), read_marks(payload)
        if listing is None or marks is None:
            return
        if marks.channel == BOOKS:
            self._book(listing, payload, now_ns // 1_000_000)
        else:
            self._streams.hub.publish(
                f"{marks.channel}:{listing.symbol}", payload, None, instrument
            )

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Nothing: books come on the connection."""

    def end(self) -> None:
        """Nobody waits for anything."""

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber."""
        return [
            name
            for name, listing in self._exchange.by_instrument.items()
            if listing.symbol not in self._streams.windows
        ]

    def _book(self, listing: Listing, payload: bytes, now_ms: int) -> None:
        try:
            frame = parse.parse_book(payload)
        except ParseError:
            self._rebuilder.unusable += 1
            return
        whole = frame.action == "snapshot"
        for row in frame.data:
            if whole:
                chain = None if row.seq is None else Chain(row.seq)
                self._chains[listing.instrument] = chain
            elif not self._continues(listing, row, now_ms):
                return
        bids, asks = levels_of(payload)
        if whole:
            self._rebuilder.replace(listing, bids, asks, now_ms)
        else:
            self._rebuilder.change(listing, bids, asks, now_ms)
        self._exchange.books[listing.instrument].changed = {}
        self._streams.move(listing, now_ms, whole=whole)

    def _continues(self, listing: Listing, row: parse.BookRow, now_ms: int) -> bool:
        if listing.instrument not in self._chains:
            return False
        chain = self._chains[listing.instrument]
        if chain is None or row.seq is None or row.prev_seq is None:
            return chain is None
        verdict = chain.follow(row.prev_seq, row.seq)
        if verdict is Verdict.GAP:  # what was lost is not known
            del self._chains[listing.instrument]
            self._rebuilder.replace(listing, [], [], now_ms)
        return verdict is Verdict.APPLY


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
