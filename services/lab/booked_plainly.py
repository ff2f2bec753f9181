"""What plans of several assets found without their record got of money, as it was booked."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from shared.domain.instrument import split_instrument
from shared.messages.execution import OPERATOR_STRATEGY, Fill

if TYPE_CHECKING:
    from services.lab.checkers import Checkers


def got_for_others(checkers: Checkers, asset: str) -> Decimal:
    """Return what plans that the executor adopted got of an asset for others, booked as money.

    The first fills that are found of such a plan are those of a trade against this asset, which
    is money there. Others show later that it is one of several assets, and even it out. What
    FLATTEN closed since is even in the ledger, and nothing is left to count.
    """
    flattened_ns = _flattened_ns(checkers, asset)
    found: dict[str, list[Fill]] = {}
    for fill in checkers.fills.values():
        done = checkers.done.get(fill.plan_id)
        if done is None or done.quote == asset or done.ts_ns <= flattened_ns:
            continue
        # The bus may still have the record of a plan that came too late to be started from it.
        if fill.plan_id not in checkers.plans or not done.is_approved:
            found.setdefault(fill.plan_id, []).append(fill)
    several = (fills for fills in found.values() if len({f.instrument for f in fills}) > 1)
    got = Decimal(0)
    for fill in (each for fills in several for each in fills if not each.report_asset):
        if split_instrument(fill.instrument)[1:] == (asset, None):
            got -= fill.side.signed(fill.qty) * fill.price
    return got


def _flattened_ns(checkers: Checkers, asset: str) -> int:
    """Return when FLATTEN last began to trade an asset away; 0 if it never did."""
    began_ns: dict[str, int] = {}
    for fill in checkers.fills.values():
        done = checkers.done.get(fill.plan_id)
        if done is not None and done.strategy == OPERATOR_STRATEGY and done.base == asset:
            began_ns[fill.plan_id] = min(fill.ts_ns, began_ns.get(fill.plan_id, fill.ts_ns))
    return max(began_ns.values(), default=0)
