"""Checks that plans spend no more than accounts have, once a withdrawal was reported."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from services.lab.rounds_checker import READ_NS_MAX, went_on_lately
from shared.domain.instrument import is_spot, split_instrument
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, BalanceReport
from shared.messages.rounds import Intent

if TYPE_CHECKING:
    from services.lab.world import World

SLACK = Decimal("1.25")
"""Orders that even out a plan spend without a reservation: so much more is let pass."""
ZERO = Decimal(0)


class FundsChecker:
    """Watches plans in assets of which something was withdrawn."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._awaited: dict[tuple[str, str], Decimal] = {}
        """Venue and asset of a withdrawal -> a reported balance below this is from after it."""
        self._told_ns: dict[tuple[str, str], int] = {}
        """Venue and asset of a withdrawal -> when the balance after it was reported first."""

    def on_withdrawal(self, venue: str, asset: str, before: Decimal, after: Decimal) -> None:
        """Note a withdrawal, with the balance before and after it."""
        self._awaited[venue, asset] = (before + after) / 2

    def on_deposit(self, venue: str, asset: str) -> None:
        """Note that it was paid in again."""
        self._awaited.pop((venue, asset), None)
        self._told_ns.pop((venue, asset), None)

    def is_known(self, venue: str, asset: str) -> bool:
        """Tell whether risk has read a balance from after the last withdrawal, if there was one."""
        if (venue, asset) not in self._awaited:
            return True
        told_ns = self._told_ns.get((venue, asset))
        return told_ns is not None and self._world.kernel.now_ns() - told_ns > READ_NS_MAX

    def on_bus_lost(self) -> None:
        """Forget reports, which the bus may have lost."""
        self._told_ns.clear()

    def on_balances(self, report: BalanceReport) -> None:
        """Note that the executor reports a balance from after a withdrawal."""
        for (venue, asset), known in self._awaited.items():
            balance = report.balances.get(asset)
            if venue == report.venue and balance is not None and balance.free < known:
                self._told_ns.setdefault((venue, asset), self._world.kernel.now_ns())

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check a plan that was approved now."""
        world, now_ns = self._world, self._world.kernel.now_ns()
        if plan.intent is Intent.CLOSE or plan.values or not self._told_ns:
            return
        if went_on_lately(world, "risk"):
            return  # it still reads what came while it was paused
        for (venue, asset), need in _needs(plan).items():
            told_ns = self._told_ns.get((venue, asset))
            if told_ns is None or now_ns - told_ns <= READ_NS_MAX:
                continue
            balance = world.exchanges[venue].ledger.balance(asset)
            if need > (balance.free + balance.used) * SLACK:
                text = f"plan {plan.plan_id} needs {need} of {balance.free} {asset} at {venue}"
                world.checkers.report("funds", text)


def _needs(plan: ApprovedPlan) -> dict[tuple[str, str], Decimal]:
    """Return what the spot legs of a plan spend, by venue and asset."""
    needs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for leg in plan.legs:
        if is_spot(leg.instrument):
            base, quote, _ = split_instrument(leg.instrument)
            bought = leg.side is Side.BUY
            needs[leg.venue, quote if bought else base] += leg.qty * (
                leg.price_limit if bought else 1
            )
    return needs
