"""How much to trade for a given risk; the one place that works it out. Pure, Decimal."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from shared.domain.rounding import qty_to_lot

_BPS = Decimal(10_000)


class Sized(NamedTuple):
    """A quantity (base units, down to the lot) and what held it there.

    ``bound`` is ``risk``, ``notional`` or ``depth``; ``qty_exact`` is the same before the lot.
    """

    qty: Decimal
    qty_exact: Decimal
    bound: str


class RiskPerUnit(NamedTuple):
    """What one unit may lose, in basis points of its price; none is negative.

    Attributes:
        stop_bps: From entry to the stop.
        fee_in_bps: Of the entry.
        fee_out_bps: Of the exit.
        slippage_bps: Beyond the stop's price.
    """

    stop_bps: Decimal
    fee_in_bps: Decimal
    fee_out_bps: Decimal
    slippage_bps: Decimal

    @property
    def total_bps(self) -> Decimal:
        """All of it."""
        return self.stop_bps + self.fee_in_bps + self.fee_out_bps + self.slippage_bps


def size_by_risk(
    risk_quote: Decimal,
    price: Decimal,
    per_unit: RiskPerUnit,
    *,
    lot_size: Decimal,
    notional_quote_max: Decimal,
    depth_qty: Decimal,
) -> Sized:
    """Return the largest quantity that loses no more than ``risk_quote`` at its stop.

    ``floor_lot(min(R * E / (P * (s + f_in + f_out + slip)), cap / P, depth))``

    Args:
        risk_quote: What may be lost, R * E; less what open positions may still lose.
        price: Of the entry.
        per_unit: What a unit may lose.
        lot_size: Step of the quantity.
        notional_quote_max: Cap on its worth.
        depth_qty: What the book holds within the prices to be paid.

    Raises:
        ValueError: A number that no position can be sized by.
    """
    for name, value in (("price", price), ("lot_size", lot_size)):
        if not (value.is_finite() and value > 0):
            raise ValueError(f"{name} is {value}; give a number above 0")
    if any(not part.is_finite() or part < 0 for part in per_unit) or per_unit.stop_bps <= 0:
        raise ValueError(f"{per_unit}: give a stop above 0 and costs of 0 or more")
    bounds = {
        "risk": risk_quote / (price * per_unit.total_bps / _BPS),
        "notional": notional_quote_max / price,
        "depth": depth_qty,
    }
    if any(value.is_nan() for value in bounds.values()):
        raise ValueError("risk, cap and depth must be numbers")
    bound = min(bounds, key=lambda name: bounds[name])
    qty = max(Decimal(0), bounds[bound])
    return Sized(qty_to_lot(qty, lot_size), qty, bound)
