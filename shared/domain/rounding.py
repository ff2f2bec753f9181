"""The one module that rounds money: prices to ticks, quantities to lots. Pure, Decimal."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    InvalidOperation,
)
from functools import lru_cache
from math import lcm
from typing import Final

from shared.domain.fees import MONEY_STEP
from shared.domain.quantities import base_of, is_inverse, worth_of
from shared.messages.base import Side
from shared.messages.rules import InstrumentRules

_BUY: Final = Side.BUY

PRICE_AVG_DIGITS = 12
"""Significant digits of an average price: times a quantity of up to 16 digits is exact in Decimal's
default 28, so anyone can recompute an opportunity's arithmetic to the last digit."""

QTY_NOISE_DIGITS = 13
"""Significant digits of a sum of float quantities that are not rounding noise."""

_EXACT_MAX = 4_096
"""Numbers whose decimal is remembered: a level is read by several, and again with the next view."""
_UP_TO_AVG = Context(prec=PRICE_AVG_DIGITS, rounding=ROUND_CEILING)
_DOWN_TO_AVG = Context(prec=PRICE_AVG_DIGITS, rounding=ROUND_FLOOR)
_WHOLE = Context(prec=700)
"""Holds the quotient of any two numbers that a float can be: ``%`` raises where it does not."""
_WITHOUT_NOISE = Context(prec=QTY_NOISE_DIGITS, rounding=ROUND_HALF_EVEN)


def exact(value: float) -> Decimal:
    """Return the decimal a float was parsed from: its shortest repr, so venue decimals survive."""
    return _exact(value) if value else Decimal(repr(value))  # zeros of both signs are one key


@lru_cache(maxsize=_EXACT_MAX, typed=True)
def _exact(value: float) -> Decimal:
    return Decimal(repr(value))


def round_noise(qty: float) -> Decimal:
    """Return a summed float quantity without the noise of summing (0.1 + 0.7 is 0.8 again)."""
    return _WITHOUT_NOISE.create_decimal(repr(qty))


def price_to_tick(price: Decimal, tick_size: Decimal, side: Side, *, aggressive: bool) -> Decimal:
    """Return ``price`` on the tick grid.

    Args:
        price: Quote per base.
        tick_size: The venue's grid; must be positive.
        side: Side of the order.
        aggressive: True rounds towards a sure fill (a buy up, a sell down), False towards the
            better price (a buy down, a sell up).
    """
    assert tick_size > 0
    up = (side is _BUY) is aggressive
    ticks = (price / tick_size).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return ticks * tick_size


def qty_to_lot(qty: Decimal, lot_size: Decimal) -> Decimal:
    """Return the largest multiple of ``lot_size`` that is not above ``qty`` (base units, >= 0)."""
    assert lot_size > 0
    assert qty >= 0
    return (qty / lot_size).to_integral_value(ROUND_DOWN) * lot_size


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Tell whether ``value`` lies exactly on the grid of ``step``."""
    assert step > 0
    try:
        return not value % step
    except InvalidOperation:  # the quotient has more digits than the usual context holds
        return not _WHOLE.remainder(value, step)


@lru_cache(maxsize=4_096)
def lot_common(lot_a: Decimal, lot_b: Decimal) -> Decimal:
    """Return the smallest quantity step both venues accept: the exact least common multiple."""
    assert lot_a > 0
    assert lot_b > 0
    exponent = min(_exponent(lot_a), _exponent(lot_b))
    units_a = int(lot_a.scaleb(-exponent))
    units_b = int(lot_b.scaleb(-exponent))
    return Decimal(lcm(units_a, units_b)).scaleb(exponent).normalize()


def lot_in_base(rules: InstrumentRules, price: Decimal) -> Decimal:
    """Return an instrument's lot in base units: of an inverse contract the coins it is at a price.

    Never less than the step that coins are rounded to.
    """
    lot = base_of(rules.instrument, rules.lot_size, price)
    return max(lot, MONEY_STEP) if is_inverse(rules.instrument) else lot


def is_rest_of_lots(net: Decimal, lot: Decimal, *, is_instant: bool) -> bool:
    """Tell whether legs may leave ``net`` base units open: less than ``lot``, the coarsest one's.

    Legs of one instant sell nothing that they do not buy: its price would count as profit, and what
    buying it back costs would not.
    """
    return abs(net) < lot and (net >= 0 or not is_instant)


def price_average(cost: Decimal, qty: Decimal, side: Side) -> Decimal:
    """Return cost / qty to ``PRICE_AVG_DIGITS`` digits, against us: a buy up, a sell down."""
    context = _UP_TO_AVG if side is _BUY else _DOWN_TO_AVG
    return context.divide(cost, qty)


def qty_accepted(rules: InstrumentRules, qty: Decimal) -> Decimal:
    """Return the largest quantity not above ``qty`` that one order may have; may be 0."""
    most = qty if rules.qty_max is None else min(qty, rules.qty_max)
    return qty_to_lot(most, rules.lot_size)


def is_enough(rules: InstrumentRules, qty: Decimal, price: Decimal) -> bool:
    """Tell whether ``qty`` at ``price`` reaches the venue's least quantity and notional."""
    return qty >= rules.qty_min and worth_of(rules.instrument, qty, price) >= rules.notional_min


def _exponent(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "steps are finite"
    return exponent
