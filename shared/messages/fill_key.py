"""What tells one fill from another, stated here alone: the natural key of an execution.

A venue numbers the trades of a market, and a trade has two sides. Where both orders are ours (a
self-trade, which venues execute unless self-trade prevention is asked for) two fills have the
number of one trade, one of each side, and neither is a repeat of the other. The order is no part
of the key: it has one side, and a trade meets it once. No venue that we trade at numbers trades
anew for every order.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.messages.base import Side
from shared.messages.execution import Fill


class FillKey(NamedTuple):
    """The natural key of a fill, by which it is told, booked and written once."""

    venue: str
    instrument: str
    trade_id: str
    side: Side

    @property
    def text(self) -> str:
        """The key as the name of an entry in a saved state."""
        return "|".join(self)

    @property
    def trade(self) -> tuple[str, str, str]:
        """The trade, either side of it: states saved before sides were in the key name fills so."""
        return self[:3]


def fill_key(fill: Fill) -> FillKey:
    """Return the natural key of a fill."""
    return FillKey(fill.venue, fill.instrument, fill.trade_id, fill.side)
