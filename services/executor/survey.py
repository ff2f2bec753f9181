"""Orders and positions of ours that the record lacks: reported to the operator, not traded. Pure.

A ledger that begins, or whose data was lost, cannot tell a hedged plan from half of one: the venues
are only asked for a limited time back, and for a limited number of orders. So what is found is
summed up per plan for the operator, and left alone; only orders that still work are canceled.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.state import ExecutorState
from shared.accounts.gateway import OrderReport
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.wording import counted

SURVEY_NS: Final = 12 * 3_600 * 1_000_000_000
"""How far back executions are asked for where the record says nothing."""
SURVEY_ORDERS_MAX: Final = 64
"""Unknown orders looked up per venue, the newest ones."""
PLANS_TOLD_MAX: Final = 10


class UnrecordedPlan(msgspec.Struct):
    """Orders of one plan of which there is no record, and what each brought in by asset.

    ``bases`` are their base assets: what they were traded for counts only where it is one of these.
    """

    orders: dict[str, dict[str, Decimal]] = {}
    venues: dict[str, None] = {}
    bases: dict[str, None] = {}

    @property
    def nets(self) -> dict[str, Decimal]:
        """What all of them together brought in of each asset; what is not zero."""
        nets = {
            asset: sum((flows.get(asset, ZERO) for flows in self.orders.values()), ZERO)
            for asset in self.bases
        }
        return {asset: net for asset, net in nets.items() if net}


class Survey:
    """Collects what is found; ``state.before`` remembers the plans, which stay left alone."""

    def __init__(self, state: ExecutorState) -> None:
        self._state = state
        self._found: dict[str, UnrecordedPlan] = {}
        self._positions: dict[str, Decimal] = {}
        self._unseen: dict[str, int] = {}
        self._is_told = True

    def covers(self, key: str) -> bool:
        """Tell whether orders of this plan, which the record lacks, are to be left alone."""
        return self._state.is_surveying or key in self._state.before

    def add(self, key: str, report: OrderReport) -> None:
        """Take in an order of ours; after the survey only of a plan that it did not find."""
        is_new = key not in self._state.before
        self._state.remember_before(key)
        if not (self._state.is_surveying or is_new):
            return
        terms = report.terms
        base, quote, _ = split_instrument(terms.instrument)
        plan = self._found.setdefault(key, UnrecordedPlan())
        flows = {base: terms.side.signed(report.filled_qty)}
        paid = sum((fill.price * fill.qty for fill in report.fills), ZERO)
        flows[quote] = -terms.side.signed(paid)
        for fill in report.fills:
            if fill.fee and fill.fee_asset in flows:
                flows[fill.fee_asset] -= fill.fee
        plan.orders[report.client_order_id] = flows
        plan.venues[terms.venue] = plan.bases[base] = None
        self._is_told = False

    def take_positions(self, venue: str, positions: Mapping[str, Decimal]) -> None:
        """Note positions that are open where this ledger begins."""
        for instrument, qty in positions.items():
            if qty:
                self._positions[f"{instrument} at {venue}"] = qty
                self._is_told = False

    def leave_out(self, venue: str, orders: int) -> None:
        """Note how many orders are too many to be looked up."""
        self._unseen[venue] = orders

    def take_news(self) -> str:
        """Return what was found since this was last asked, in words; empty if nothing was."""
        if self._is_told:
            return ""
        self._is_told = True
        parts = []
        if self._found:
            parts.append(self._plans())
        if self._positions:
            held = ", ".join(f"{qty} {name}" for name, qty in self._positions.items())
            parts.append(f"open positions {held}")
        left = ", ".join(f"{n} at {venue}" for venue, n in self._unseen.items() if n)
        hours = SURVEY_NS // 3_600_000_000_000
        limit = f"what is older than {hours} h was not asked for"
        parts.append(f"orders not looked at: {left}; {limit}" if left else limit)
        return "no record of what the venues show, nothing was traded: " + "; ".join(parts)

    def _plans(self) -> str:
        count = sum(len(plan.orders) for plan in self._found.values())
        uneven = {key: plan for key, plan in self._found.items() if plan.nets}
        told = [
            f"{key} net {_nets_text(plan.nets)} ({counted(len(plan.orders), 'order')}, "
            f"{', '.join(plan.venues)})"
            for key, plan in [*uneven.items()][:PLANS_TOLD_MAX]
        ]
        more = len(uneven) - len(told)
        plans = counted(len(self._found), "plan")
        text = f"{counted(count, 'order')} of {plans}, {len(uneven)} of them uneven"
        return ", ".join([text, *told, *([f"{more} more"] if more else [])])


def _nets_text(nets: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{net:+f} {asset}" for asset, net in nets.items())
