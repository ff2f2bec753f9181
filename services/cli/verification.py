"""Verification of recordings: the real feeds and books over a capture, and what is wrong.

No network: snapshots come from the recording. After a gap a book stays GAP until a later snapshot
in the recording joins. What a reader of the report may rely on:

* Lines count from 1 within each file.
* A gap is on the line of the delta that did not continue, also while the book is out of step. A
  delta lost *before* the book's first snapshot does no harm where the snapshot contains it, so it
  is reported only if the book never came to live. The same holds between two files: a file that
  does not continue the one before is a recording of its own, if it brings its own snapshot.
* A snapshot that is too old for the deltas that wait for it (a delta between them is missing) is a
  gap on the snapshot's line, and the book is GAP; a book that never saw one is NOT_SYNCED.
* A snapshot of a limited number of levels does not show what rests beyond them. Where the price
  goes there, ``outside`` counts and the report warns; a book that ends there is OUTSIDE.
* A checksum that does not match makes a book GAP; it counts as failed, with its line in
  ``failed_at``, and is no gap entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.cli.verdict import BookReport, GapEntry, LineRef, ParseProblem, State, VerifyReport
from shared.capture import Capture, CaptureItem, Kind, known_venues
from shared.domain.book import Book
from shared.errors import ConfigError
from shared.messages.base import BookState
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
    FrameRole,
    Gap,
    Malformed,
)

NO_LEVEL = (0.0, 0.0)
"""How a best quote says that a side is empty."""
QUOTES_MAX = 100_000
"""Best quotes that wait for a depth update of their id; the oldest are forgotten."""
LISTED_MAX = 1_000
"""Gaps of a book, and parse errors, that are listed; all are counted."""


class _Run:
    """One book on one recorded connection: the session's effects, applied and checked."""

    def __init__(self, report: BookReport, session: FeedSession) -> None:
        self.report = report
        self.session = session
        self.state = State.NOT_SYNCED
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
            match effect:
                case Emit(BookDelta() as delta):
                    self._on_delta(delta, item)
                case BestQuote():
                    self._on_quote(effect)
                case Emit(BookSnapshot() as snapshot):
                    self._on_snapshot(snapshot)
                case Checked(_, ok):
                    self._on_checked(ok, item)
                case Dropped(_, reason):
                    self._on_dropped(effect, reason, item)
                case Gap(_, expected, got):
                    self._on_gap(GapEntry(item.path, item.line, expected, got))
                case BookStatus(_, state):
                    self._on_status(state)
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
            self._compare(quote)

    def _on_quote(self, quote: BestQuote) -> None:
        if quote.update_id == self._delta_seq and self.state is State.LIVE:
            if not self._is_compared:
                self._compare(quote)
        elif self._delta_seq is None or quote.update_id > self._delta_seq:
            self._quotes[quote.update_id] = quote
            if len(self._quotes) > QUOTES_MAX:
                del self._quotes[next(iter(self._quotes))]

    def _compare(self, quote: BestQuote) -> None:
        self._is_compared = True
        self.report.oracle.checked += 1
        bid, ask = self.book.best_bid() or NO_LEVEL, self.book.best_ask() or NO_LEVEL
        self.report.oracle.equal += (bid, ask) == (quote.bid, quote.ask)

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

    def _on_status(self, state: BookState) -> None:
        if state is BookState.LIVE:
            self.state = State.LIVE
            self._was_live = True
            self._early_gaps.clear()
        elif state is BookState.GAP:
            self.state = State.GAP
            self._quotes.clear()


