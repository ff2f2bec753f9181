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

from services.cli.book_run import LISTED_MAX, BookRun, OnMessage
from services.cli.verdict import BookReport, ParseProblem, State, VerifyReport
from shared.capture import Capture, CaptureItem, Kind, known_venues
from shared.errors import ConfigError
from shared.venues.port import (
    FeedSession,
    FrameRole,
    Malformed,
)


class Verifier:
    """Feeds a capture to sessions, one per book and connection, and gathers the report.

    ``on_message`` is given every message that they emit, and the line that it came with.
    """

    def __init__(self, capture: Capture, on_message: OnMessage | None = None) -> None:
        self._capture, self._on_message = capture, on_message
        self._books: dict[tuple[str, str], BookReport] = {}
        self._runs: dict[tuple[str, str], dict[tuple[str, int], BookRun]] = {}
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

    def close(self) -> None:
        """Take in the snapshots that no delta came after."""
        for (venue, instrument), item in list(self._waiting.items()):
            run = self._run(item, venue, instrument)
            run.has_depth = True
            self._feed_snapshot(run, item)
        self._waiting.clear()

    def finish(self) -> VerifyReport:
        """Return the verdict.

        Raises:
            ConfigError: There is no order book of a venue that is known here.
        """
        self.close()
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

    def _feed_earlier(self, run: BookRun, item: CaptureItem, key: tuple[str, str]) -> None:
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

    def _feed_own(self, run: BookRun, path: str, key: tuple[str, str]) -> None:
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

    def _feed_snapshot(self, run: BookRun, item: CaptureItem) -> None:
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

    def _run(self, item: CaptureItem, venue: str, instrument: str) -> BookRun:
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
            run = runs[connection] = BookRun(
                self._book(venue, instrument), session, self._on_message
            )
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


def _conclude(book: BookReport, run: BookRun) -> None:
    """Take the state of a run; the last connection opened decides."""
    book.state = run.state
    if book.state is State.LIVE and run.book.is_outside():
        book.state = State.OUTSIDE
    bids, asks = run.book.view(1)
    bid, ask = next(iter(bids), None), next(iter(asks), None)
    if run.state not in (State.LIVE, State.UNPROVED):
        bid = ask = None
    if run.state is State.UNPROVED:
        book.why = run.why if book.applied else f"{run.why}; no change came after its snapshot"
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
