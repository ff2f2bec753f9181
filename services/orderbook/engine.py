"""All books of the owned shards: proved messages in, depth views and resync requests out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from services.orderbook.arbitration import Arbitration
from services.orderbook.audits import Audits
from services.orderbook.facts import name_of
from services.orderbook.tracked import TrackedBook
from services.orderbook.views import Views, refresh_request
from shared.bus.port import shard_of
from shared.config_sections import Config, OrderbookConfig
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.errors import CodecError
from shared.messages.base import BookState, FeedName, Message
from shared.messages.book_audit import AuditVerdict, BookAudit, BookAuditAsked, BookAudited
from shared.messages.control import Alert, Severity
from shared.messages.market import BookDelta, BookSnapshot, VenueStatus

_LIVE: Final = BookState.LIVE
_ONLY: Final = FeedName.ONLY

BOOKS_MAX = 4_096
"""Books followed; messages of more are refused and counted."""
NOT_LIVE_REFRESH_NS = 1_000_000_000
"""How often the view of a book that is not LIVE is repeated."""

ALERTING_SHARD = 0
"""Who owns it tells of feeds that are lost, so that several instances do not all do."""
ALERT_DIFFERENCES_MAX = 3
"""How many differing levels an alert names."""

_MS = 1_000_000
_COUNTERS = (
    "book_events",
    "gaps",
    "resyncs",
    "crossed",
    "silences",
    "views",
    "books_refused",
    "refreshes",
    "dropped_old_epoch",
    "dropped_duplicate",
    "dropped_without_snapshot",
    "dropped_broken",
    "audits_agree",
    "audits_differ",
    "audits_undecided",
    "audits_failed",
    "feeds_duplicates",
    "feeds_diverged",
)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a restart of one shard needs: its books, and an ``md.book`` entry to read on after.

    A book may have been saved later than ``entry_id``: deltas it already has are dropped by their
    sequence number.
    """

    entry_id: str
    books: list[msgspec.Raw]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Checkpoint)


def join_checkpoint(entry_id: str, books: Iterable[bytes]) -> bytes:
    """Return the checkpoint of a shard from its books, none of them saved before ``entry_id``."""
    saved = [msgspec.Raw(book) for book in books if book]
    return _ENCODER.encode(Checkpoint(entry_id=entry_id, books=saved))


