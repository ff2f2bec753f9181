"""Checks that the result an opportunity states follows from its legs. Pure."""

from __future__ import annotations

from decimal import Decimal

from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.fees import edge_bps
from shared.messages.arb import Opportunity


def follows_from_legs(
    found: Opportunity, are_right: bool, net: Decimal, fees: Decimal, notional: Decimal
) -> Denial | None:
    """Compare the stated result with the recomputed one, to the last digit.

    Args:
        found: What states it.
        are_right: Whether every leg's own fee and cash flow are right.
        net: What all legs bring in, after fees.
        fees: Of all legs.
        notional: What the plan begins with.
    """
    if (
        are_right
        and found.notional == notional
        and found.gross == net + fees
        and found.fees == fees
        and found.net == net
        and found.edge_bps == edge_bps(net, notional)
    ):
        return None
    return deny(DenyReason.ARITHMETIC, net=found.net, net_recomputed=net)
