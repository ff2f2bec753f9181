"""How figures are written for the browser: amounts as text, times in ms, unknown as null. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.messages.base import Certainty

MS_NS = 1_000_000


def amount(value: Decimal | float | None) -> str | None:
    """Return an amount as decimal digits without an exponent; ``None`` stays that."""
    if value is None:
        return None
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: Decimal | None, certainty: Certainty) -> dict[str, Any]:
    """Return an amount with how well it is known; what is not known is never 0."""
    if value is None or (certainty is Certainty.UNKNOWN and not value):
        return {"value": None, "certainty": Certainty.UNKNOWN}
    return {"value": amount(value), "certainty": certainty}


def amounts(values: Mapping[str, Decimal]) -> dict[str, str | None]:
    """Return the amounts that are not zero, by name."""
    return {name: amount(value) for name, value in sorted(values.items()) if value}


def ms(ts_ns: int) -> int:
    """Return UNIX ns as whole ms."""
    return ts_ns // MS_NS


def moment(ts_ns: int) -> int | None:
    """Return UNIX ns as whole ms; 0 is no moment."""
    return ms(ts_ns) if ts_ns else None


def rounded(value: float | None, digits: int = 2) -> float | None:
    """Return a ratio with so many digits behind the point."""
    return None if value is None else round(value, digits)
