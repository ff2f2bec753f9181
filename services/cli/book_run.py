"""One book on one recorded connection: what a session says of it, applied and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.cli.verdict import BookReport, GapEntry, LineRef, State
from shared.capture import CaptureItem
from shared.domain.book import Book
from shared.messages.base import BookState, Message
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.port import (
    DROPPED_SNAPSHOT_OLD,
    DROPPED_STALE,
    BestQuote,
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    FeedSession,
    Gap,
    Malformed,
)

NO_LEVEL = (0.0, 0.0)
"""How a best quote says that a side is empty."""
QUOTES_MAX = 100_000
"""Best quotes that wait for a depth update of their id; the oldest are forgotten."""
OnMessage = Callable[[Message, CaptureItem], None]
LISTED_MAX = 1_000
"""Gaps of a book, and parse errors, that are listed; all are counted."""


class BookRun:
    """One book on one recorded connection: the session's effects, applied and checked."""

    def __init__(
        self, report: BookReport, session: FeedSession, on_message: OnMessage | None = None
    ) -> None:
        self._on_message = on_message
        self.report = report
        self.session = session
        self.state = State.NOT_SYNCED
        self.why = ""
        self.book = Book()
        self._early_gaps: list[GapEntry] = []
        self._was_live = False
        self._paths: set[str] = set()
        self._is_other_file = False
        self._quotes: dict[int, BestQuote] = {}
        self._delta_seq: int | None = None
        self._is_compared = False
        self.has_depth = False

    def take(self, effects: Sequence[Effect], item: CaptureItem) -> str | None:
        """Carry out effects; return what is malformed about the line, if anything."""
        malformed = None
        for effect in effects:
            if self._on_message is not None and isinstance(effect, Emit):
                self._on_message(effect.message, item)
            match effect:
                case Emit(BookDelta() as delta):
                    self._on_delta(delta, item)
                case BestQuote():
                    self._on_quote(effect, item)
                case Emit(BookSnapshot() as snapshot):
                    self._on_snapshot(snapshot)
                case Checked(_, ok):
                    self._on_checked(ok, item)
                case Dropped(_, reason):
                    self._on_dropped(effect, reason, item)
                case Gap(_, expected, got):
                    self._on_gap(GapEntry(item.path, item.line, expected, got))
                case BookStatus(_, state, reason):
                    self._on_status(state, reason)
                case Malformed(reason):
                    malformed = reason
                case _:
                    pass  # what would go to the network
        return malformed

    def close(self) -> None:
        """The recording is over: breaks from before a snapshot count if it never came."""
        for gap in self._early_gaps:
            self._list(gap)
        self._early_gaps.clear()

    def on_delta_line(self, path: str) -> None:
        """Note whether the delta to come is the first one of another file."""
        self._is_other_file = bool(self._paths) and path not in self._paths
        self._paths.add(path)

    @property
    def starts_over(self) -> bool:
        """Whether that delta did not continue the file before."""
        return self._is_other_file and self.state is State.GAP

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        self.book = Book(snapshot.depth_max)
        self.book.replace(snapshot.bids, snapshot.asks, snapshot.bid_floor, snapshot.ask_ceiling)
        self._delta_seq = None
        self.report.crossed += self.book.is_crossed()

    def _on_delta(self, delta: BookDelta, item: CaptureItem) -> None:
        self.book.apply(delta.bids, delta.asks)
        self.report.applied += 1
        if self.book.is_outside():
            self.report.outside += 1
            if self.report.outside_from is None:
                self.report.outside_from = LineRef(item.path, item.line)
        self.report.crossed += self.book.is_crossed()
        self._delta_seq, self._is_compared = delta.seq, False
        quotes = self._quotes
        quote = quotes.get(delta.seq)
        while quotes and next(iter(quotes)) <= delta.seq:
            del quotes[next(iter(quotes))]
        if quote is not None:
            self._compare(quote, item)

    def _on_quote(self, quote: BestQuote, item: CaptureItem) -> None:
        if quote.update_id == self._delta_seq and self.state in (State.LIVE, State.UNPROVED):
            if not self._is_compared:
                self._compare(quote, item)
        elif self._delta_seq is None or quote.update_id > self._delta_seq:
            self._quotes[quote.update_id] = quote
            if len(self._quotes) > QUOTES_MAX:
                del self._quotes[next(iter(self._quotes))]

    def _compare(self, quote: BestQuote, item: CaptureItem) -> None:
        self._is_compared = True
        oracle = self.report.oracle
        oracle.checked += 1
        bid, ask = self.book.best_bid() or NO_LEVEL, self.book.best_ask() or NO_LEVEL
        if (bid, ask) == (quote.bid, quote.ask):
            oracle.equal += 1
        elif len(oracle.failed_at) < LISTED_MAX:
            oracle.failed_at.append(LineRef(item.path, item.line))

    def _on_checked(self, ok: bool | None, item: CaptureItem) -> None:
        checksums = self.report.checksums
        if ok is None:
            checksums.unchecked += 1
        elif ok:
            checksums.ok += 1
        else:
            checksums.failed += 1
            if len(checksums.failed_at) < LISTED_MAX:
                checksums.failed_at.append(LineRef(item.path, item.line))

    def _on_dropped(self, dropped: Dropped, reason: str, item: CaptureItem) -> None:
        if reason == DROPPED_STALE:
            self.report.dropped_stale += 1
        elif reason == DROPPED_SNAPSHOT_OLD:
            self.state = State.GAP
            self._on_gap(GapEntry(item.path, item.line, dropped.expected, dropped.got))

    def _on_gap(self, gap: GapEntry) -> None:
        if self._was_live and not self._is_other_file and not self._early_gaps:
            self._list(gap)
        elif len(self._early_gaps) < LISTED_MAX:
            self._early_gaps.append(gap)

    def _list(self, gap: GapEntry) -> None:
        self.report.gaps_total += 1
        if len(self.report.gaps) < LISTED_MAX:
            self.report.gaps.append(gap)

    def _on_status(self, state: BookState, reason: str) -> None:
        if state.is_followed:
            is_proved = state is BookState.LIVE
            self.state = State.LIVE if is_proved else State.UNPROVED
            self.why = "" if is_proved else reason
            self._was_live = True
            self._early_gaps.clear()
        elif state is BookState.GAP:
            self.state = State.GAP
            self._quotes.clear()
