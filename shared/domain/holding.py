"""One open quantity at its average cost: what closing part of it realizes. Pure, Decimal.

A part of ``accounting.py``, which says what is held where.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from shared.domain.fees import MONEY_STEP

ZERO = Decimal(0)


class Holding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An open quantity (signed base units), its cost, and what was realized here (quote units)."""

    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def entry(self) -> Decimal | None:
        """Average entry price, ``None`` while nothing is held."""
        return self.cost / self.qty if self.qty else None

    def trade(self, qty: Decimal, cost: Decimal) -> Decimal:
        """Add signed base units that cost ``cost`` (received: negative); return the profit."""
        if not self.qty or (self.qty > 0) == (qty > 0):
            self.qty += qty
            self.cost += cost
            return ZERO
        held = self.qty
        if abs(qty) >= abs(held):  # closes all of it; the rest turns it around
            share = _share(cost, held, qty)
            realized = -self.cost - share
            self.qty, self.cost = held + qty, cost - share
        else:
            released = _share(self.cost, qty, held)
            realized = -cost - released
            self.qty, self.cost = held + qty, self.cost - released
        self.realized += realized
        return realized


def _share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return the cost of ``part`` of ``whole``, rounded to ``MONEY_STEP`` unless it is all."""
    part, whole = abs(part), abs(whole)
    if part == whole:
        return cost
    return (cost * part / whole).quantize(MONEY_STEP, ROUND_HALF_EVEN)
