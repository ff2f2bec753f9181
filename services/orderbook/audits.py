"""Books compared with what the venue's REST answers. Pure.

Theory of operation. The ingestor says when it asks for a REST book, and passes on the answer; both
travel among the changes of the book, so their order is known here. From the asking on, the prices
that change are noted. Then:

* Where the answer is numbered, it is compared once the book has reached that number: a level that
  changed after it may differ, every other level must be equal. An answer older than the asking
  proves nothing.
* Where it is not, it is compared ``SETTLE_NS`` after it came, when all that had changed before must
  have arrived: a level that changed since the asking may differ, every other must be equal. Such an
  answer may have been made before it was asked for (a cache), so a book has only failed when the
  same price differs in two comparisons that follow one another.

Compared are the prices that both books reach: beyond the end of a cut answer, of the snapshot that
the book was made from, or of a truncated book, nothing is known. Levels that nobody moves are the
ones that go wrong unseen, by a removal that was never heard of; those are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from services.orderbook.facts import name_of
from services.orderbook.tracked import TrackedBook
from shared.domain.book import Book
from shared.messages.book_audit import (
    DIFFERENCES_MAX,
    AuditVerdict,
    BookAudit,
    BookAuditAsked,
    BookAudited,
)
from shared.messages.market import BookDelta, Level

SETTLE_NS = 1_000_000_000
"""An answer without a number waits this long for changes that were made before it."""
ANSWER_NS_MAX = 15_000_000_000
"""A comparison that is not finished by then is given up."""
NOTED_MAX = 50_000
"""Prices that are noted as changed; with more it is given up."""

TEXT_MAX = 300
"""Characters of the differences that a book's reason names."""
_INFINITY = float("inf")

BookName = tuple[str, ...]
Place = tuple[str, float]
"""Side and price of a level."""


class Comparison:
    """One book while its REST book is on its way."""

    def __init__(self, asked: BookAuditAsked, seq: int) -> None:
        self.epoch, self.asked_ns, self.asked_seq = asked.epoch, asked.ts_recv_ns, seq
        self.answer: BookAudit | None = None
        self.changed_bids: dict[float, int] = {}
        """Price -> the number of its last change since the asking; asks as well."""
        self.changed_asks: dict[float, int] = {}

    def on_delta(self, delta: BookDelta) -> None:
        """Note what changes."""
        seq = delta.seq
        for price, _ in delta.bids:
            self.changed_bids[price] = seq
        for price, _ in delta.asks:
            self.changed_asks[price] = seq

    @property
    def changes(self) -> int:
        """How many levels have changed since the asking."""
        return len(self.changed_bids) + len(self.changed_asks)

    def obstacle(self, book: TrackedBook, now_ns: int) -> str:
        """Return why nothing can be said of the book any more; empty where something can."""
        if book.epoch != self.epoch or not book.state.is_followed:
            return "the book started over meanwhile, or is not in step"
        if self.changes > NOTED_MAX:
            return f"more than {NOTED_MAX} levels changed meanwhile"
        answer = self.answer
        if answer is not None and answer.seq is not None and answer.seq < self.asked_seq:
            return f"the answer ({answer.seq}) is older than the asking ({self.asked_seq})"
        if now_ns - self.asked_ns > ANSWER_NS_MAX:
            what = "no answer came" if answer is None else "the stream did not reach the answer"
            return f"{what} within {ANSWER_NS_MAX // 1_000_000_000} s"
        return ""

    def is_ready(self, book: TrackedBook, now_ns: int) -> bool:
        """Tell whether everything is there that the comparison needs."""
        answer = self.answer
        if answer is None:
            return False
        if answer.seq is not None:
            return book.seq >= answer.seq
        return now_ns - answer.ts_recv_ns >= SETTLE_NS

    def may_differ(self, place: Place) -> bool:
        """Tell whether a level changed after the answer, or may have."""
        assert self.answer is not None, "asked only once it came"
        side, price = place
        seq = (self.changed_bids if side == "bid" else self.changed_asks).get(price)
        return seq is not None and (self.answer.seq is None or seq > self.answer.seq)


