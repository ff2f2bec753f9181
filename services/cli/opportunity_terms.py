"""An opportunity's expected profit, and its conversions and funding in words. Pure."""

from __future__ import annotations

from decimal import Decimal

from shared.domain.fees import edge_bps
from shared.messages.arb import Opportunity


def expected(found: Opportunity) -> tuple[Decimal, Decimal]:
    """Return an opportunity's expected profit and edge; a carry's are with its funding."""
    if found.carry is None:
        return found.net, found.edge_bps
    return found.carry.net, edge_bps(found.carry.net, found.notional)


def terms_text(found: Opportunity) -> str:
    """Return what conversions cost and funding is predicted to bring, in words."""
    told = []
    if found.conversions:
        told.append(f"conversion {-sum(each.cost for each in found.conversions):+.2f}")
    if found.carry is not None:
        told.append(f"funding {found.carry.funding:+.2f}, cost {-found.carry.cost:+.2f}")
    return ", ".join(told)
