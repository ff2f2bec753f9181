"""The rule on a plan's share of what the accounts hold, as in ``limits.py``. Pure.

What is held is what the venues reported last as free, of all venues that are traded, in the plan's
quote asset: other assets at the median of the middles of their LIVE and fresh spot books in it.
What no such book prices counts nothing, and so does an account that is not known: the less is
known, the smaller the plans.
"""

from __future__ import annotations

from decimal import Decimal

from services.risk.decision_context import DecisionContext
from services.risk.exposure import ZERO
from services.risk.price_limits import median, middle_of
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.fees import BPS
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.rounding import exact


def portfolio_share(context: DecisionContext) -> Denial | None:
    """The dearer side of a plan is no larger a share of what is held than allowed."""
    limit_bps = context.config.plan_portfolio_bps_max
    if not limit_bps:
        return None
    portfolio = _portfolio(context)
    if context.notional * BPS > portfolio * exact(limit_bps):
        denial = deny(
            DenyReason.PORTFOLIO_SHARE,
            notional=context.notional,
            portfolio=portfolio,
            max_bps=limit_bps,
        )
        return denial.with_room(portfolio * exact(limit_bps) / BPS, context.notional)
    return None


def _portfolio(context: DecisionContext) -> Decimal:
    held: dict[str, Decimal] = {}
    for known in context.ledger.balances.values():
        for asset, free in known.free.items():
            held[asset] = held.get(asset, ZERO) + free
    quote = context.opportunity.quote
    prices: dict[str, list[Decimal]] = {}
    for view in context.views.values():
        name = split_instrument(view.instrument)
        if name.quote == quote and held.get(name.base) and is_spot(view.instrument):
            price = middle_of(context, view)
            prices.setdefault(name.base, []).extend([price] if price is not None else [])
    total = held.get(quote, ZERO)
    for asset, found in prices.items():
        total += held[asset] * (median(found) or ZERO)
    return total
