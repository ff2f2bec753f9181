"""The newest view and the rules of every instrument, as risk received them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from services.risk.rounds import IsDust
from shared.domain.accounting import ClosingPrice
from shared.domain.instrument import MarketKey
from shared.domain.rounding import is_enough, qty_accepted
from shared.domain.valuation import closing_prices
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules

_T = TypeVar("_T")

BOOKS_MAX = 4_096
"""Views and rules followed; more are refused and counted."""


class LatestBooks:
    """The newest view and rules of each book; the bus repeats them, so a restart begins empty."""

    def __init__(self) -> None:
        self.views: dict[MarketKey, DepthView] = {}
        self.rules: dict[MarketKey, InstrumentRules] = {}
        self.counters = {"books_refused": 0, "rules_refused": 0}
        self._price: ClosingPrice | None = None

    def on_view(self, view: DepthView) -> None:
        """Take the newest view of a book."""
        self._price = None
        _follow(self.views, (view.venue, view.instrument), view, self.counters, "books_refused")

    def on_rules(self, info: InstrumentInfo) -> None:
        """Take an instrument's rules."""
        rules = info.rules
        key = (rules.venue, rules.instrument)
        _follow(self.rules, key, rules, self.counters, "rules_refused")

    def closing_price(self) -> ClosingPrice:
        """Return what prices holdings on the views of now: the same until another view comes."""
        if self._price is None:
            self._price = closing_prices(self.views.values())
        return self._price

    def is_dust(self, prices: Mapping[str, Decimal]) -> IsDust:
        """Return what tells whether a quantity is too small to trade; unknown rules: it is not.

        Args:
            prices: Of the last fills, by ``venue|instrument``.
        """

        def is_dust(venue: str, instrument: str, qty: Decimal) -> bool:
            rules, price = self.rules.get((venue, instrument)), prices.get(f"{venue}|{instrument}")
            if rules is None or price is None:
                return False
            accepted = qty_accepted(rules, qty)
            return accepted <= 0 or not is_enough(rules, accepted, price)

        return is_dust


def _follow(
    known: dict[MarketKey, _T], key: MarketKey, value: _T, counters: dict[str, int], refused: str
) -> None:
    if key in known or len(known) < BOOKS_MAX:
        known[key] = value
    else:
        counters[refused] += 1
