"""Binance's error codes in ccxt's error texts, and what they mean for an order request. Pure.

Sample text: ``binance {"code":-2010,"msg":"Account has insufficient balance."}``.
"""

from __future__ import annotations

import re
from collections.abc import Set

from shared.errors import OutcomeUnknown, Rejected, Unavailable, VenueError

_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')

NOT_ACTED = frozenset({-1003, -1008, -1015, -1021})
"""Too many requests or orders, overload (documented as not executed), outside the time window."""

_DUPLICATE = "duplicate"


def error_code(text: str) -> int | None:
    """Return the venue's code in a ccxt error text, ``None`` if there is none."""
    found = _CODE.search(text)
    return int(found.group(1)) if found else None


def classify_code(code: int | None, text: str, rejected: Set[int]) -> type[VenueError]:
    """Return what a code means; ``rejected`` are the market's definite ones.

    -2010 for a duplicate id means that an order of ours with this id is there: not a no, but a
    reason to look (the text is read only to be more careful, never less).
    """
    if code in NOT_ACTED:
        return Unavailable
    if code in rejected and _DUPLICATE not in text.lower():
        return Rejected
    return OutcomeUnknown
