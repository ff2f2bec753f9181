"""One instrument's books from two ingestors of its venue, and which of them is shown. Pure.

Theory of operation. Each feed has a whole book of its own (``tracked.py``): what is wrong with one
cannot reach the other's. Both carry the venue's numbers, so

* the book with the higher number is shown: every change is published when the first of the two
  feeds brings it. What the other brings later is a duplicate: it only keeps that book in step;
* a book that is not LIVE is not shown while the other is, and neither is one that is ``behind``: it
  has not reached a number ``BEHIND_NS`` after the other had it. A silence does not make good for
  that: what a feed reads after it is old as well. A book that starts over does;
* at one number the levels that a view shows must be equal; the later feed is compared with what was
  shown at its number (``RECENT_MAX`` views back). If they are not, one feed is wrong and nothing
  says which: both books are GAP and start over. The same where both run on, and say that they are
  of the same time, at numbers that stay apart; and where the higher number is of an earlier time,
  as it is when the venue's numbers began anew and one feed has not noticed;
* a book whose ingestor is silent is dropped where ingestors of the other kind speak (the only one
  of a venue, or feeds a and b): the configuration was changed from one feed to two, or back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.orderbook.tracked import TrackedBook
from shared.messages.base import BookState, FeedName
from shared.messages.market import DepthView, Level

BEHIND_NS: Final = 2_000_000_000
"""How long a feed may take to reach a number that the other one had: a busy machine takes one."""
RUNS_NS: Final = 1_000_000_000
"""Two books that changed within this time, also by the venue's clock, are of the same time."""
GONE_NS: Final = 3_000_000_000
"""An ingestor that runs says something each second."""
RECENT_MAX: Final = 32
"""Views that are remembered: in a fast market the later feed may never be at the newest number."""
REASON_MAX: Final = 200
"""Characters of what is said of the other feed."""

_LIVE: Final = BookState.LIVE
_BEST_FIRST: Final = (
    BookState.LIVE,
    BookState.UNPROVED,
    BookState.STALE,
    BookState.SYNCING,
    BookState.GAP,
    BookState.CROSSED,
    BookState.AUDIT_FAILED,
    BookState.DOWN,
)
"""Where no feed is LIVE, the book is what its better feed is: DOWN only where both are."""


