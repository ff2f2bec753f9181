"""Where a plan may trade its difference away without opening a position. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.state import PlanRecord
from shared.domain.accounting import holding_place
from shared.domain.instrument import is_spot
from shared.messages.rules import InstrumentRules


def candidate_instruments(
    plan: PlanRecord, orders: Sequence[OrderRecord], markets: Markets
) -> list[InstrumentRules]:
    """Return the rules of the instruments that may make the plan even.

    Spot may be traded anywhere. A derivative is traded only where this plan traded it itself: in
    another one the order would open a position that no strategy asked for and no rule would close.
    A plan that traded derivatives only stays with them for the same reason.
    """
    own, spot_too = _own(plan, orders), trades_spot(plan, orders)
    return [
        rules
        for rules in markets.tradable(plan.base, plan.quote)
        if (spot_too if is_spot(rules.instrument) else (rules.venue, rules.instrument) in own)
    ]


def trades_spot(plan: PlanRecord, orders: Sequence[OrderRecord]) -> bool:
    """Tell whether spot may make the plan even: it traded some, or is not known to have traded."""
    own = _own(plan, orders)
    return not own or any(is_spot(instrument) for _, instrument in own)


def _own(plan: PlanRecord, orders: Sequence[OrderRecord]) -> set[tuple[str, str]]:
    """Return the markets of a plan, by venue and instrument."""
    own = {(order.venue, order.instrument) for order in orders}
    own |= {(leg.venue, leg.instrument) for leg in plan.legs}
    if plan.holding:
        own.add(holding_place(plan.holding))
    return own
