"""What fills have spent and reported balances do not show yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from services.risk.reservations import ReservedLeg
from shared.domain.instrument import split_instrument
from shared.messages.base import Side
from shared.messages.execution import Fill
from shared.messages.terms import is_same_side

BALANCE_LAG_NS: Final = 1_000_000_000
"""A balance shows a fill only if it came this much later: it is read some time before it is
published."""
ZERO = Decimal(0)


class Settling(msgspec.Struct, kw_only=True):
    """Spent, perhaps not yet in the reported balance; newest fill's time."""

    amount: Decimal
    ts_ns: int


Spent = dict[str, dict[str, Settling]]
"""By venue and asset."""


def settle(spent: Spent, venue: str, asset: str, amount: Decimal, ts_fill_ns: int) -> None:
    """Keep out of reach what was spent, until the venue's balance shows it."""
    found = spent.setdefault(venue, {}).setdefault(asset, Settling(amount=ZERO, ts_ns=0))
    found.amount += amount
    found.ts_ns = max(found.ts_ns, ts_fill_ns)


def balance_shows(ts_balance_ns: int, ts_fill_ns: int) -> bool:
    """Tell whether a balance of a time shows a fill of another."""
    return ts_balance_ns - ts_fill_ns >= BALANCE_LAG_NS


def spent_beside(fill: Fill, held: Iterable[ReservedLeg]) -> tuple[str, Decimal] | None:
    """Return the asset and the amount that a spot fill spent and no reservation holds.

    What evens a plan out is traded wherever its price is best, and plans of the executor's own
    making (late fills, orders found, FLATTEN) hold nothing.

    Args:
        fill: Booked for the first time.
        held: The legs of its plan's reservation; none for a plan that holds nothing.
    """
    base, quote, settled_in = split_instrument(fill.instrument)
    if settled_in is not None or any(is_same_side(leg.terms, fill) for leg in held):
        return None
    if fill.side is Side.SELL:
        return base, fill.qty
    return quote, fill.qty * fill.price
