"""Buys a base asset on one venue and sells it on another at once, where both fees are paid. Pure.

Every view is compared, in both directions, with the books of the same base asset on the other
venues. The size is what pays to the last unit: see ``shared/strategies/two_legs.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, field

from shared.messages.arb import Opportunity
from shared.messages.inventory import InventoryTold
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.demo import Demo
from shared.strategies.near_misses import Stopped
from shared.strategies.pairs import PairLimits, Pairs
from shared.strategies.port import Output, Params, Strategy

DEMO = Demo(params={"notional_quote_max_of": {"BTC": 0.15}})


class CrossVenueParams(Params, frozen=True, kw_only=True):
    """As in the section ``[scanner]``, which holds for what is not given here.

    ``notional_quote_max_of`` is ``notional_quote_max`` for single quote assets, in units of each.
    """

    edge_bps_min: Annotated[float, Meta(ge=-1e6, le=1e6)] = 2.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e15)] = 10_000.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=10**12)] = 2_000
    cooldown_ms: Annotated[int, Meta(ge=0, le=10**12)] = 1_000
    opportunity_ttl_ms: Annotated[int, Meta(ge=1, le=10**12)] = 500
    notional_quote_max_of: dict[str, Annotated[float, Meta(gt=0, le=1e15)]] = field(
        default_factory=dict
    )


class CrossVenue(Strategy[CrossVenueParams]):
    """See the module's first lines."""

    by_base: ClassVar = True

    def set_up(self) -> None:
        """Begin without books."""
        given = self.params
        limits = PairLimits(
            given.edge_bps_min,
            given.notional_quote_max,
            given.book_age_ms_max,
            given.cooldown_ms,
            given.opportunity_ttl_ms,
            given.notional_quote_max_of,
        )
        self._pairs = Pairs(self.id, limits, self.near_misses)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note what an instrument's orders must look like, and what they cost."""
        self._pairs.take_rules(rules)
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Return the opportunities that a view opens."""
        out: list[Opportunity] | None = None  # nearly always
        compare, count = self._pairs.compare, self.near_misses.count
        for pair in self._pairs.take_view(view):
            found = compare(pair, now_ns)
            if isinstance(found, Stopped):
                count(pair.route, found, now_ns)
            elif found is not None:
                out = [*(out or ()), found]
        return out or ()

    def on_inventory(self, told: InventoryTold, now_ns: int) -> Sequence[Opportunity]:
        """Ask more of trades that empty a venue, and less of those that fill one again."""
        self._pairs.take_inventory(told)
        return ()

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Let the pair be offered again soon."""
        self._pairs.take_back(held, now_ns)

    def offer_of_last(self, now_ns: int) -> Opportunity | Stopped | None:
        """Return the last offer as it would be now; nothing follows from it."""
        return self._pairs.offer_of_last(now_ns)

    def counters(self) -> Mapping[str, int]:
        """Return comparisons, and what was refused beyond bounds."""
        return self._pairs.counters()

    def gauges(self) -> Mapping[str, float]:
        """Return the books and directed pairs followed."""
        return self._pairs.gauges()
