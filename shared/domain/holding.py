"""One open quantity at its average cost: what closing part of it realizes. Pure, Decimal.

A part of ``accounting.py``, which says what is held where.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import InstrumentKind

ZERO = Decimal(0)


class Holding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An open quantity (signed base units), its cost, and what was realized here (quote units).

    Of an inverse contract the quantity is in quote units and the cost in coins with the sign
    turned: who is long has received coins for the quote units that are owed (``accounting.py``).
    """

    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def entry(self) -> Decimal | None:
        """Average entry price, ``None`` while nothing is held; of inverse: ``inverse_entry``."""
        return self.cost / self.qty if self.qty else None

    @property
    def inverse_entry(self) -> Decimal | None:
        """Average entry price of an inverse contract: the harmonic mean over its quantity."""
        return -self.qty / self.cost if self.qty and self.cost else None

    def entry_of(self, kind: InstrumentKind) -> Decimal | None:
        """Return the average entry price of a kind of instrument."""
        return self.inverse_entry if kind is InstrumentKind.INVERSE else self.entry

    def unrealized(self, kind: InstrumentKind, close: Decimal) -> Decimal:
        """Return what closing all at a price would realize, in the asset of settlement.

        Of an inverse contract the coins at that price are rounded like those of an execution.
        """
        if kind is InstrumentKind.INVERSE:
            coins = (self.qty / close).quantize(MONEY_STEP, ROUND_HALF_EVEN)
            return -coins - self.cost
        return self.qty * close - self.cost

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
