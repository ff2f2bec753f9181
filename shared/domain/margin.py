"""Where an isolated position is liquidated, and how far that is. Pure, Decimal.

A position is liquidated at the price where its margin plus its profit equals its maintenance
margin: ``maintenance`` times its worth at that price. For a linear short of q units from E that is

    margin + q (E - X) = maintenance * q * X      so      X = (margin / q + E) / (1 + maintenance)

and the other three alike. A venue's own figure counts where it gives one: tiers, fees of the
liquidation and funding owed move it, always nearer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from shared.domain.contracts import Contract
from shared.domain.fees import BPS


class Isolated(NamedTuple):
    """A position with its own margin.

    Attributes:
        held: Signed contracts.
        entry: Average price.
        margin: In the asset of settlement, with what was added since.
        maintenance: Least margin as a fraction of the worth.
    """

    contract: Contract
    held: Decimal
    entry: Decimal
    margin: Decimal
    maintenance: Decimal


def liquidation_price(position: Isolated) -> Decimal | None:
    """Return the price at which it is liquidated; ``None`` if no price does that.

    A linear long with its whole worth as margin has none, nor has an inverse short.
    """
    contract, held, entry, margin, maintenance = position
    assert held
    sign = 1 if held > 0 else -1
    units = abs(held) * contract.size
    keep = 1 - sign * maintenance
    if not contract.is_inverse:
        price = (entry - sign * margin / units) / keep
        return price if price > 0 else None
    worth = units * (1 + sign * maintenance)
    coins = margin * sign + units / entry
    return worth / coins if coins > 0 else None


def distance_bps(position: Isolated, mark: Decimal) -> Decimal | None:
    """Return how far the mark may move against it until its liquidation, in bps of the mark.

    Zero or below: it is there. ``None``: no price liquidates it.
    """
    price = liquidation_price(position)
    if price is None:
        return None
    way = mark - price if position.held > 0 else price - mark
    return way / mark * BPS


def margin_for(position: Isolated, mark: Decimal, distance_bps_min: Decimal) -> Decimal:
    """Return what must be added to its margin so that liquidation is that far away; 0 if it is.

    Raises:
        ValueError: A long cannot be further away than a price of zero.
    """
    contract, held, entry, margin, maintenance = position
    bound = distance_bps_min / BPS
    price = mark * (1 - bound) if held > 0 else mark * (1 + bound)
    if price <= 0:
        raise ValueError(f"distance {distance_bps_min} bps: give less than {BPS} for a long")
    kept = maintenance * contract.settled(abs(held), price)
    return max(Decimal(0), kept - contract.profit(held, entry, price) - margin)