class OrderbookEngine:
    """Keeps the books. See ``tracked.py`` for what makes a book trusted.

    Args:
        config: Depth, staleness and refresh.
        shards: How many shards there are.
        accepted: Venues whose books are taken for LIVE though nothing proves them.
        two_feeds: Venues that two ingestors follow.
    """

    def __init__(
        self,
        config: OrderbookConfig,
        shards: int = 1,
        accepted: Collection[str] = (),
        two_feeds: Collection[str] = (),
    ) -> None:
        self._config, self._shards, self._accepted = config, shards, accepted
        self._refresh_ns = config.refresh_ms * _MS
        self._tick_ns = max(self._refresh_ns // 5, 10 * _MS)
        self._next_tick_ns: int | None = None
        self._owned: dict[int, None] = {}
        self._books: dict[tuple[str, str], TrackedBook] = {}
        """Those that one ingestor feeds."""
        self._counters = dict.fromkeys(_COUNTERS, 0)
        self._views = Views(config.depth_levels, self._counters)
        self._arbitration = Arbitration(
            two_feeds,
            self._views,
            self._new_book,
            depth_levels=config.depth_levels,
            stale_after_ns=config.stale_after_ms * _MS,
            counters=self._counters,
        )
        self._audits = Audits()

    # Ownership

    def own(self, shard: int, checkpoint: bytes | None, now_ns: int) -> str | None:
        """Start to keep a shard, from its checkpoint if there is one.

        Returns:
            The entry of ``md.book`` after which to read on, ``None`` if that is not known.

        Raises:
            CodecError: The checkpoint does not decode; the shard is kept, with no books yet.
        """
        self._owned[shard] = None
        if checkpoint is None:
            return None
        try:
            saved = _DECODER.decode(checkpoint)
            for raw in saved.books:
                state = msgspec.msgpack.decode(raw)
                feed = FeedName(state.get("feed", ""))
                book = self._book(state["venue"], state["instrument"], feed)
                if book is not None:
                    book.load(state, now_ns)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            self._drop(shard)
            raise CodecError(f"the checkpoint of shard {shard} does not decode: {error}") from error
        return saved.entry_id

    def drop_shard(self, shard: int) -> None:
        """Forget a shard and its books."""
        self._owned.pop(shard, None)
        self._drop(shard)

    def names(self, shard: int) -> list[tuple[str, ...]]:
        """Return the books of a shard: venue and instrument, and the feed where there are two."""
        return [book.name for book in self._books_of(shard)]

    def save_part(self, name: tuple[str, ...]) -> bytes:
        """Return the state of one book; empty if it has been dropped since ``names``."""
        book = self._find(name)
        return b"" if book is None else _ENCODER.encode(book.save())

    def join_parts(self, entry_id: str, parts: Sequence[bytes]) -> bytes:
        """Return the checkpoint of a shard from its books."""
        return join_checkpoint(entry_id, parts)

    def _drop(self, shard: int) -> None:
        for book in list(self._books_of(shard)):
            self._books.pop((book.venue, book.instrument), None)
            self._arbitration.groups.pop((book.venue, book.instrument), None)
            self._audits.forget(book.name)

    def _books_of(self, shard: int) -> Iterable[TrackedBook]:
        for book in (*self._books.values(), *self._arbitration.books()):
            if shard_of(book.instrument, self._shards) == shard:
                yield book

    # Engine

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Nothing yet: what is saved belongs to a shard, see ``own``."""
        return NOTHING

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved with a step: books are saved shard by shard, see ``save_part``."""
        return {}

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take a book message or a status; return the views and requests that follow."""
        if type(message) is BookDelta:
            book = self._books.get((message.venue, message.instrument))
            if book is None or message.feed is not _ONLY:
                book = self._book(message.venue, message.instrument, message.feed)
                if book is None:
                    return NOTHING
            if self._audits.running:
                self._audits.on_delta(message)
            if book.is_grouped:
                return Step(messages=self._arbitration.on_delta(message, book, now_ns))
            book.on_delta(message, now_ns)
            if book.shown_live and book.state is _LIVE:
                if not book.book.touched:
                    return NOTHING
                if not book.wants_resync:  # nearly always
                    self._counters["views"] += 1
                    return Step(messages=[self._views.view(book, now_ns, 0)])
            return Step(messages=self._views.outputs(book, now_ns))
        if type(message) is BookSnapshot:
            book = self._book(message.venue, message.instrument, message.feed)
            if book is None:
                return NOTHING
            if book.is_grouped:
                return Step(messages=self._arbitration.on_snapshot(message, book, now_ns))
            book.on_snapshot(message, now_ns)
            return Step(messages=self._views.outputs(book, now_ns))
        if type(message) is VenueStatus:
            return Step(messages=self._on_status(message, now_ns))
        if type(message) is BookAuditAsked:
            book = self._find(name_of(message))
            if book is not None:
                self._audits.on_asked(message, book)
        elif type(message) is BookAudit:
            self._audits.on_answer(message)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Judge silence, ask again for lost books, and repeat views."""
        self._next_tick_ns = now_ns + self._tick_ns
        out: list[Message] = self._end_audits(now_ns) if self._audits.running else []
        view_ns = now_ns - self._refresh_ns + self._tick_ns // 2
        for book in self._books.values():
            if book.shown_ns > view_ns and book.is_calm(now_ns):  # nearly always
                continue
            book.on_timer(now_ns)
            live = book.state is _LIVE
            refresh_ns = self._refresh_ns if live else NOT_LIVE_REFRESH_NS
            # Half a tick of slack: a view is repeated at the tick nearest to its time.
            if now_ns - book.shown_ns >= refresh_ns - self._tick_ns // 2:
                book.forget_shown()
            out.extend(self._views.outputs(book, now_ns))
            if book.refresh_due(now_ns):
                out.append(refresh_request(book, now_ns))
        if self._arbitration.groups:
            not_live_ns = now_ns - NOT_LIVE_REFRESH_NS + self._tick_ns // 2
            out += self._arbitration.on_timer(now_ns, view_ns, not_live_ns)
            while self._arbitration.dropped:
                self._audits.forget(self._arbitration.dropped.pop().name)
        if ALERTING_SHARD in self._owned:
            out += self._arbitration.watch.on_timer(now_ns)
        return Step(messages=out) if out else NOTHING

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` wants to be called."""
        return self._next_tick_ns if self._next_tick_ns is not None else 0

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return self._counters

    def gauges(self) -> Mapping[str, float]:
        """Return how many books there are, trusted, and of instruments that no venue serves."""
        groups = self._arbitration.groups.values()
        live = sum(1 for book in self._books.values() if book.state is _LIVE)
        live += sum(1 for group in groups if group.is_live)
        refused = sum(1 for book in self._books.values() if book.is_refused)
        refused += sum(1 for group in groups if group.is_refused)
        return {
            "books": float(len(self._books) + len(groups) - refused),
            "books_live": float(live),
            "books_not_served": float(refused),
            "feeds_lost": float(
                self._arbitration.watch.lost if ALERTING_SHARD in self._owned else 0
            ),
        }

    def _on_status(self, status: VenueStatus, now_ns: int) -> list[Message]:
        if status.instrument:
            if shard_of(status.instrument, self._shards) not in self._owned:
                return []
            book = self._book(status.venue, status.instrument, status.feed)
            books = [] if book is None else [book]
        else:
            self._arbitration.watch.on_status(status, now_ns)
            every = (*self._books.values(), *self._arbitration.books())
            books = [b for b in every if b.venue == status.venue and b.feed is status.feed]
        out: list[Message] = []
        for book in books:
            if book.is_grouped:
                out += self._arbitration.on_status(status, book, now_ns)
                continue
            book.on_status(status, now_ns)
            out.extend(self._views.outputs(book, now_ns, status.ts_ns))
        return out

    def _end_audits(self, now_ns: int) -> list[Message]:
        out: list[Message] = []
        for audited in self._audits.finished(self._find, now_ns):
            self._counters[_COUNTER_OF[audited.verdict]] += 1
            out.append(audited)
            if audited.failed:
                self._counters["audits_failed"] += 1
                out.append(_audit_alert(audited))
        return out

    def _book(self, venue: str, instrument: str, feed: FeedName) -> TrackedBook | None:
        """Return a book, made if need be; ``None`` if there are too many."""
        place = venue, instrument
        if self._arbitration.is_of(venue, instrument, feed):
            return self._arbitration.book(venue, instrument, feed, self._books.pop(place, None))
        book = self._books.get(place)
        if book is None:
            book = self._new_book(venue, instrument, feed)
            if book is not None:
                self._books[place] = book
        return book

    def _new_book(self, venue: str, instrument: str, feed: FeedName) -> TrackedBook | None:
        if len(self._books) + sum(1 for _ in self._arbitration.books()) >= BOOKS_MAX:
            self._counters["books_refused"] += 1
            return None
        return TrackedBook(
            venue,
            instrument,
            stale_after_ns=self._config.stale_after_ms * _MS,
            counters=self._counters,
            accepts_unproved=venue in self._accepted,
            feed=feed,
        )

    def _find(self, name: tuple[str, ...]) -> TrackedBook | None:
        """Return the book of this name, ``None`` where there is none."""
        venue, instrument, *feed = name
        found = None if feed else self._books.get((venue, instrument))
        return found or self._arbitration.find(venue, instrument, FeedName(feed[0] if feed else ""))


_COUNTER_OF = {
    AuditVerdict.AGREES: "audits_agree",
    AuditVerdict.DIFFERS: "audits_differ",
    AuditVerdict.UNDECIDED: "audits_undecided",
}


def _audit_alert(audited: BookAudited) -> Alert:
    differences = "; ".join(audited.differences[:ALERT_DIFFERENCES_MAX])
    feed = f" of feed {audited.feed}" if audited.feed else ""
    return Alert(
        service="orderbook",
        severity=Severity.WARNING,
        code="BOOK_AUDIT_FAILED",
        text=f"{audited.venue} {audited.instrument}{feed} differed from the venue's REST book in "
        f"{audited.compared} levels that nobody moved: {differences}; it starts over",
        ts_ns=audited.ts_ns,
        subject=f"{audited.venue}|{audited.instrument}",
    )


def accepted_venues(config: Config) -> list[str]:
    """Return the venues whose books the configuration accepts without proof."""
    return [name for name, venue in config.venues.items() if venue.accept_unproved]


def new_engine(config: Config) -> OrderbookEngine:
    """Return the engine of a configuration."""
    two_feeds = [name for name, venue in config.venues.items() if venue.two_feeds]
    accepted = accepted_venues(config)
    return OrderbookEngine(config.orderbook, config.bus.shards, accepted, two_feeds)


ENGINE = EngineSpec(new=lambda config, given: new_engine(config))
