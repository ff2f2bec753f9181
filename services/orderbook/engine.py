"""All books of the owned shards: proved messages in, depth views and resync requests out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from services.orderbook.audits import Audits
from services.orderbook.tracked import TrackedBook
from shared.bus.port import shard_of
from shared.config_sections import Config, OrderbookConfig
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.errors import CodecError
from shared.messages.base import BookState, Message
from shared.messages.book_audit import AuditVerdict, BookAudit, BookAuditAsked, BookAudited
from shared.messages.control import Alert, Severity
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    DepthView,
    Level,
    ResyncRequest,
    VenueStatus,
)

_LIVE: Final = BookState.LIVE

BOOKS_MAX = 4_096
"""Books followed; messages of more are refused and counted."""
NOT_LIVE_REFRESH_NS = 1_000_000_000
"""How often the view of a book that is not LIVE is repeated."""

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
    return _ENCODER.encode(Checkpoint(entry_id=entry_id, books=[msgspec.Raw(b) for b in books]))


class OrderbookEngine:
    """Keeps the books. See ``tracked.py`` for what makes a book trusted.

    Args:
        config: Depth, staleness and refresh.
        shards: How many shards there are.
        accepted: Venues whose books are taken for LIVE though nothing proves them.
    """

    def __init__(
        self, config: OrderbookConfig, shards: int = 1, accepted: Collection[str] = ()
    ) -> None:
        self._config, self._shards, self._accepted = config, shards, accepted
        self._refresh_ns = config.refresh_ms * _MS
        self._tick_ns = max(self._refresh_ns // 5, 10 * _MS)
        self._next_tick_ns: int | None = None
        self._owned: dict[int, None] = {}
        self._books: dict[tuple[str, str], TrackedBook] = {}
        self._counters = dict.fromkeys(_COUNTERS, 0)
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
                book = self._book(state["venue"], state["instrument"])
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

    def names(self, shard: int) -> list[tuple[str, str]]:
        """Return the books of a shard: venue and instrument."""
        return [(book.venue, book.instrument) for book in self._books_of(shard)]

    def save_part(self, name: tuple[str, str]) -> bytes:
        """Return the state of one book."""
        return _ENCODER.encode(self._books[name].save())

    def join_parts(self, entry_id: str, parts: Sequence[bytes]) -> bytes:
        """Return the checkpoint of a shard from its books."""
        return join_checkpoint(entry_id, parts)

    def _drop(self, shard: int) -> None:
        for book in list(self._books_of(shard)):
            del self._books[book.venue, book.instrument]
            self._audits.forget((book.venue, book.instrument))

    def _books_of(self, shard: int) -> Iterable[TrackedBook]:
        for book in self._books.values():
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
            if book is None:
                book = self._book(message.venue, message.instrument)
                if book is None:
                    return NOTHING
            if self._audits.running:
                self._audits.on_delta(message)
            book.on_delta(message, now_ns)
            if book.shown_live and book.state is _LIVE:
                if not book.book.touched:
                    return NOTHING
                if not book.wants_resync:  # nearly always
                    self._counters["views"] += 1
                    return Step(messages=[self._view(book, now_ns, 0)])
            return Step(messages=self._outputs(book, now_ns))
        if type(message) is BookSnapshot:
            book = self._book(message.venue, message.instrument)
            if book is None:
                return NOTHING
            book.on_snapshot(message, now_ns)
            return Step(messages=self._outputs(book, now_ns))
        if type(message) is VenueStatus:
            return Step(messages=self._on_status(message, now_ns))
        if type(message) is BookAuditAsked:
            book = self._books.get((message.venue, message.instrument))
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
            out.extend(self._outputs(book, now_ns))
            if book.refresh_due(now_ns):
                out.append(
                    _request(book, now_ns, "near the end of the snapshot's levels", refresh=True)
                )
        return Step(messages=out) if out else NOTHING

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` wants to be called."""
        return self._next_tick_ns if self._next_tick_ns is not None else 0

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return self._counters

    def gauges(self) -> Mapping[str, float]:
        """Return how many books there are, trusted, and of instruments that no venue serves."""
        live = sum(1 for book in self._books.values() if book.state is _LIVE)
        refused = sum(1 for book in self._books.values() if book.is_refused)
        return {
            "books": float(len(self._books) - refused),
            "books_live": float(live),
            "books_not_served": float(refused),
        }

    def _on_status(self, status: VenueStatus, now_ns: int) -> list[Message]:
        if status.instrument:
            if shard_of(status.instrument, self._shards) not in self._owned:
                return []
            book = self._book(status.venue, status.instrument)
            books = [] if book is None else [book]
        else:
            books = [book for book in self._books.values() if book.venue == status.venue]
        out: list[Message] = []
        for book in books:
            book.on_status(status, now_ns)
            out.extend(self._outputs(book, now_ns, status.ts_ns))
        return out

    def _end_audits(self, now_ns: int) -> list[Message]:
        out: list[Message] = []
        for audited in self._audits.finished(self._books, now_ns):
            self._counters[_COUNTER_OF[audited.verdict]] += 1
            out.append(audited)
            if audited.failed:
                self._counters["audits_failed"] += 1
                out.append(_audit_alert(audited))
        return out

    def _book(self, venue: str, instrument: str) -> TrackedBook | None:
        book = self._books.get((venue, instrument))
        if book is None:
            if len(self._books) >= BOOKS_MAX:
                self._counters["books_refused"] += 1
                return None
            book = TrackedBook(
                venue,
                instrument,
                stale_after_ns=self._config.stale_after_ms * _MS,
                counters=self._counters,
                accepts_unproved=venue in self._accepted,
            )
            self._books[venue, instrument] = book
        return book

    def _outputs(self, book: TrackedBook, now_ns: int, cause_ns: int = 0) -> list[Message]:
        """Return a view if the last one shown is no longer true, and a resync request if due.

        ``cause_ns`` is when the ingestor published the cause of this, where that is not a tick.
        """
        out: list[Message] = []
        live = book.state is _LIVE
        if book.shown_state != (book.state, book.reason) or (live and book.book.touched):
            self._counters["views"] += 1
            out.append(self._view(book, now_ns, cause_ns))
        if book.ask_due(now_ns):
            out.append(_request(book, now_ns, f"{book.state.value}: {book.reason}"))
        return out

    def _view(self, book: TrackedBook, now_ns: int, cause_ns: int) -> DepthView:
        """Return the view of this moment; only a LIVE one carries levels."""
        bids: list[Level] = []
        asks: list[Level] = []
        if book.state is _LIVE:
            bids, asks = book.book.view(self._config.depth_levels)
        book.note_shown(now_ns)
        return DepthView(
            venue=book.venue,
            instrument=book.instrument,
            state=book.state,
            epoch=book.epoch,
            seq=book.seq,
            bids=bids,
            asks=asks,
            ts_recv_ns=max(book.ts_recv_ns, cause_ns),
            ts_ns=now_ns,
            ts_venue_ns=book.ts_venue_ns,
            reason=book.reason,
        )


