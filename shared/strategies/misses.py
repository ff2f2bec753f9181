"""The least edge of a path, allowing for orders that sometimes do not fill. Pure.

    miss  = at most, over the order that does not fill, the sum over the others of 2 fee + spread,
            and ``drift``                     they are traded back, at what was paid for them too
    needs = (least edge + share * miss) / (1 - share)

so that ``(1 - share) * needs - share * miss`` is the least edge: all plans together earn it. The
fees and spreads are those of the present books; the share that misses and the drift are configured
expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from shared.domain.rounding import exact
from shared.strategies.path_books import PathBook

_DIGITS = 4


class Misses(NamedTuple):
    """What is expected of the orders of a path.

    Attributes:
        share: Of the plans, in which an order does not fill.
        drift_bps: How far prices go against us until what filled is traded back.
    """

    share: float
    drift_bps: float

    def cost_bps(self, books: Sequence[PathBook]) -> float:
        """Return what a miss costs at worst, of what the first order spends; books are live."""
        each = [2e4 * book.fee + _spread_bps(book) for book in books]
        return sum(each) - min(each) + self.drift_bps

    def needs_bps(self, books: Sequence[PathBook], edge_bps_min: float) -> Decimal:
        """Return the least edge of a plan whose misses the others pay for."""
        if not self.share:
            return exact(edge_bps_min)
        needs_bps = (edge_bps_min + self.share * self.cost_bps(books)) / (1.0 - self.share)
        return exact(round(max(needs_bps, edge_bps_min), _DIGITS))


def _spread_bps(book: PathBook) -> float:
    assert book.view is not None
    bid, ask = book.view.bids[0][0], book.view.asks[0][0]
    return max(0.0, ask / bid - 1.0) * 1e4
