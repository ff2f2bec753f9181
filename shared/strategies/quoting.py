"""Quotes that are followed, not sent: which would stand, and what would have filled. Pure.

One maker venue, one taker venue, one quote on each side. Quotes are priced by their hedge
(``shared/domain/quotes.py``), moved by what was filled before (inventory), and taken back where
they must not stand. A public trade *through* a quote's price would have filled it; one *at* it may
have, which depends on a queue that is not seen here, so it is counted apart and fills nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from operator import is_
from typing import NamedTuple

from shared.domain.depth import ExactLevel, are_levels, exact_levels
from shared.domain.fees import ONE_BP
from shared.domain.quotes import (
    Band,
    QuoteCosts,
    hedge_of,
    hedge_price,
    must_requote,
    quote_price,
    withdrawal,
)
from shared.domain.rounding import exact, is_enough, qty_accepted
from shared.messages.base import BookState, Side
from shared.messages.market import Level, Trade
from shared.messages.rules import InstrumentRules
from shared.strategies.round_plans import KnownBook

_ZERO = Decimal(0)


class NoQuote(StrEnum):
    """Why nothing is quoted on a side."""

    NO_RULES = "NO_RULES"  # of one of the two venues
    MAKER_NOT_LIVE = "MAKER_NOT_LIVE"  # where it would rest is not known
    NOT_LIVE = "NOT_LIVE"  # the taker's book cannot be trusted
    DEPTH = "DEPTH"  # it holds too little to hedge in
    CAP = "CAP"  # what could not be hedged is at its cap
    INVENTORY = "INVENTORY"  # as much is held on the maker venue as may be
    LOT = "LOT"  # less than a least order of one of the two
    EDGE = "EDGE"  # no price above zero earns the edge


class QuoteLimits(NamedTuple):
    """The limits of a quoter.

    Attributes:
        notional_quote: Of one quote, in quote units.
        edge_bps: Earned after both fees.
        band: How far a standing quote may be from where it belongs.
        skew_bps_max: How far the side that adds to a full inventory is moved away.
        inventory_notional_max: What may be held on the maker venue, in quote units; the side that
            would hold more is gone.
        depth_ratio: How many times the quote the taker's book must hold.
        unhedged_notional_max: What may be filled and not hedged, in quote units.
        book_age_ms_max: Of a view that may price anything.
    """

    notional_quote: Decimal
    edge_bps: Decimal
    band: Band
    skew_bps_max: Decimal
    inventory_notional_max: Decimal
    depth_ratio: Decimal
    unhedged_notional_max: Decimal
    book_age_ms_max: int


class Quote(NamedTuple):
    """A quote that would rest: its price and quantity, and what its hedge would pay."""

    price: Decimal
    qty: Decimal
    hedge: Decimal


class Hedged(NamedTuple):
    """A fill that would have been: how much of it, and what it earned once it was hedged.

    ``net`` is after both fees, in quote units, of ``hedged_qty``; the rest waits for more.
    """

    side: Side
    price: Decimal
    qty: Decimal
    hedged_qty: Decimal
    net: Decimal


class _Known(NamedTuple):
    """What was wanted last on a side, and all that it follows from: while that is so, it stays."""

    given: tuple[object, ...]
    found: Quote | NoQuote
    price: Decimal


class Quoter:
    """Both sides of one pair of books.

    Args:
        limits: How it quotes.
    """

    def __init__(self, limits: QuoteLimits) -> None:
        self._limits = limits
        self._depth_notional = float(limits.depth_ratio * limits.notional_quote)
        self.maker, self.taker = KnownBook(), KnownBook()
        self.quotes: dict[Side, Quote] = {}
        self.wanted: dict[Side, Quote] = {}
        """Where those that stand would be placed now."""
        self._known: dict[Side, _Known] = {}
        self.why_not: dict[Side, NoQuote] = {}
        self.inventory_qty = self.unhedged_qty = self.unhedged_cost = _ZERO
        """On the maker venue; filled and not hedged, and what that cost there with its fee."""
        self.price = _ZERO
        """Of the last hedge that was looked at, by which quantities are valued."""
        self.net = _ZERO
        """Earned by what was filled and hedged, after both fees, in quote units."""

    def refresh(self, now_ns: int) -> dict[Side, Quote | NoQuote]:
        """Price both sides again; return the sides that changed: placed, moved or taken back."""
        changed: dict[Side, Quote | NoQuote] = {}
        for side in Side:
            wanted, resting = self._wanted(side, now_ns), self.quotes.get(side)
            if isinstance(wanted, NoQuote):
                if self.quotes.pop(side, None) is not None or self.why_not.get(side) != wanted:
                    self.why_not[side] = changed[side] = wanted
                continue
            self.wanted[side] = wanted
            if resting is None or self._is_to_move(side, resting, wanted):
                self.quotes[side] = changed[side] = wanted
                self.why_not.pop(side, None)
        return changed

    def on_trade(self, trade: Trade, now_ns: int) -> Hedged | bool:
        """Return what a public trade on the maker venue would have filled.

        Nothing of it, where ``False``; ``True`` is a trade at the price of a quote, which fills as
        far as the queue before it lets it: not counted as filled.
        """
        if not (self._is_live(self.maker, now_ns) and self._is_live(self.taker, now_ns)):
            self.withdraw()
        side = trade.side.opposite  # a sale hits the bid
        quote, price = self.quotes.get(side), exact(trade.price)
        if quote is None or side.signed(quote.price - price) < 0:
            return False
        if price == quote.price:
            return True
        qty = min(quote.qty, exact(trade.qty))
        left = quote.qty - qty
        if left > 0:
            self.quotes[side] = quote._replace(qty=left)
        else:
            del self.quotes[side]
        return self._fill(side, quote, qty, now_ns)

    def withdraw(self) -> None:
        """Withdraw both quotes: the present state of either venue is not known."""
        self.quotes.clear()

    def skew_bps(self, side: Side) -> Decimal:
        """Return how far a side is moved away: it would add to what is held on the maker venue."""
        limits, held = self._limits, side.signed(self.inventory_qty) * self.price
        share = max(_ZERO, min(Decimal(1), held / limits.inventory_notional_max))
        return limits.skew_bps_max * share

    def _fill(self, side: Side, quote: Quote, qty: Decimal, now_ns: int) -> Hedged:
        maker, taker = self.maker.rules, self.taker.rules
        assert maker is not None
        assert taker is not None
        worth, fee = qty * quote.price, maker.maker_fee_bps * ONE_BP
        self.inventory_qty += side.signed(qty)
        self.unhedged_qty += side.signed(qty)
        self.unhedged_cost += side.signed(worth) + worth * fee
        hedge_side = Side.SELL if self.unhedged_qty > 0 else Side.BUY
        is_live = self._is_live(self.taker, now_ns)
        levels = self._taken(hedge_side, abs(self.unhedged_qty)) if is_live else []
        hedge = hedge_of(
            self.unhedged_qty,
            levels[0][0] if levels else _ZERO,
            lot_size=taker.lot_size,
            qty_min=taker.qty_min,
            notional_min=taker.notional_min,
        )
        average = hedge_price(levels, hedge.qty) if hedge.qty > 0 else None
        if average is None:
            return Hedged(side, quote.price, qty, _ZERO, _ZERO)
        got = hedge.qty * average
        cost = self.unhedged_cost * hedge.qty / abs(self.unhedged_qty)
        net = -hedge.side.signed(got) - got * taker.taker_fee_bps * ONE_BP - cost
        self.unhedged_cost -= cost
        self.unhedged_qty += hedge.side.signed(hedge.qty)
        self.net += net
        return Hedged(side, quote.price, qty, hedge.qty, net)

    def _wanted(self, side: Side, now_ns: int) -> Quote | NoQuote:
        maker, taker = self.maker, self.taker
        if maker.rules is None or taker.rules is None or not maker.rules.active:
            return NoQuote.NO_RULES
        if not self._is_live(maker, now_ns):
            return NoQuote.MAKER_NOT_LIVE
        is_live = self._is_live(taker, now_ns) and taker.rules.active
        books = maker.view, maker.rules, taker.view, taker.rules
        given = (*books, self.inventory_qty, self.unhedged_qty, is_live)
        known = self._known.get(side)
        if known is None or not all(map(is_, known.given, given)):
            found = self._priced(side, maker.rules, taker.rules, is_live=is_live)
            known = self._known[side] = _Known(given, found, self.price)
        self.price = known.price
        return known.found

    def _priced(
        self, side: Side, maker: InstrumentRules, taker: InstrumentRules, *, is_live: bool
    ) -> Quote | NoQuote:
        """Return what these books want; ``is_live`` is the taker's."""
        limits = self._limits
        levels = self._taken(side.opposite) if is_live else []  # what is bought is sold there
        if is_live and not levels:
            return NoQuote.DEPTH
        qty = _ZERO
        if levels:
            self.price = levels[0][0]
            qty = qty_accepted(maker, limits.notional_quote / self.price)
            if not (
                qty > 0
                and is_enough(maker, qty, levels[0][0])
                and is_enough(taker, qty_accepted(taker, qty), levels[0][0])
            ):
                return NoQuote.LOT
        gone = withdrawal(
            BookState.LIVE if is_live else BookState.STALE,
            levels,
            open_qty=qty,
            depth_ratio=limits.depth_ratio,
            unhedged_qty=self.unhedged_qty,
            unhedged_qty_max=limits.unhedged_notional_max / self.price if levels else _ZERO,
        )
        if gone is not None:
            return NoQuote(gone.value)
        if (side.signed(self.inventory_qty) + qty) * self.price > limits.inventory_notional_max:
            return NoQuote.INVENTORY
        hedge = hedge_price(levels, qty)
        if hedge is None:
            return NoQuote.DEPTH
        costs = QuoteCosts(maker.maker_fee_bps, taker.taker_fee_bps, limits.edge_bps)
        opposite = exact(_levels(self.maker, side)[0][0])
        skewed = hedge * (1 - side.signed(self.skew_bps(side)) * ONE_BP)
        price = quote_price(side, skewed, costs, maker.tick_size, opposite_best=opposite)
        return NoQuote.EDGE if price is None else Quote(price, qty, hedge)

    def _is_to_move(self, side: Side, resting: Quote, wanted: Quote) -> bool:
        is_short = resting.qty < wanted.qty / 2  # what was filled of it is offered again
        return is_short or must_requote(side, resting.price, wanted.price, self._limits.band)

    def _is_live(self, book: KnownBook, now_ns: int) -> bool:
        return book.is_live(now_ns, self._limits.book_age_ms_max)

    def _taken(self, side: Side, qty: Decimal = _ZERO) -> list[ExactLevel]:
        """Return the levels of the taker's book that a hedge of this side takes.

        As many as show that it is deep enough, or hold ``qty``; none where one is no level.
        """
        levels = _levels(self.taker, side)
        needed, used = 0.0, 0
        if levels and levels[0][0] > 0:
            needed = self._depth_notional / levels[0][0] * 1.01
            needed = max(needed, float(qty) * 1.01)
        for _, size in levels:
            used += 1
            needed -= size
            if needed < 0:
                break
        return exact_levels(levels, used) if are_levels(levels[:used]) else []


def _levels(book: KnownBook, side: Side) -> Sequence[Level]:
    """Return the levels that an order of a side takes."""
    assert book.view is not None
    return book.view.asks if side is Side.BUY else book.view.bids
