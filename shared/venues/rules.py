"""Reads the numbers in venues' lists of instruments; the stricter of a rule given twice. Pure.

Nothing here judges a number: what cannot be used comes out as it was given, for
``shared.messages.rules.rules_from`` to report.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import reduce

from shared.domain.rounding import lot_common

NO_NUMBER = Decimal("NaN")
EXPONENT_MAX, DIGITS_MAX = 30, 28


def number(value: object) -> Decimal | None:
    """Return a number as given, ``None`` for none, NaN for what is not one or too large."""
    if value is None or value == "":
        return None
    try:
        told = Decimal(str(value))
    except InvalidOperation:
        return NO_NUMBER
    if not told:
        return Decimal(0)
    # Nothing that arithmetic could stumble over; what is merely odd is judged elsewhere.
    is_plain = told.is_finite() and abs(told.adjusted()) <= EXPONENT_MAX
    return told if is_plain and len(told.as_tuple().digits) <= DIGITS_MAX else NO_NUMBER


def places(digits: object) -> Decimal | None:
    """Return the step of so many decimal places."""
    told = number(digits)
    if told is None:
        return None
    if not told.is_finite() or told != int(told) or abs(told) > EXPONENT_MAX:
        return NO_NUMBER
    return Decimal(1).scaleb(-int(told))


def fee_bps(fraction: object, default: str) -> Decimal | None:
    """Return a fee given as a fraction of the notional in basis points."""
    told = number(default if fraction is None else fraction)
    return told if told is None else told * 10_000


def common_step(steps: Sequence[Decimal | None]) -> Decimal | None:
    """Return the step that all of several steps accept; one of zero is no rule."""
    told = [step for step in steps if step is not None]
    odd = _odd(told)
    if odd is not None:
        return odd
    positive = [step for step in told if step]
    return reduce(lot_common, positive) if positive else None


def largest(values: Sequence[Decimal | None]) -> Decimal | None:
    """Return the strictest of several least values."""
    told = [value for value in values if value is not None]
    return _odd(told) or max(told, default=None)


def smallest(values: Sequence[Decimal | None]) -> Decimal | None:
    """Return the strictest of several largest values."""
    told = [value for value in values if value is not None]
    return _odd(told) or min(told, default=None)


def _odd(told: Sequence[Decimal]) -> Decimal | None:
    """Return the first that is no number or negative."""
    return next((value for value in told if not value.is_finite() or value < 0), None)
