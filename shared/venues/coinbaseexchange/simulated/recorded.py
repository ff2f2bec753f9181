"""Recorded Coinbase Exchange frames played to the clients of the simulated venue. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.simulated.recorded import BookRebuilder, listing_as_recorded, plain
from shared.venues.coinbaseexchange.recordings import levels_of, read_marks
from shared.venues.coinbaseexchange.simulated.streams import (
    BOOKS,
    HEARTBEAT,
    MATCHES,
    SIGNED,
    MarketStreams,
)

_TOPICS = {
    "snapshot": (SIGNED, BOOKS),
    "l2update": (SIGNED, BOOKS),
    "match": (MATCHES,),
    "last_match": (MATCHES,),
    "heartbeat": (HEARTBEAT,),
}


class RecordedCoinbase:
    """Sends frames as recorded, and rebuilds the books for who comes later."""

    def __init__(self, exchange: Exchange, streams: MarketStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)
        self._begun: set[str] = set()  # instruments whose snapshot came

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        listing, marks = self._exchange.by_instrument.get(instrument), read_marks(payload)
        if listing is None or marks is None:
            return
        now_ms = now_ns // 1_000_000
        if marks.type == "snapshot":
            self._begun.add(instrument)
            self._rebuilder.replace(listing, *levels_of(payload), now_ms)
        elif marks.type == "l2update" and instrument in self._begun:
            self._rebuilder.change(listing, *levels_of(payload), now_ms)
        self._exchange.books[instrument].changed = {}
        hub = self._streams.hub
        publish = hub.publish_delta if marks.type == "l2update" else hub.publish
        for channel in _TOPICS[marks.type]:
            publish(f"{channel}/{listing.symbol}", payload, None, instrument)

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
