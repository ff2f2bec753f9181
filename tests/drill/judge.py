"""Judges depth views and opportunities by what the simulated books were. Pure.

A view is RIGHT if the venue had exactly these levels together, at that number where it numbers its
book, and not longer ago than ``age_ns_max``; OLD if longer ago; WRONG if never. What carries no
trust is UNTRUSTED. An opportunity is wrong where the levels that it used are: those behind them may
be wrong where a venue proves its best levels only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView
from tests.drill.truth import BookTruth, Key, State, Truth
from tests.drill.truth import Side as Levels

VIEWS_KEPT = 60_000
LOOKS_KEPT = 6_000
EXAMPLES_MAX = 10
"""Of a venue."""
UNSEEN_WAIT_NS = 3_000_000_000
"""An opportunity may be read before the view it was priced from, by so much at most."""


class Verdict(StrEnum):
    """What a view was worth."""

    RIGHT = "RIGHT"
    OLD = "OLD"
    WRONG = "WRONG"
    UNTRUSTED = "UNTRUSTED"


@dataclass(frozen=True, slots=True)
class Look:
    """One judged view: ``is_since`` tells that it holds at or after a moment."""

    ts_ns: int
    verdict: Verdict
    state: BookState
    reason: str
    truth: State | None

    def holds_since(self, ts_ns: int) -> bool:
        """Tell whether the venue had what it shows at that moment or later."""
        truth = self.truth
        return truth is not None and (
            truth.start_ns >= ts_ns or truth.end_ns is None or truth.end_ns > ts_ns
        )


@dataclass(frozen=True, slots=True)
class Objection:
    """An opportunity that was priced from a book that was not right."""

    ts_ns: int
    opportunity_id: str
    venue: str
    instrument: str
    why: str


@dataclass(slots=True)
class Counts:
    """How much was judged."""

    views: dict[str, int] = field(default_factory=dict)
    opportunities: int = 0
    legs: int = 0

    def note(self, verdict: Verdict) -> None:
        self.views[verdict.value] = self.views.get(verdict.value, 0) + 1


class Judge:
    """Takes truth, views and opportunities as they come, in any order between them.

    Args:
        truth: Of the simulated venues.
        age_ns_max: How long ago a book may have been what it is taken for.
        unproved: Venues whose books nothing proves: an opportunity must not use them, and their
            views are given by ``on_view`` with the levels that the order book keeps.
    """

    def __init__(self, truth: Truth, age_ns_max: int, unproved: Collection[str] = ()) -> None:
        self.truth, self._age_ns_max, self._unproved = truth, age_ns_max, unproved
        self.counts = Counts()
        self.objections: list[Objection] = []
        self.examples: dict[str, list[str]] = {}
        """Why views were WRONG, the first ones."""
        self.looks: dict[Key, deque[Look]] = {}
        self._views: OrderedDict[str, DepthView] = OrderedDict()
        self._waiting_views: deque[DepthView] = deque()
        self._waiting: deque[Opportunity] = deque()

    def on_view(self, view: DepthView) -> None:
        """Take a view that was published."""
        if view.state is BookState.LIVE:
            self._views[view.book_id] = view
            if len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
        self._waiting_views.append(view)

    def on_opportunity(self, found: Opportunity) -> None:
        """Take an opportunity that was published."""
        self._waiting.append(found)

    def work(self) -> None:
        """Judge what the truth reaches."""
        until_ns = self.truth.until_ns
        while self._waiting_views and self._waiting_views[0].ts_ns <= until_ns:
            self._judge_view(self._waiting_views.popleft())
        while self._waiting and self._waiting[0].ts_ns + UNSEEN_WAIT_NS <= until_ns:
            self._judge_opportunity(self._waiting.popleft())

    def _judge_view(self, view: DepthView) -> None:
        key = (view.venue, view.instrument)
        verdict, state, why = self.verdict_of(view, view.ts_ns)
        if verdict is Verdict.WRONG and self._is_of_before(view):
            return
        self.counts.note(verdict)
        if verdict is Verdict.WRONG:
            examples = self.examples.setdefault(view.venue, [])
            if len(examples) < EXAMPLES_MAX:
                examples.append(f"{view.ts_ns} {view.instrument} {view.seq}: {why}")
        looks = self.looks.setdefault(key, deque(maxlen=LOOKS_KEPT))
        looks.append(Look(view.ts_ns, verdict, view.state, view.reason, state))

    def _is_of_before(self, view: DepthView) -> bool:
        """Tell whether a view may show what the venue had before the first state that was read."""
        book = self.truth.books.get((view.venue, view.instrument))
        if book is None or book.first is None:
            return False
        is_early = view.ts_ns < book.first.start_ns + self._age_ns_max
        return is_early and (not book.is_numbered or view.seq < book.first.seq_first)

    def verdict_of(self, view: DepthView, now_ns: int) -> tuple[Verdict, State | None, str]:
        """Return what a view is worth at a moment, the state it shows, and what is wrong."""
        if view.state is not BookState.LIVE:
            return Verdict.UNTRUSTED, None, view.reason
        book = self.truth.books.get((view.venue, view.instrument))
        if book is None:
            return Verdict.WRONG, None, "the venue has no such book"
        bids: Levels = tuple(map(tuple, view.bids))
        asks: Levels = tuple(map(tuple, view.asks))
        state = book.find(bids, asks, now_ns, view.seq if book.is_numbered else None)
        if state is None:
            return Verdict.WRONG, None, _difference(book, bids, asks)
        if book.is_numbered and not state.seq_first <= view.seq <= state.seq_last:
            why = f"number {view.seq}, the venue had it at {state.seq_first} to {state.seq_last}"
            return Verdict.WRONG, state, why
        age_ns = state.age_ns(now_ns)
        if age_ns > self._age_ns_max:
            return Verdict.OLD, state, f"{age_ns / 1e9:.2f} s old"
        return Verdict.RIGHT, state, ""

    def _judge_opportunity(self, found: Opportunity) -> None:
        self.counts.opportunities += 1
        for leg in found.legs:
            self.counts.legs += 1
            if why := self._why_not(leg, found.ts_ns):
                self.objections.append(
                    Objection(found.ts_ns, found.opportunity_id, leg.venue, leg.instrument, why)
                )

    def _why_not(self, leg: OpportunityLeg, now_ns: int) -> str:
        if leg.venue in self._unproved:
            return "its book is UNPROVED, and the configuration does not accept that"
        view = self._views.get(leg.book_id)
        if view is None:
            return f"no LIVE view {leg.book_id} was ever published"
        is_bought = leg.side is Side.BUY
        levels: Levels = tuple((view.asks if is_bought else view.bids)[: leg.levels_used])
        verdict, _, why = self.verdict_of(view, now_ns)
        if verdict is Verdict.OLD or (
            verdict is not Verdict.RIGHT and not self._had(leg, levels, now_ns)
        ):
            return f"its book was {verdict.value}: {why}"
        if float(leg.price_limit) not in {price for price, _ in levels}:
            return f"its limit {leg.price_limit} is no price of the levels it used"
        if leg.qty > sum((Decimal(str(qty)) for _, qty in levels), Decimal(0)):
            return f"its {leg.qty} are more than the {leg.levels_used} levels that it used hold"
        return ""

    def _had(self, leg: OpportunityLeg, levels: Levels, now_ns: int) -> bool:
        """Tell whether the venue had the levels that were used, whatever else the view showed."""
        book = self.truth.books.get((leg.venue, leg.instrument))
        since_ns = now_ns - self._age_ns_max
        return book is not None and book.had(leg.side is Side.BUY, levels, since_ns, now_ns)


def _difference(book: BookTruth, bids: Levels, asks: Levels) -> str:
    """Say what differs from the newest state known."""
    last = book.last
    if last is None:
        return "nothing is known of the venue's book"
    parts = []
    for name, shown, real in (("bids", bids, last.bids), ("asks", asks, last.asks)):
        had = dict(real)
        wrong = [(price, qty, had.get(price)) for price, qty in shown if had.get(price) != qty]
        if wrong:
            parts.append(f"{name} {wrong[:3]} (price, shown, the venue's newest)")
    return "levels that it never had together: " + "; ".join(parts)
