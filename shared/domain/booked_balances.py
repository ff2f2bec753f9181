"""By how much all that is on record changed a balance. Pure.

On record are trading, fees and funding (``inventory`` of ``accounting.Books``), and what moved
beside them (``transfers``). Whoever compares a venue's balance with that adds both here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

ZERO = Decimal(0)


def by_venue(amounts: Mapping[str, Decimal]) -> dict[str, dict[str, Decimal]]:
    """Return ``venue|asset`` -> amount as venue -> asset -> amount; zeros are left out."""
    found: dict[str, dict[str, Decimal]] = {}
    for key, amount in sorted(amounts.items()):
        venue, _, asset = key.partition("|")
        if amount:
            found.setdefault(venue, {})[asset] = amount
    return found


def booked_at(venue: str, *parts: Mapping[str, Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """Return by asset what all parts, venue -> asset -> amount, changed of a venue's balances."""
    change: dict[str, Decimal] = {}
    for part in parts:
        for asset, amount in part.get(venue, {}).items():
            change[asset] = change.get(asset, ZERO) + amount
    return change
