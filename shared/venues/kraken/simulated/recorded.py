"""Recorded Kraken WebSocket v2 frames played to the clients of the simulated venue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import ParseError
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.base import BookState
from shared.messages.market import BookSnapshot
from shared.simulated.recorded import BookRebuilder, decimals
from shared.venues.kraken import parse
from shared.venues.kraken.recorded import precision_of
from shared.venues.kraken.recordings import KrakenRecordings, read_marks
from shared.venues.kraken.session import KrakenSession
from shared.venues.kraken.simulated.streams import PublicStreams
from shared.venues.port import BookStatus, Effect, Emit, Malformed

VENUE = "kraken"
Texts = list[tuple[str, str]]


@dataclass(slots=True)
class BookRun:
    """One recorded book on one recorded connection."""

    session: KrakenSession
    connection: int
    is_verbatim: bool = False
    """Its numbers are written as the venue writes them, so that frames can be sent as recorded."""


class RecordedKraken:
    """Sends frames as recorded where the depth asked for is the recorded one.

    Other depths, and books whose recorder rewrote the numbers, are served from the rebuilt book,
    which knows no more than was recorded. What a frame means, and how deep the book is, tells the
    reader of recordings; after a gap there is no book until the next snapshot.
    """

    def __init__(self, exchange: Exchange, streams: PublicStreams) -> None:
        self._exchange, self._streams = exchange, streams
        self._rebuilder = BookRebuilder(exchange)
        self._reader = KrakenRecordings()
        self._runs: dict[str, BookRun] = {}

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""
        return self._rebuilder.unusable

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a frame and keep the book up to date."""
        listing = self._exchange.by_instrument.get(instrument)
        if listing is None:
            return
        marks = read_marks(payload)
        if marks is None:
            self._rebuilder.unusable += 1
        elif marks.channel in {"trade", "ticker"}:
            self._publish(marks.channel, listing, payload)
        elif marks.channel == "book" or marks.is_answer:
            self._book(listing, self._run(instrument, payload, connection, now_ns), payload, now_ns)

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """Nothing: books come on the connection."""

    def end(self) -> None:
        """Nobody waits for anything."""

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber."""
        topics = self._streams.hub.topics
        return [
            name
            for name in self._exchange.by_instrument
            if not any(topic.startswith(f"book/{name}/") for topic in topics)
        ]

    def _run(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> BookRun:
        run = self._runs.get(instrument)
        if run is None or run.connection != connection:
            self._reader.instrument_of_frame(payload)  # learns how the venue spells it
            session = self._reader.session(VENUE, instrument)
            session.on_open(now_ns)
            run = self._runs[instrument] = BookRun(session, connection)
        return run

    def _book(self, listing: Listing, run: BookRun, payload: bytes, now_ns: int) -> None:
        instrument, now_ms = listing.instrument, now_ns // 1_000_000
        effects = run.session.on_frame(payload, now_ns)
        try:
            frame = parse.parse_book(payload)
        except ParseError:
            if any(isinstance(effect, Malformed) for effect in effects):
                self._rebuilder.unusable += 1
            return  # the answer to a subscription
        known = self._streams.recorded_depth.get(instrument)
        if frame.type == "snapshot":
            run.is_verbatim = all(is_verbatim(data, listing) for data in frame.data)
        whole = self._apply(listing, frame, effects, now_ms)
        depth = run.session.depth_of(instrument)
        if run.is_verbatim:
            self._streams.recorded_depth[instrument] = depth
        else:
            self._streams.recorded_depth.pop(instrument, None)
        self._rebuilder.truncate(listing, depth, now_ms)
        changed = self._streams.recorded_depth.get(instrument) != known
        if run.is_verbatim and (frame.type == "snapshot" or not (whole and changed)):
            topic = f"book/{instrument}/{depth}"
            self._streams.hub.publish_delta(topic, payload, None, instrument)
        if whole:
            is_deeper = changed and frame.type != "snapshot"
            self._streams.publish_snapshots(instrument, every=is_deeper)
        self._streams.flush(instrument)

    def _apply(
        self, listing: Listing, frame: parse.BookFrame, effects: Sequence[Effect], now_ms: int
    ) -> bool:
        """Do to the rebuilt book what was made of a frame; return whether it began again."""
        whole = False
        for effect in effects:
            if isinstance(effect, BookStatus) and effect.state is BookState.GAP:
                self._rebuilder.replace(listing, [], [], now_ms)
                self._streams.break_off(listing.instrument)
            if not isinstance(effect, Emit):
                continue
            if not isinstance(effect.message, BookSnapshot):
                if not whole:
                    self._rebuilder.change(listing, *_texts(frame), now_ms)
                continue
            whole = True
            if frame.type == "snapshot":
                self._rebuilder.replace(listing, *_texts(frame), now_ms)
            else:  # the book of a greater depth, which holds this change
                message = effect.message
                bids, asks = (_written(side, listing) for side in (message.bids, message.asks))
                self._rebuilder.replace(listing, bids, asks, now_ms)
        return whole

    def _publish(self, channel: str, listing: Listing, payload: bytes) -> None:
        hub, instrument = self._streams.hub, listing.instrument
        for topic in tuple(hub.topics):
            if topic.startswith(f"{channel}/{instrument}"):
                hub.publish(topic, payload, None, instrument)


def _texts(frame: parse.BookFrame) -> tuple[Texts, Texts]:
    bids, asks = (
        [(_text(row.price), _text(row.qty)) for data in frame.data for row in getattr(data, side)]
        for side in ("bids", "asks")
    )
    return bids, asks


def _text(number: Any) -> str:
    return bytes(number).decode().strip('"')


def _written(levels: Any, listing: Listing) -> Texts:
    """Write floats with the decimals that were recorded, which they were read from."""
    return [
        (f"{price:.{listing.price_scale}f}", f"{qty:.{listing.qty_scale}f}")
        for price, qty in levels
    ]


def is_verbatim(data: parse.BookData, listing: Listing) -> bool:
    """Tell whether a client that proves checksums over the text can be sent it as recorded."""
    precision, is_unprovable = precision_of(data)
    if is_unprovable or precision is None:
        return not is_unprovable
    return precision == (listing.price_scale, listing.qty_scale) and all(
        len(bytes(number).partition(b".")[2]) == places
        and bytes(number).replace(b".", b"").isdigit()
        for row in (*data.bids, *data.asks)
        for number, places in zip((row.price, row.qty), precision, strict=True)
    )


def recorded_listing(template: Listing, samples: Sequence[bytes]) -> Listing:
    """Return a listing with the decimals that were recorded: checksums need exactly those."""
    prices: list[int] = []
    quantities: list[int] = []
    for payload in samples:
        try:
            frame = parse.parse_book(payload)
            proved = [precision_of(data)[0] for data in frame.data if frame.type == "snapshot"]
        except ParseError:
            continue  # of another channel, or damaged
        texts = [row for side in _texts(frame) for row in side]
        try:
            prices += [decimals(price) for price, _ in texts]
            quantities += [decimals(qty) for _, qty in texts]
        except ValueError:
            continue
        prices += [one[0] for one in proved if one is not None]
        quantities += [one[1] for one in proved if one is not None]
    price_scale = max(prices, default=template.price_scale)
    qty_scale = max(quantities, default=template.qty_scale)
    changed: dict[str, Any] = {"price_scale": price_scale, "price_decimals": price_scale}
    return replace(template, **changed, qty_scale=qty_scale, qty_decimals=qty_scale)
