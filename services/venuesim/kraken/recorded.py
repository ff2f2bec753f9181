"""Recorded Kraken WebSocket v2 frames played to the clients of the simulated venue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from services.venuesim.exchange import Exchange
from services.venuesim.kraken.book import DEPTHS
from services.venuesim.kraken.streams import PublicStreams
from services.venuesim.listing import Listing
from services.venuesim.recorded import BookRebuilder, decimals
from shared.capture import CaptureItem, Kind

_PRICE = re.compile(rb'"price": ?"?([0-9.]+)')
_QTY = re.compile(rb'"qty": ?"?([0-9.]+)')


class Row(msgspec.Struct):
    """A level; raw, because the checksum is over the text."""

    price: msgspec.Raw
    qty: msgspec.Raw


class Book(msgspec.Struct):
    """The data of a book frame."""

    bids: list[Row] = []
    asks: list[Row] = []


class Frame(msgspec.Struct):
    """What is needed of a frame."""

    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


_frame = msgspec.json.Decoder(Frame)
_books = msgspec.json.Decoder(list[Book])


class RecordedKraken:
    """Sends frames as recorded where the depth asked for is the recorded one.

    Other depths are served from the rebuilt book, which knows no more than was recorded.
    """

    def __init__(self, exchange: Exchange, streams: PublicStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play(self, item: CaptureItem) -> None:
        """Send a frame and keep the book up to date."""
        listing = self._exchange.by_instrument.get(item.instrument or "")
        if listing is None or item.kind is not Kind.FRAME:
            return
        try:
            frame = _frame.decode(item.payload)
            if frame.channel == "book":
                self._book(listing, frame, item)
            elif frame.channel in {"trade", "ticker"}:
                self._publish(frame.channel, listing, item.payload)
        except msgspec.DecodeError:
            self._rebuilder.unusable += 1

    def end(self) -> None:
        """Nobody waits for anything."""

    def unheard(self) -> list[str]:
        """Return instruments whose book nobody subscribed."""
        topics = self._streams.hub.topics
        return [
            name
            for name in self._exchange.by_instrument
            if not any(topic.startswith(f"book/{name}/") for topic in topics)
        ]

    def _book(self, listing: Listing, frame: Frame, item: CaptureItem) -> None:
        now_ms = item.ts_recv_ns // 1_000_000
        instrument = listing.instrument
        for book in _books.decode(frame.data):
            bids, asks = _texts(book.bids), _texts(book.asks)
            if frame.type == "snapshot":
                levels = max(len(bids), len(asks))
                depth = next((d for d in DEPTHS if d >= levels), DEPTHS[-1])
                self._streams.recorded_depth[instrument] = depth
                self._rebuilder.replace(listing, bids, asks, now_ms)
            else:
                self._rebuilder.change(listing, bids, asks, now_ms)
        recorded = self._streams.recorded_depth.get(instrument)
        if recorded is None:
            return  # nothing can be said before the first snapshot
        self._rebuilder.truncate(listing, recorded, now_ms)
        topic = f"book/{instrument}/{recorded}"
        self._streams.hub.publish_delta(topic, item.payload, None, instrument)
        if frame.type == "snapshot":
            self._streams.publish_snapshots(instrument)
        self._streams.flush(instrument)

    def _publish(self, channel: str, listing: Listing, payload: bytes) -> None:
        hub, instrument = self._streams.hub, listing.instrument
        for topic in tuple(hub.topics):
            if topic.startswith(f"{channel}/{instrument}"):
                hub.publish(topic, payload, None, instrument)


def _texts(rows: list[Row]) -> list[tuple[str, str]]:
    return [
        (bytes(row.price).decode().strip('"'), bytes(row.qty).decode().strip('"')) for row in rows
    ]


def recorded_listing(template: Listing, samples: Sequence[bytes]) -> Listing:
    """Return a listing with the decimals that were recorded: checksums need exactly those."""
    prices = [text.decode() for payload in samples for text in _PRICE.findall(payload)]
    quantities = [text.decode() for payload in samples for text in _QTY.findall(payload)]
    price_scale = max((decimals(text) for text in prices), default=template.price_scale)
    qty_scale = max((decimals(text) for text in quantities), default=template.qty_scale)
    changed: dict[str, Any] = {"price_scale": price_scale, "price_decimals": price_scale}
    return replace(template, **changed, qty_scale=qty_scale, qty_decimals=qty_scale)
