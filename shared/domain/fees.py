"""Fees and edges: the arithmetic with which every opportunity can be recomputed. Pure."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

from shared.messages.base import Side

_BUY: Final = Side.BUY

BPS = Decimal(10_000)
ONE_BP = Decimal("0.0001")
"""The same the other way round: multiplying is as exact and takes less time."""
MONEY_STEP = Decimal("1e-8")
"""Fees are rounded up to this many quote units: never less than the venue will take."""
EDGE_STEP = Decimal("0.0001")
"""Edges are rounded down to this many basis points: never better than they are."""

_WIDE = Context(prec=700)
"""``quantize`` raises where its result has more digits than the context allows."""


def fee_amount(notional: Decimal, fee_bps: Decimal) -> Decimal:
    """Return the fee on ``notional`` in quote units, rounded up to ``MONEY_STEP``."""
    return (notional * fee_bps * ONE_BP).quantize(MONEY_STEP, ROUND_CEILING, _WIDE)


def cash_flow(side: Side, notional: Decimal, fee: Decimal) -> Decimal:
    """Return the quote units that trading ``notional`` brings in after its fee, all in quote."""
    return -notional - fee if side is _BUY else notional - fee


def share_of(notional: Decimal, share_bps: Decimal) -> Decimal:
    """Return ``share_bps`` of ``notional`` in quote units, rounded down to ``MONEY_STEP``."""
    return (notional * share_bps * ONE_BP).quantize(MONEY_STEP, ROUND_FLOOR, _WIDE)


def edge_bps(net: Decimal, notional: Decimal) -> Decimal:
    """Return net / notional in basis points, rounded down to ``EDGE_STEP``.

    Args:
        net: Profit after all fees, quote units; may be negative.
        notional: The buy side's cost, quote units; must be positive.
    """
    assert notional > 0
    return (net / notional * BPS).quantize(EDGE_STEP, ROUND_FLOOR, _WIDE)


def fee_fraction(fee_bps: Decimal) -> float:
    """Return a fee as a fraction of notional, for the float side of a depth walk."""
    return float(fee_bps / BPS)


def plus_known(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Return the sum; ``None``, not known, where one of them is not."""
    return None if one is None or other is None else one + other