class Audits:
    """The comparisons of all books: at most one of each at a time."""

    def __init__(self) -> None:
        self.running: dict[BookName, Comparison] = {}
        """Empty nearly always: then a change costs nothing here."""
        self._suspects: dict[BookName, frozenset[Place]] = {}
        """What differed in a comparison that could not prove it alone."""

    def on_asked(self, asked: BookAuditAsked, book: TrackedBook) -> None:
        """A REST book was asked for; one that is still on its way is given up.

        Another ingestor of the venue asks for a book of its own epoch, which is not this one.
        """
        if asked.epoch != book.epoch:
            return
        self.running[book.name] = Comparison(asked, book.seq)

    def on_answer(self, answer: BookAudit) -> None:
        """It came."""
        comparison = self.running.get(name_of(answer))
        if comparison is not None and comparison.epoch == answer.epoch:
            comparison.answer = answer

    def on_delta(self, delta: BookDelta) -> None:
        """Levels changed; call it while any comparison is running."""
        comparison = self.running.get(name_of(delta))
        if comparison is not None:
            comparison.on_delta(delta)

    def finished(
        self, find: Callable[[BookName], TrackedBook | None], now_ns: int
    ) -> list[BookAudited]:
        """Return the comparisons that end now; a book that failed has broken by then."""
        ended: list[BookAudited] = []
        for name, comparison in list(self.running.items()):
            book = find(name)
            if book is None:
                del self.running[name]
                continue
            obstacle = comparison.obstacle(book, now_ns)
            if obstacle:
                ended.append(_undecided(book, comparison, now_ns, obstacle))
            elif comparison.is_ready(book, now_ns):
                ended.append(self._compare(name, book, comparison, now_ns))
            else:
                continue
            del self.running[name]
        return ended

    def _compare(
        self, name: BookName, book: TrackedBook, comparison: Comparison, now_ns: int
    ) -> BookAudited:
        answer = comparison.answer
        assert answer is not None, "a comparison without an answer is not ready"
        compared = 0
        differing: dict[Place, str] = {}
        for side, ours, theirs in _in_reach(book.book, answer):
            for price in sorted(theirs.keys() | ours.keys(), reverse=side == "bid"):
                if comparison.may_differ((side, price)):
                    continue
                compared += 1
                here, there = ours.get(price, 0.0), theirs.get(price, 0.0)
                if abs(here - there) > answer.qty_tolerance:
                    text = f"{side} {price:.12g}: {here:.12g} here, {there:.12g} there"
                    differing[side, price] = text
        proved = differing.keys() & self._proving(name, answer, differing)
        if proved:
            text = "; ".join(differing[place] for place in differing if place in proved)
            book.on_audit_failed(f"differs from the venue's REST book: {text[:TEXT_MAX]}", now_ns)
        return BookAudited(
            venue=book.venue,
            instrument=book.instrument,
            epoch=comparison.epoch,
            verdict=_verdict(compared, len(differing)),
            compared=compared,
            changed=comparison.changes,
            differences=list(differing.values())[:DIFFERENCES_MAX],
            failed=bool(proved),
            reason="" if compared else "every level in reach changed meanwhile",
            feed=book.feed,
            ts_ns=now_ns,
        )

    def _proving(
        self, name: BookName, answer: BookAudit, differing: Mapping[Place, str]
    ) -> Iterable[Place]:
        """Return which of the differing levels prove the book wrong, and remember the others."""
        before = self._suspects.pop(name, frozenset())
        if answer.seq is not None:
            return differing.keys()
        if differing:
            self._suspects[name] = frozenset(differing)
        return before

    def forget(self, name: BookName) -> None:
        """The book is another's now."""
        self.running.pop(name, None)
        self._suspects.pop(name, None)


def _verdict(compared: int, differing: int) -> AuditVerdict:
    if not compared:
        return AuditVerdict.UNDECIDED
    return AuditVerdict.DIFFERS if differing else AuditVerdict.AGREES


def _in_reach(
    book: Book, answer: BookAudit
) -> list[tuple[str, dict[float, float], dict[float, float]]]:
    """Return, of each side, our levels and the answer's as far as both are known."""
    floor = max(book.bid_floor, -_INFINITY if answer.bid_floor is None else answer.bid_floor)
    ceiling = min(book.ask_ceiling, _INFINITY if answer.ask_ceiling is None else answer.ask_ceiling)
    depth = book.depth_max
    if depth is not None:  # nothing is known beyond the levels that are kept
        bids, asks = book.bids(depth), book.asks(depth)
        if len(bids) == depth:
            floor = max(floor, bids[-1][0])
        if len(asks) == depth:
            ceiling = min(ceiling, asks[-1][0])
    our_bids, our_asks = book.sides()
    return [
        ("bid", _from(our_bids.items(), floor, _INFINITY), _from(answer.bids, floor, _INFINITY)),
        ("ask", _from(our_asks.items(), 0.0, ceiling), _from(answer.asks, 0.0, ceiling)),
    ]


def _from(levels: Iterable[Level], low: float, high: float) -> dict[float, float]:
    return {price: qty for price, qty in levels if qty and low <= price <= high}


def _undecided(book: TrackedBook, comparison: Comparison, now_ns: int, reason: str) -> BookAudited:
    return BookAudited(
        venue=book.venue,
        instrument=book.instrument,
        epoch=comparison.epoch,
        verdict=AuditVerdict.UNDECIDED,
        changed=comparison.changes,
        reason=reason,
        feed=book.feed,
        ts_ns=now_ns,
    )
