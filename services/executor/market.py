"""What the executor knows of the markets: rules, the newest books, prices of fee assets. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from shared.domain.contracts import Contract
from shared.domain.depth import SIZE_MAX, SIZE_MIN, are_levels
from shared.domain.instrument import MarketKey, split_instrument
from shared.domain.rounding import exact
from shared.messages.base import BookState, Certainty, Side
from shared.messages.bounds import PRICE_MAX, PRICE_MIN
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

_LIVE: Final = BookState.LIVE
_BUY: Final = Side.BUY

VIEW_AGE_NS_MAX = 2_000_000_000
"""A view older than this prices nothing; LIVE books are refreshed several times a second."""


class Markets:
    """Rules and newest views, bounded by the instruments of the configured venues."""

    def __init__(self, venues: tuple[str, ...]) -> None:
        self.venues = venues
        self.rules: dict[MarketKey, InstrumentRules] = {}
        self._views: dict[MarketKey, DepthView] = {}

    def learn_rules(self, rules: InstrumentRules) -> None:
        """Take the venue's rules for an instrument, if that is what it names."""
        if rules.venue in self.venues and _is_instrument(rules.instrument):
            self.rules[rules.venue, rules.instrument] = rules

    def learn_view(self, view: DepthView) -> None:
        """Take the newest view of a book; a view whose name is no instrument is ignored."""
        key = view.venue, view.instrument
        if key in self._views or _is_instrument(view.instrument):
            self._views[key] = view

    def live_view(self, key: MarketKey, now_ns: int) -> DepthView | None:
        """Return the view if it may price something now."""
        view = self._views.get(key)
        if view is None or view.state is not _LIVE or now_ns - view.ts_ns > VIEW_AGE_NS_MAX:
            return None
        return view if are_levels(view.bids) and are_levels(view.asks) else None

    def has_come_since(self, key: MarketKey, since_ns: int) -> bool:
        """Tell whether the newest view is of after that, and could price something when it came."""
        view = self._views.get(key)
        if view is None or view.ts_ns <= since_ns:
            return False
        return self.live_view(key, view.ts_ns) is not None

    def best_price(self, key: MarketKey, taken_by: Side, now_ns: int) -> Decimal | None:
        """Return the best price that an order of this side finds in a LIVE book."""
        view = self._views.get(key)
        if view is None or view.state is not _LIVE or now_ns - view.ts_ns > VIEW_AGE_NS_MAX:
            return None
        levels = view.asks if taken_by is _BUY else view.bids
        price = levels[0][0] if levels else 0.0
        return exact(price) if SIZE_MIN <= price <= SIZE_MAX else None

    def price_of(self, terms: OrderTerms, now_ns: int) -> Decimal | None:
        """Return the average price of taking all of an order; ``None``: no LIVE book holds it."""
        view = self.live_view(terms.market, now_ns)
        if view is None:
            return None
        levels = view.asks if terms.side is _BUY else view.bids
        contract = Contract(split_instrument(terms.instrument).kind)
        exactly = ((exact(price), exact(qty)) for price, qty in levels)
        walked = contract.walk(exactly, terms.qty, terms.side)
        if walked is None or not PRICE_MIN <= walked.price_avg <= PRICE_MAX:
            return None
        return walked.price_avg

    def mid(self, key: MarketKey, now_ns: int) -> Decimal | None:
        """Return the middle of a LIVE book."""
        view = self.live_view(key, now_ns)
        if view is None or not view.bids or not view.asks:
            return None
        return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2

    def tradable(self, base: str, quote: str) -> Iterator[InstrumentRules]:
        """Yield the rules of every instrument of this base and quote that we may trade, sorted."""
        for key in sorted(self.rules):
            rules, name = self.rules[key], split_instrument(key[1])
            same = (name.base, name.quote) == (base, quote)
            if same and rules.active:
                yield rules

    def price(self, base: str, quote: str, now_ns: int) -> Decimal | None:
        """Return a price of ``base`` in ``quote`` from any LIVE book, ``None`` if there is none."""
        for key in sorted(self._views):
            name = split_instrument(key[1])
            if (name.base, name.quote) == (base, quote):
                mid = self.mid(key, now_ns)
                if mid is not None:
                    return mid
        return None

    def price_either_way(self, asset: str, quote: str, now_ns: int) -> Decimal | None:
        """Return a price of ``asset`` in ``quote``, also from a book that trades them turned."""
        price = self.price(asset, quote, now_ns)
        if price is None and (turned := self.price(quote, asset, now_ns)):
            return 1 / turned
        return price

    def value(
        self, amount: Decimal, asset: str, quote: str, now_ns: int
    ) -> tuple[Decimal | None, Certainty]:
        """Return ``amount`` of ``asset`` in ``quote``, and how well that is known."""
        if asset == quote or amount == 0:
            return amount, Certainty.KNOWN
        price = self.price(asset, quote, now_ns)
        if price is None:
            return None, Certainty.UNKNOWN
        return amount * price, Certainty.ESTIMATED


def _is_instrument(name: str) -> bool:
    try:
        split_instrument(name)
    except ValueError:
        return False
    return True