class Verifier:
    """Feeds a capture to sessions, one per book and connection, and gathers the report."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._books: dict[tuple[str, str], BookReport] = {}
        self._runs: dict[tuple[str, str], dict[tuple[str, int], _Run]] = {}
        self._others: dict[str, FeedSession] = {}
        self._waiting: dict[tuple[str, str], CaptureItem] = {}
        self._answers: dict[tuple[str, str], CaptureItem] = {}
        self._opened_ns: dict[tuple[str, int], int] = {}
        self._foreign: dict[tuple[str, str], ParseProblem] = {}
        self._report = VerifyReport()

    def take(self, item: CaptureItem) -> None:
        """Handle one line."""
        if item.kind is Kind.FAULT:
            self._problem(item, item.reason)
        elif item.venue is None:
            self._on_foreign(item)
        elif item.kind is Kind.FRAME:
            self._on_frame(item, item.venue)
        elif item.kind is Kind.OPENED:
            self._opened_ns[item.path, item.connection] = item.ts_recv_ns
        elif item.kind is Kind.REST and item.instrument is not None:
            self._on_rest(item, item.venue, item.instrument)
        elif item.kind is Kind.REST and not item.url:
            self._problem(item, "an order book that names no instrument")

    def finish(self) -> VerifyReport:
        """Return the verdict.

        Raises:
            ConfigError: There is no order book of a venue that is known here.
        """
        for (venue, instrument), item in list(self._waiting.items()):
            run = self._run(item, venue, instrument)
            run.has_depth = True
            self._feed_snapshot(run, item)
        report = self._report
        for key in sorted(self._books):
            book = self._books[key]
            for run in self._runs[key].values():
                run.close()
                if run.has_depth:
                    _conclude(book, run)
            if book.snapshots or book.deltas or book.gaps_total:
                report.books.append(book)
        if not report.books and not report.parse_errors_total:
            where = next(iter(self._foreign), ("the recording", ""))
            text = f" ({where[1]})" if where[1] else ""
            raise ConfigError(
                f"no order book in {where[0]}{text}; "
                f"the venues known here are: {', '.join(known_venues())}"
            )
        for problem in self._foreign.values():
            self._add(problem)
        report.ok = (
            bool(report.books)
            and not report.parse_errors_total
            and all(book.is_sound for book in report.books)
        )
        return report

    def _on_frame(self, item: CaptureItem, venue: str) -> None:
        reader = self._capture.recordings(venue)
        role = reader.role_of_frame(item.payload)
        if item.instrument is None:
            self._on_nameless(item, venue, role)
            return
        run = self._run(item, venue, item.instrument)
        book = run.report
        if role in (FrameRole.DELTA, FrameRole.SNAPSHOT) and not run.has_depth:
            run.has_depth = True
            self._feed_earlier(run, item, (venue, item.instrument))
        if role is FrameRole.DELTA:
            run.on_delta_line(item.path)
        malformed = run.take(run.session.on_frame(item.payload, item.ts_recv_ns), item)
        if role is FrameRole.DELTA and run.starts_over:
            self._feed_own(run, item.path, (venue, item.instrument))
        book.frames += 1
        if malformed is not None:
            self._problem(item, malformed)
            return
        book.deltas += role is FrameRole.DELTA
        book.snapshots += role is FrameRole.SNAPSHOT

    def _on_nameless(self, item: CaptureItem, venue: str, role: FrameRole) -> None:
        """Check a line that names no book: readable, and an order book must name its instrument."""
        session = self._others.get(venue)
        if session is None:
            session = self._others[venue] = self._capture.recordings(venue).session(venue, "")
        effects = session.on_frame(item.payload, item.ts_recv_ns)
        reasons = [effect.reason for effect in effects if isinstance(effect, Malformed)]
        if not reasons and role in (FrameRole.DELTA, FrameRole.SNAPSHOT):
            reasons = ["an order book that names no instrument"]
        for reason in reasons:
            self._problem(item, reason)

    def _feed_earlier(self, run: _Run, item: CaptureItem, key: tuple[str, str]) -> None:
        """Give a connection's first delta the REST book that was answered before it came.

        One answered since the connection was opened is for it as well as for those before: a quiet
        book's first delta may be long after a reconnection.
        """
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._feed_snapshot(run, waiting)
            return
        answer = self._answers.get(key)
        opened_ns = self._opened_ns.get((item.path, item.connection))
        if answer is not None and opened_ns is not None and answer.ts_recv_ns >= opened_ns:
            run.take(run.session.on_snapshot(key[1], answer.payload, answer.ts_recv_ns), answer)

    def _feed_own(self, run: _Run, path: str, key: tuple[str, str]) -> None:
        """Give a recording of its own the snapshot it began with, while the one before was live."""
        answer = self._answers.get(key)
        if answer is not None and answer.path == path:
            run.take(run.session.on_snapshot(key[1], answer.payload, answer.ts_recv_ns), answer)

    def _on_rest(self, item: CaptureItem, venue: str, instrument: str) -> None:
        """A REST book is for every connection that carries its deltas, or will."""
        self._answers[venue, instrument] = item
        if not item.url:
            self._run(item, venue, instrument).has_depth = True
        runs = self._runs.get((venue, instrument), {}).values()
        takers = [run for run in runs if run.has_depth]
        if not takers:
            self._waiting[venue, instrument] = item
            return
        self._feed_snapshot(takers[0], item)
        for run in takers[1:]:
            run.take(run.session.on_snapshot(instrument, item.payload, item.ts_recv_ns), item)

    def _feed_snapshot(self, run: _Run, item: CaptureItem) -> None:
        effects = run.session.on_snapshot(run.report.instrument, item.payload, item.ts_recv_ns)
        malformed = run.take(effects, item)
        if malformed is None:
            run.report.snapshots += 1
        else:
            self._problem(item, malformed)

    def _book(self, venue: str, instrument: str) -> BookReport:
        key = (venue, instrument)
        if key not in self._books:
            self._books[key] = BookReport(venue, instrument)
        return self._books[key]

    def _run(self, item: CaptureItem, venue: str, instrument: str) -> _Run:
        """Return the run of a line's connection.

        Lines without a known connection count as one connection: raw frames of several files, or
        the next file of a capture set, whose recorder did not repeat what it is connected to.
        """
        runs = self._runs.setdefault((venue, instrument), {})
        connection = (item.path, item.connection) if item.connection else ("", 0)
        if not item.connection and runs:
            connection = next(reversed(runs))
        run = runs.get(connection)
        if run is None:
            session = self._capture.recordings(venue).session(venue, instrument)
            run = runs[connection] = _Run(self._book(venue, instrument), session)
            run.take(session.on_open(item.ts_recv_ns), item)
        return run

    def _on_foreign(self, item: CaptureItem) -> None:
        """Lines of venues that are not supported: one problem per file and URL."""
        if item.kind in (Kind.FRAME, Kind.REST):
            where = (
                f"known for {item.url}" if item.url else "to be seen in its frames; give --venue"
            )
            reason = f"no venue {where}"
            key = (item.path, item.url)
            self._foreign.setdefault(key, ParseProblem(item.path, item.line, reason))

    def _problem(self, item: CaptureItem, reason: str) -> None:
        self._add(ParseProblem(item.path, item.line, reason))

    def _add(self, problem: ParseProblem) -> None:
        self._report.parse_errors_total += 1
        if len(self._report.parse_errors) < LISTED_MAX:
            self._report.parse_errors.append(problem)


def _conclude(book: BookReport, run: _Run) -> None:
    """Take the state of a run; the last connection opened decides."""
    book.state = run.state
    if book.state is State.LIVE and run.book.is_outside():
        book.state = State.OUTSIDE
    bids, asks = run.book.view(1)
    bid, ask = next(iter(bids), None), next(iter(asks), None)
    if run.state is not State.LIVE:
        bid = ask = None
    book.best_bid, book.best_bid_qty = bid or (None, None)
    book.best_ask, book.best_ask_qty = ask or (None, None)


def verify_paths(paths: Sequence[str | Path], venue: str | None = None) -> VerifyReport:
    """Verify recordings; the order of ``paths`` does not matter.

    Raises:
        ConfigError: No such file, not a capture, no known venue.
    """
    capture = Capture(paths, venue)
    verifier = Verifier(capture)
    for item in capture:
        verifier.take(item)
    return verifier.finish()
