"""Reading an account again where an order found no position to reduce. Pure.

The record and the venue differ then: a fill was told late, or the venue or somebody else closed the
position. The plan waits for positions and executions as they are after the refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.executor.order_record import OrderRecord
from services.executor.plans import REBALANCE_PAUSE_NS
from services.executor.reduce_only import had_nothing_to_reduce
from services.executor.reductions import LOOK_BACK_NS
from services.executor.state import ExecutorState, PlanRecord
from services.executor.venue_account import VenueAccount

REREAD_NS_MAX: Final = 2_000_000_000
"""A plan waits so long for them, then goes on without."""


class Rereading:
    """Asks for it, and holds up the plans that need it."""

    def __init__(self, state: ExecutorState, accounts: Mapping[str, VenueAccount]) -> None:
        self._state, self._accounts = state, accounts

    def on_refused(self, order: OrderRecord | None, now_ns: int) -> None:
        """Read the account again if it was for that."""
        account = None if order is None else self._accounts.get(order.venue)
        if order is not None and account is not None and had_nothing_to_reduce(order):
            account.read_again(order.ts_created_ns - LOOK_BACK_NS, now_ns)

    def holds_up(self, plan: PlanRecord, now_ns: int) -> bool:
        """Tell whether a plan waits for it, its newest order being such a one; then it is woken."""
        if not plan.is_open or not plan.orders:
            return False
        newest = self._state.orders[plan.orders[-1]]
        account = self._accounts.get(newest.venue)
        if account is None or not had_nothing_to_reduce(newest):
            return False
        is_waiting = account.is_reading_again(newest.ts_ended_ns + REREAD_NS_MAX, now_ns)
        if is_waiting:
            plan.wait_until_ns = now_ns + REBALANCE_PAUSE_NS
        return is_waiting
