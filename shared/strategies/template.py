"""Buys on one venue and sells on another, but leaves books alone whose own spread is wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.messages.arb import Opportunity
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.near_misses import Stopped
from shared.strategies.pairs import Pair, PairLimits, Pairs
from shared.strategies.port import Output, Params, Strategy


class TightBooksParams(Params, frozen=True):
    """What can be set: every number has its unit in its name, and both bounds."""

    edge_bps_min: Annotated[float, Meta(ge=0, le=1_000)] = 2.0
    spread_bps_max: Annotated[float, Meta(gt=0, le=1_000)] = 8.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e9)] = 5_000.0


class TightBooks(Strategy[TightBooksParams]):
    """See the first line of the file."""

    gates: ClassVar = {"SPREAD": ("spread_bps",)}  # an own reason, and what its number is called

    def set_up(self) -> None:
        """Prepare what it remembers."""
        limits = PairLimits(
            self.params.edge_bps_min,
            self.params.notional_quote_max,
            book_age_ms_max=1_000,
            cooldown_ms=500,
            ttl_ms=500,
        )
        self.pairs = Pairs(self.id, limits, self.near_misses)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note tick, lot, least order and fees of an instrument."""
        self.pairs.take_rules(rules)
        return []

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at every pair of books that this view takes part in."""
        out: list[Opportunity] = []
        for pair in self.pairs.take_view(view):
            found = self._too_wide(pair) or self.pairs.compare(pair, now_ns)
            if isinstance(found, Opportunity):
                out.append(found)
            elif found is not None:
                self.near_misses.count(pair.route, found, now_ns)
        return out

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Another opportunity took these prices: undo the pause."""
        self.pairs.take_back(held, now_ns)

    def _too_wide(self, pair: Pair) -> Stopped | None:
        for book in (pair.buy, pair.sell):
            if book.view is not None and book.is_live:
                spread_bps = (book.view.asks[0][0] / book.view.bids[0][0] - 1) * 1e4
                if spread_bps > self.params.spread_bps_max:
                    return Stopped("SPREAD", (round(spread_bps, 2),))
        return None