class Member:
    """The book of one feed, and the number that it is to reach."""

    __slots__ = (
        "_is_late",
        "_is_to_go",
        "_mark_epoch",
        "_mark_of_epoch",
        "_mark_seq",
        "_since_ns",
        "book",
        "heard_ns",
        "mark_of",
    )

    def __init__(self, book: TrackedBook) -> None:
        self.book = self.mark_of = book
        """``mark_of``: the one that had the number."""
        self.heard_ns = 0
        """When its ingestor said something last; 0: not yet."""
        self._mark_seq = self._since_ns = self._mark_epoch = self._mark_of_epoch = 0
        self._is_late = self._is_to_go = False
        """Whether it reached the number before this one too late; whether it was below this one."""

    def is_behind(self, now_ns: int) -> bool:
        """Tell whether it has not reached a number that the other feed had a while ago.

        After one that it reached too late it is behind until it has reached the next one in time.
        """
        return self.book.seq < self._mark_seq and (self._is_late or self.is_overdue(now_ns))

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether it has had its time to reach the number."""
        return self.book.seq < self._mark_seq and now_ns - self._since_ns > BEHIND_NS

    def is_eligible(self, now_ns: int) -> bool:
        """Tell whether it may be shown."""
        return self.book.state is _LIVE and not self.is_behind(now_ns)

    def move_mark(self, ahead: TrackedBook | None, furthest: TrackedBook, now_ns: int) -> None:
        """Take the number of the feed that is ahead as the next one to reach, if it is time.

        ``ahead`` is the one of those that are LIVE, ``furthest`` of all: what is late must reach
        also the last number of a feed that has ended meanwhile.
        """
        book = self.book
        # The one that had the number has started over below it: numbers began anew.
        is_void = self.mark_of.epoch > self._mark_of_epoch and self.mark_of.seq < self._mark_seq
        is_over = is_void or book.epoch != self._mark_epoch
        if is_over or book.seq >= self._mark_seq:
            was_late = self._is_to_go and now_ns - self._since_ns > BEHIND_NS
            self._is_late = was_late and not is_over
            self.mark_of = furthest if self._is_late else book if ahead is None else ahead
            self._mark_seq, self._mark_of_epoch = self.mark_of.seq, self.mark_of.epoch
            self._is_to_go = self._mark_seq > book.seq
            self._since_ns, self._mark_epoch = now_ns, book.epoch


class FeedGroup:
    """The books of one instrument, one of each feed.

    Args:
        expected: The feeds that the configuration asks for; of others that have ended nothing is
            said.
        depth_levels: How many levels of a side a view shows.
    """

    def __init__(self, expected: Sequence[FeedName], depth_levels: int) -> None:
        self.expected = expected
        self.members: list[Member] = []
        self._shown: Member | None = None
        self._depth_levels = depth_levels
        self.shown_state: tuple[BookState, str] | None = None
        """What was shown last; ``None`` where a view is due."""
        self.shown_ns = 0
        self._view: DepthView | None = None
        self._viewed: Member | None = None
        """Whose view it is."""
        self._is_compared = False
        self._recent: dict[int, tuple[DepthView, TrackedBook]] = {}
        """By number, with the book that it is of: what a feed that is later is compared with."""

    @property
    def shown(self) -> TrackedBook:
        """The book that is shown."""
        assert self._shown is not None, "a group has a book from its beginning"
        return self._shown.book

    @property
    def is_live(self) -> bool:
        """Whether it was LIVE as shown last."""
        return self._view is not None and self._view.state is _LIVE

    @property
    def is_refused(self) -> bool:
        """Whether the venue does not serve the instrument."""
        return all(member.book.is_refused for member in self.members)

    def add(self, book: TrackedBook) -> None:
        """Take in the book of a further feed."""
        book.is_grouped = True
        self.members.append(Member(book))
        self._shown = self._shown or self.members[0]

    def find(self, feed: FeedName) -> TrackedBook | None:
        """Return the book of a feed, ``None`` where there is none."""
        return next((m.book for m in self.members if m.book.feed is feed), None)

    def heard(self, book: TrackedBook, now_ns: int) -> None:
        """Note that the ingestor of a book says something of it."""
        for each in self.members:
            if each.book is book:
                each.heard_ns = now_ns

    def drop_former(self, now_ns: int) -> list[TrackedBook]:
        """Drop and return the books that ingestors of before a change of configuration fed."""
        for each in self.members:
            each.heard_ns = each.heard_ns or now_ns
        only = [each for each in self.members if each.book.feed is FeedName.ONLY]
        named = [each for each in self.members if each not in only]
        if not (only and named):  # nearly always
            return []
        only_ns, named_ns = (max(m.heard_ns for m in kind) for kind in (only, named))
        if (now_ns - only_ns > GONE_NS) is (now_ns - named_ns > GONE_NS):
            return []
        former = only if only_ns < named_ns else named
        self.members = [each for each in self.members if each not in former]
        if self._shown in former:
            self._shown = self.members[0]
        return [each.book for each in former]

    # Which is shown

    def choose(self, now_ns: int) -> None:
        """Show the book that is ahead of those that can be trusted; the present one if equal."""
        members, shown = self.members, self._shown
        ahead: TrackedBook | None = None
        furthest = members[0].book
        for each in members:
            if each.book.state is _LIVE and (ahead is None or each.book.seq > ahead.seq):
                ahead = each.book
            if each.book.seq > furthest.seq:
                furthest = each.book
        for each in members:
            each.move_mark(ahead, furthest, now_ns)
        best = shown if shown is not None and shown.is_eligible(now_ns) else None
        for each in members:
            if (best is None or each.book.seq > best.book.seq) and each.is_eligible(now_ns):
                best = each
        self._shown = best or min(members, key=lambda m: _BEST_FIRST.index(m.book.state))

    def told(self, now_ns: int) -> tuple[BookState, str]:
        """Return the state and the reason of what is shown: a LIVE one names feeds that are not."""
        shown = self._shown
        assert shown is not None, "a group has a book from its beginning"
        book = shown.book
        state, reason = book.state, book.reason
        if state is _LIVE and shown.is_behind(now_ns):
            state, reason = BookState.STALE, f"{_name(book.feed)} is behind"
        elif len(self.members) == len(self.expected) and all(
            each.is_eligible(now_ns) for each in self.members
        ):
            return state, reason
        parts = [reason] if reason else []
        parts += [f"nothing came from {_name(n)}" for n in self.expected if self.find(n) is None]
        for each in self.members:
            other = each.book
            if each is shown or (not other.epoch and other.feed not in self.expected):
                continue
            if other.state is not _LIVE:
                text = f"{_name(other.feed)} is {other.state}: {other.reason}"
                parts.append(text[:REASON_MAX])
            elif each.is_behind(now_ns):
                parts.append(f"{_name(other.feed)} is behind")
        return state, "; ".join(parts)

    def is_due(self, told: tuple[BookState, str]) -> bool:
        """Tell whether a view is to be published, where this is told now."""
        if told != self.shown_state:
            return True
        if told[0] is not _LIVE or self._view is None:
            return False
        shown = self._shown
        assert shown is not None, "a group has a book from its beginning"
        return (
            shown.book.book.touched
            # Of a feed that is not as far as the one shown before, what is known is told as well,
            or shown.book.seq < self._view.seq
            # and of one that was not compared with it, as it has other numbers.
            or (shown is not self._viewed and not self._is_compared)
        )

    def note_shown(self, view: DepthView, now_ns: int) -> None:
        """A view of this moment was made."""
        self.shown_state, self.shown_ns = (view.state, view.reason), now_ns
        self._view, self._viewed, self._is_compared = view, self._shown, False
        if view.state is _LIVE:
            self._recent[view.seq] = view, self.shown
            if len(self._recent) > RECENT_MAX:
                del self._recent[next(iter(self._recent))]

    # Whether they agree

    def difference(self, book: TrackedBook) -> str:
        """Return how a book that has just changed differs from what was shown at its number."""
        shown, view = self.shown, self._view
        if book.seq < shown.seq:
            view, shown = self._recent.get(book.seq, (None, book))
            is_of_now = view is not None and view.epoch == shown.epoch and shown.state is _LIVE
            if view is None or shown is book or not is_of_now or book.state is not _LIVE:
                return ""
            return self._compare(book, view, shown)
        if (
            book is shown
            or book.seq != shown.seq
            or not (book.state is shown.state is _LIVE)
            or view is None
            or view.state is not _LIVE
            or shown.book.touched  # then it is not what the view shows
            or (self._is_compared and not book.book.touched)
        ):
            return ""
        self._is_compared = True
        return self._compare(book, view, shown)

    def _compare(self, book: TrackedBook, view: DepthView, shown: TrackedBook) -> str:
        bids, asks = book.book.view(self._depth_levels)
        for side, ours, theirs in (("bid", bids, view.bids), ("ask", asks, view.asks)):
            if ours == theirs:
                continue
            for level, its in zip(ours, theirs, strict=False):  # one may know fewer levels
                if level != its:
                    return (
                        f"at number {book.seq} the {side}s differ: {_text(level)} of "
                        f"{_name(book.feed)}, {_text(its)} of {_name(shown.feed)}"
                    )
        return ""

    def numbers_apart(self, now_ns: int) -> str:
        """Return how two feeds differ whose numbers contradict the times that the venue tells."""
        for each in self.members:
            late, ahead = each.book, each.mark_of
            if late.state is not _LIVE or ahead.seq <= late.seq or not each.is_overdue(now_ns):
                continue
            later_ns = _later_ns(late, ahead)
            if later_ns is None:
                continue
            numbers = f"{_name(late.feed)} at {late.seq} and {_name(ahead.feed)} at {ahead.seq}"
            if later_ns > RUNS_NS:
                return f"{numbers}, which is of an earlier time"
            changed_ns = min(late.ts_recv_ns, ahead.ts_recv_ns)
            if ahead.state is _LIVE and now_ns - changed_ns < RUNS_NS and later_ns > -RUNS_NS:
                return f"both run on, {numbers}"
        return ""


def _later_ns(one: TrackedBook, other: TrackedBook) -> int | None:
    """Return by how much a book is of a later time than another, by the venue's clock."""
    ours, theirs = one.ts_venue_ns, other.ts_venue_ns
    return None if ours is None or theirs is None else ours - theirs


def _name(feed: FeedName) -> str:
    return f"feed {feed}" if feed else "the single feed"


def _text(level: Level) -> str:
    return f"{level[1]:.12g} at {level[0]:.12g}"
