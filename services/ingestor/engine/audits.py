"""When which book is compared with the venue's REST book. Pure.

Books take turns, one request at a time, so that each is asked for once in ``every_s``, or as often
as ``BUDGET_SHARE`` of the venue's request weight allows if that is less. The orderbook service
compares (``services/orderbook/audits.py``): it has the book, here is only what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.ingestor.engine.connection import NEVER_NS, Connection
from services.ingestor.engine.requests import LogLevel
from services.ingestor.engine.step_builder import StepBuilder
from shared.errors import ParseError
from shared.messages.base import FeedName
from shared.messages.book_audit import BookAudit, BookAuditAsked
from shared.messages.market import Level
from shared.venues.audit_port import BookAuditPort
from shared.venues.port import FetchAudit, RestBudget

BUDGET_SHARE = 0.1
"""Of the venue's request weight a minute, beside the share that snapshots may use."""
BOOK_S_MIN = 5.0
"""Least time between two comparisons of one book: each takes a second or two."""
NOTHING_LIVE_NS = 1_000_000_000
"""When to look again where no book is LIVE."""


class Audits:
    """The comparisons of one venue.

    Args:
        venue: The configured name.
        port: How its REST book is asked for and read.
        every_s: How often each book is to be compared.
        budget: The venue's.
        connections: Of the venue; those of books carry what is compared.
        request: Hands a request to the venue's queue.
        out: Takes what is decided.
        feed: Which of two ingestors of the venue this is.
    """

    def __init__(
        self,
        venue: str,
        port: BookAuditPort | None,
        *,
        every_s: float,
        budget: RestBudget,
        connections: Sequence[Connection],
        request: Callable[[Connection, FetchAudit, int], None],
        out: StepBuilder,
        feed: FeedName = FeedName.ONLY,
    ) -> None:
        self._venue, self._port, self._request, self._out = venue, port, request, out
        self._feed = feed
        self._books = [
            (connection, instrument)
            for connection in connections
            if connection.driver.carries_books
            for instrument in connection.driver.connection.instruments
        ]
        self._next = 0
        self._epoch = 0
        self.due_ns = NEVER_NS
        """When ``advance`` must be called."""
        if port is not None and every_s > 0 and self._books:
            affordable_s = port.weight * 60 / (budget.weight_per_minute * BUDGET_SHARE)
            book_s = max(every_s, BOOK_S_MIN) / len(self._books)
            self._pause_ns = int(max(book_s, affordable_s) * 1e9)
            self.due_ns = 0

    def advance(self, now_ns: int) -> None:
        """Ask for the next book that is LIVE."""
        if self.due_ns == 0:  # at first the books have to come
            self.due_ns = now_ns + self._pause_ns
            return
        if self._port is None:
            return
        for _ in self._books:
            connection, instrument = self._books[self._next]
            self._next = (self._next + 1) % len(self._books)
            book = connection.driver.books.get(instrument)
            if book is not None and book[0].is_followed:
                self.due_ns = now_ns + self._pause_ns
                path = self._port.path(instrument)
                self._request(connection, FetchAudit(instrument, path, self._port.weight), now_ns)
                return
        self.due_ns = now_ns + NOTHING_LIVE_NS

    def on_sent(self, connection: Connection, instrument: str, now_ns: int) -> None:
        """The request leaves now: what changes from here on may differ in its answer."""
        self._epoch = connection.driver.books[instrument][1]
        self._out.count("audits_asked")
        asked = BookAuditAsked(
            venue=self._venue,
            instrument=instrument,
            epoch=self._epoch,
            ts_recv_ns=now_ns,
            feed=self._feed,
        )
        self._out.messages.append(asked)

    def on_answer(self, instrument: str, body: bytes | None, now_ns: int) -> None:
        """Pass on the book that came (``None``: none did)."""
        port = self._port
        if port is None or body is None:
            self._out.count("audits_unanswered")
            return
        try:
            book = port.read(body)
        except ParseError as error:
            self._out.count("audits_unanswered")
            self._out.log(
                LogLevel.WARNING,
                "audit_unread",
                venue=self._venue,
                instrument=instrument,
                reason=str(error),
            )
            return
        bid_floor, ask_ceiling = (_end_of(side, port.levels) for side in (book.bids, book.asks))
        answer = BookAudit(
            venue=self._venue,
            instrument=instrument,
            epoch=self._epoch,
            bids=list(book.bids),
            asks=list(book.asks),
            ts_recv_ns=now_ns,
            seq=book.seq,
            bid_floor=bid_floor,
            ask_ceiling=ask_ceiling,
            qty_tolerance=port.qty_tolerance,
            feed=self._feed,
        )
        self._out.messages.append(answer)


def _end_of(side: Sequence[Level], levels: int) -> float | None:
    """Return the worst price of a side that was cut, ``None`` where it is whole."""
    return side[-1][0] if len(side) >= levels else None
