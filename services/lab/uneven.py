"""Checks that no plan stays uneven at the venues for long while trading goes on."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING

from services.lab.positions import key_of
from shared.domain.quantities import base_of
from shared.exchange.orders import Fill as ExchangeFill
from shared.messages.base import TradingState
from shared.messages.execution import ApprovedPlan

if TYPE_CHECKING:
    from services.lab.world import World

ZERO = Decimal(0)
NAKED_NS_MAX = 30_000_000_000
"""A plan may be uneven for this long, restarts and lost answers included, before trading halts."""


class UnevenChecker:
    """Watches what the venues' fills of every plan brought in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since_ns: dict[str, int] = {}
        self._net: dict[tuple[str, str], Decimal] = {}
        """Plan and asset -> what its fills at the venues brought in, of so many of them:"""
        self._fills_seen: dict[str, int] = {}

    def look(self) -> None:
        """Look at how even the plans are at the venues, halted or not."""
        now_ns, checkers = self._world.kernel.now_ns(), self._world.checkers
        net = self._net
        for venue, exchange in self._world.exchanges.items():
            fills, seen = exchange.fills, self._fills_seen.get(venue, 0)
            self._fills_seen[venue] = len(fills)
            for fill in islice(fills, seen, None):
                if plan := key_of(fill):
                    for asset, qty in self._brought_in(plan, fill):
                        net[plan, asset] = net.get((plan, asset), ZERO) + qty
        uneven = {
            plan
            for (plan, asset), qty in net.items()
            if qty and plan not in checkers.done and abs(qty) > self._rest_max(plan, asset)
        }
        self._since_ns = {plan: self._since_ns.get(plan, now_ns) for plan in sorted(uneven)}
        if checkers.state is TradingState.HALTED:
            return
        for plan, since_ns in self._since_ns.items():
            if now_ns - since_ns > NAKED_NS_MAX:
                checkers.report("naked_leg", f"plan {plan} is uneven for too long")

    def _brought_in(self, plan_id: str, fill: ExchangeFill) -> list[tuple[str, Decimal]]:
        """Return what a fill changed of the assets that its plan has to even out."""
        plan = self._world.checkers.plans.get(plan_id)
        price = _entry_of(plan, fill.listing.instrument) or fill.price
        qty = fill.side.signed(base_of(fill.listing.instrument, fill.qty, price))
        if plan is not None and plan.is_directional:
            return []
        flows = [(fill.listing.base, qty)]
        if plan is None or not plan.values:
            return flows
        flows.append((fill.listing.quote, -qty * fill.price))
        return [(asset, change) for asset, change in flows if asset != plan.quote]

    def _rest_max(self, plan_id: str, asset: str) -> Decimal:
        """Return what may be left of an asset: of several, what their lots leave."""
        plan = self._world.checkers.plans.get(plan_id)
        return self._world.dust(asset) if plan is not None and plan.values else ZERO


def _entry_of(plan: ApprovedPlan | None, instrument: str) -> Decimal:
    """Return at which entry a plan counts the inverse contracts that it closes; 0: it has none."""
    legs = () if plan is None else plan.legs
    return next((leg.inverse_entry for leg in legs if leg.instrument == instrument), ZERO)
