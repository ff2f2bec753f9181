"""From an instrument's own quantity to base units, quote units, and back. Pure, Decimal.

The own quantity, which orders, fills, positions and books have, is in base units. Of an inverse
contract it is in quote units: the contracts times their size, as venues' folders take it in.
Nothing else turns one into the other.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final

from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import InstrumentKind, split_instrument

_INVERSE: Final = InstrumentKind.INVERSE
_HALF_STEP: Final = MONEY_STEP / 2
_WIDE = Context(prec=700)
"""``quantize`` raises where its result has more digits than the context allows."""


@lru_cache(maxsize=65_536)
def is_inverse(instrument: str) -> bool:
    """Tell whether an instrument is settled in its base asset, and traded in quote units."""
    return split_instrument(instrument).kind is _INVERSE


def base_of(instrument: str, qty: Decimal, price: Decimal) -> Decimal:
    """Return the base units that a quantity of an instrument is at a price.

    A venue keeps the coins of an inverse contract with eight decimals, so they are rounded to
    ``MONEY_STEP``, half to even. ``price`` must be positive for these; no other kind looks at it.
    """
    if is_inverse(instrument):
        return (qty / price).quantize(MONEY_STEP, ROUND_HALF_EVEN, _WIDE)
    return qty


def qty_of_base(instrument: str, base: Decimal, price: Decimal) -> Decimal:
    """Return the most of an instrument that is no more than ``base`` units at a price, any lot.

    Coins that came from a quantity by ``base_of`` give at least that quantity again, and by less
    than a lot more: their rounding is made up for before a venue's lot rounds down.
    """
    return (base + _HALF_STEP) * price if is_inverse(instrument) else base


def worth_of(instrument: str, qty: Decimal, price: Decimal) -> Decimal:
    """Return what a quantity of an instrument is worth in quote units at a price."""
    return qty if is_inverse(instrument) else qty * price
