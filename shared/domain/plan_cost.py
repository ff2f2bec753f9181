"""The expected cash cost of a plan that opens or closes a round, apart from its fees.

A loss cap bounds what evening out may cost, measured in cash. The cash of one plan of a round is
not its profit: closing at a higher basis than at the opening costs the difference, as expected. So
the cap of such a plan grows by its expected cash cost. Pure, Decimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.domain.fees import MONEY_STEP, fee_amount, share_of
from shared.messages.base import Side

ZERO = Decimal(0)


class ExpectedLeg(NamedTuple):
    """A leg of a plan as it is expected to trade."""

    side: Side
    qty: Decimal
    price: Decimal
    fee_bps: Decimal


def loss_cap_of(notional: Decimal, share_bps: Decimal, most: Decimal) -> Decimal:
    """Return what evening out may cost: a share of a plan's notional, at most ``most`` (0: any)."""
    share = share_of(notional, share_bps)
    return min(share, most) if most else share


def expected_cost(legs: Iterable[ExpectedLeg], opening: Decimal) -> Decimal:
    """Return the cash that a plan of several legs is expected to cost; zero if it brings some in.

    Args:
        legs: What it trades.
        opening: Signed base units that are unhedged before it, counted at the dearest price.
    """
    cash = dearest = ZERO
    count = 0
    for leg in legs:
        worth = leg.qty * leg.price
        cash -= leg.side.signed(worth) + fee_amount(worth, leg.fee_bps)
        dearest, count = max(dearest, leg.price), count + 1
    if count < 2:
        return ZERO  # nothing is evened out
    return max(ZERO, opening * dearest - cash).quantize(MONEY_STEP)