_COUNTER_OF = {
    AuditVerdict.AGREES: "audits_agree",
    AuditVerdict.DIFFERS: "audits_differ",
    AuditVerdict.UNDECIDED: "audits_undecided",
}


def _audit_alert(audited: BookAudited) -> Alert:
    differences = "; ".join(audited.differences[:ALERT_DIFFERENCES_MAX])
    return Alert(
        service="orderbook",
        severity=Severity.WARNING,
        code="BOOK_AUDIT_FAILED",
        text=f"{audited.venue} {audited.instrument} differed from the venue's REST book in "
        f"{audited.compared} levels that nobody moved: {differences}; it starts over",
        ts_ns=audited.ts_ns,
        subject=f"{audited.venue}|{audited.instrument}",
    )


def _request(
    book: TrackedBook, now_ns: int, reason: str, *, refresh: bool = False
) -> ResyncRequest:
    return ResyncRequest(
        venue=book.venue,
        instrument=book.instrument,
        epoch=book.asked_epoch,
        reason=reason,
        refresh=refresh,
        ts_ns=now_ns,
    )


def accepted_venues(config: Config) -> list[str]:
    """Return the venues whose books the configuration accepts without proof."""
    return [name for name, venue in config.venues.items() if venue.accept_unproved]


ENGINE = EngineSpec(
    new=lambda config, given: OrderbookEngine(
        config.orderbook, config.bus.shards, accepted_venues(config)
    )
)
