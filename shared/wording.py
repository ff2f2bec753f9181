"""Numbers in messages to people. Pure."""

from __future__ import annotations

from decimal import Decimal

_DIGITS_MAX = 8
"""Behind the point: venues keep coins with as many."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and what is counted: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def signed(amount: Decimal | None, digits: int = 2) -> str:
    """Return money with its sign, ``unknown`` for ``None``.

    It has ``digits`` behind the point; an amount below one, as results in coins often are, has as
    many as show three that are not leading zeros.
    """
    if amount is None:
        return "unknown"
    if amount and abs(amount) < 1:
        digits = min(_DIGITS_MAX, max(digits, 2 - amount.adjusted()))
    return f"{amount:+,.{digits}f}"


def unsigned(amount: Decimal | None) -> str:
    """Return money as ``signed`` does, without a plus."""
    return signed(amount).removeprefix("+")
