"""A fill that is stated again, once more is known of its plan."""

from __future__ import annotations

from shared.messages.base import DecisionMessage
from shared.messages.bounds import MaybeAsset, PriceOrZero
from shared.messages.execution import Fill


class FillRestated(DecisionMessage, frozen=True, kw_only=True, tag="fill_restated"):
    """A plan that was found without its record is of other assets than its first orders showed.

    ``fill`` is one of it as it was told last; what it was booked as is taken back. Its result is
    stated in ``report_asset`` now, at ``report_price``, as in a ``Fill``.
    """

    fill: Fill
    report_asset: MaybeAsset
    report_price: PriceOrZero

    @property
    def venue(self) -> str:
        """Where it was traded."""
        return self.fill.venue
