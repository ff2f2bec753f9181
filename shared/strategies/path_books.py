"""Books and rules of spot markets, as the legs of a path. Pure.

For strategies that look at several books at once: see ``shared/domain/path.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.depth import are_levels, is_size
from shared.domain.fees import fee_fraction
from shared.domain.instrument import InstrumentKind, InstrumentName, split_instrument
from shared.domain.path import PathLeg
from shared.domain.rounding import exact
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules

BOOKS_MAX = 4_096
"""Books followed; more are refused and counted."""
_MS = 1_000_000


class PathBook:
    """The newest view and rules of one spot market."""

    __slots__ = ("fee", "instrument", "is_live", "name", "number", "rules", "venue", "view")

    def __init__(self, venue: str, instrument: str, name: InstrumentName, number: int) -> None:
        self.venue, self.instrument, self.name, self.number = venue, instrument, name, number
        self.view: DepthView | None = None
        self.rules: InstrumentRules | None = None
        self.fee = 0.0
        self.is_live = False  # LIVE, both sides begin with a price, and its rules say it is traded

    @property
    def market(self) -> tuple[str, str]:
        """Its venue and instrument, as near misses name it."""
        return self.venue, self.instrument

    def best(self, side: Side) -> float:
        """Return the price at which a taker of ``side`` begins; only while it is live."""
        assert self.view is not None
        return (self.view.asks if side is Side.BUY else self.view.bids)[0][0]

    def leg(self, side: Side, *, is_buy_fee_in_base: bool) -> PathLeg | None:
        """Return a taker's order on it; ``None`` where a level is no price or quantity."""
        assert self.view is not None
        assert self.rules is not None
        levels = self.view.asks if side is Side.BUY else self.view.bids
        if not are_levels(levels):
            return None
        rules = self.rules
        return PathLeg(
            side,
            [(exact(price), exact(qty)) for price, qty in levels],
            rules.lot_size,
            rules.taker_fee_bps,
            is_fee_in_base=is_buy_fee_in_base and side is Side.BUY,
            qty_min=rules.qty_min,
            qty_max=rules.qty_max,
            notional_min=rules.notional_min,
        )

    def refresh(self) -> None:
        """Work out again whether it may price anything."""
        view, rules = self.view, self.rules
        self.is_live = (
            view is not None
            and rules is not None
            and rules.active
            and view.state is BookState.LIVE
            and bool(view.bids and view.asks)
            and is_size(view.bids[0][0])
            and is_size(view.asks[0][0])
        )


def fees_bps(edge_bps: float, steps: Iterable[tuple[PathBook, Side]]) -> float:
    """Return the fees in a net edge of taker's orders, basis points of what the first one spends.

    A sell keeps ``1 - fee`` of what it gets, a buy pays ``1 + fee``: without these factors the edge
    would be the gross one.
    """
    net = 1.0 + edge_bps / 1e4
    gross = net
    for book, side in steps:
        gross *= 1.0 + book.fee if side is Side.BUY else 1.0 / (1.0 - book.fee)
    return (gross - net) * 1e4


class PathBooks:
    """All spot books that a strategy sees, numbered in the order of their appearance."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], PathBook] = {}
        self.refused = 0
        """Books beyond the bound, and names of no instrument."""

    def __len__(self) -> int:
        return len(self._books)

    def all(self) -> list[PathBook]:
        """Return the books in the order of their numbers."""
        return list(self._books.values())

    def take_rules(self, rules: InstrumentRules) -> PathBook | None:
        """Take rules in; return the book if they are other than before."""
        book = self._book(rules.venue, rules.instrument)
        if book is None or book.rules == rules:  # repeated every few seconds
            return None
        book.rules, book.fee = rules, fee_fraction(rules.taker_fee_bps)
        book.refresh()
        return book

    def take_view(self, view: DepthView) -> PathBook | None:
        """Take a view in; return its book, ``None`` of a derivative or beyond the bound."""
        book = self._books.get((view.venue, view.instrument))
        if book is None:
            book = self._book(view.venue, view.instrument)
            if book is None:
                return None
        book.view = view
        book.refresh()
        return book

    def _book(self, venue: str, instrument: str) -> PathBook | None:
        book = self._books.get((venue, instrument))
        if book is not None:
            return book
        try:
            name = split_instrument(instrument)
        except ValueError:
            self.refused += 1
            return None
        if name.kind is not InstrumentKind.SPOT:
            return None
        if len(self._books) >= BOOKS_MAX:
            self.refused += 1
            return None
        book = self._books[venue, instrument] = PathBook(venue, instrument, name, len(self._books))
        return book


def oldest_age_ms(books: Iterable[PathBook], now_ns: int) -> int:
    """Return the age of the oldest view among books that are live."""
    return max((now_ns - book.view.ts_ns) // _MS for book in books if book.view is not None)


def newest_age_ms(books: Iterable[PathBook], now_ns: int) -> int:
    """Return the age of the newest view among books that are live."""
    return min((now_ns - book.view.ts_ns) // _MS for book in books if book.view is not None)
