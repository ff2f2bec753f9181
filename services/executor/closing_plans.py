"""Plans that the executor opens itself: to even out late fills, and to flatten. Pure.

No opportunity gave them a loss cap, so it is a share of what they trade.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.executor.gateway import FillReport
from services.executor.ids import attempt_after_loss, plan_key
from services.executor.market import Markets
from services.executor.state import ExecutorState, OrderRecord, PlanKind, PlanRecord
from shared.domain.accounting import holding_key, holding_place, signed_qty
from shared.domain.fees import BPS
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.messages.execution import OPERATOR_STRATEGY

OWN_LOSS_BPS: Final = Decimal(100)
"""Loss cap, of notional, where none was given: adopted orders, late fills, FLATTEN."""
OWN_LOSS_MIN: Final = Decimal(1)
"""Least such cap in quote units: what sweeping up a rest below the venues' least size may cost."""


class ClosingPlans:
    """Opens plans in ``state``; what they do next is up to the PlanRunner, as with any other."""

    def __init__(self, state: ExecutorState, markets: Markets) -> None:
        self._state, self._markets = state, markets

    def open_for_late_fill(self, order: OrderRecord, fill: FillReport, now_ns: int) -> str:
        """Open a plan that will even out a late fill of a finished one; return its id.

        The id follows from the fill, so that after a loss of records orders of this very plan,
        found at the venues before the fill was, turn out to be its own.
        """
        base, quote, _ = split_instrument(order.instrument)
        fee_base = fill.fee if fill.fee is not None and fill.fee_asset == base else ZERO
        notional = fill.price * fill.qty
        opening = signed_qty(order.side, fill.qty) - fee_base
        opening_cash = -signed_qty(order.side, notional)
        reason = f"late fill of {order.client_order_id}"
        plan_id = plan_key(f"late {order.venue} {fill.trade_id} {order.client_order_id}")
        owner = self._state.plans[order.plan_id]
        adopted = self._state.plans.get(plan_id)
        if adopted is not None and adopted.is_open:
            adopted.opening, adopted.opening_cash = opening, opening_cash
            adopted.reference, adopted.reason = fill.price, reason
            adopted.strategy, adopted.round_id = owner.strategy, owner.round_id
            return plan_id
        if self._state.is_known(plan_id):  # its orders were evened out without the fill
            plan_id = plan_key(f"{plan_id} {now_ns}")
        plan = PlanRecord(
            plan_id=plan_id,
            kind=PlanKind.ADOPTED,
            base=base,
            quote=quote,
            legs=[],
            loss_cap=max(notional * OWN_LOSS_BPS / BPS, OWN_LOSS_MIN),
            reference=fill.price,
            ts_started_ns=now_ns,
            opening=opening,
            opening_cash=opening_cash,
            attempt_next=attempt_after_loss(now_ns),
            reason=reason,
            holding=holding_key(order.venue, order.instrument),
            strategy=owner.strategy,
            round_id=owner.round_id,
        )
        self._state.add_plan(plan)
        return plan.plan_id

    def flatten(self, command_id: str, key: str, qty: Decimal, now_ns: int) -> PlanRecord | None:
        """Open a plan that closes one holding: a position in a derivative, or a rest of spot.

        ``None`` if nothing prices it yet. The id holds the time: a command that comes again after
        a loss of records meets the plan its first orders were adopted into.
        """
        venue, instrument = holding_place(key)
        base, quote, _ = split_instrument(instrument)
        price = (
            self._markets.mid((venue, instrument), now_ns)
            if venue
            else self._markets.price(base, quote, now_ns)
        )
        if price is None:
            return None
        plan = PlanRecord(
            plan_id=plan_key(f"flatten {command_id} {key} {now_ns}"),
            kind=PlanKind.FLATTEN,
            base=base,
            quote=quote,
            legs=[],
            loss_cap=max(abs(qty) * price * OWN_LOSS_BPS / BPS, OWN_LOSS_MIN),
            reference=price,
            ts_started_ns=now_ns,
            opening=qty,
            opening_cash=-self._state.books.cost_of(key, qty),
            reason=f"flatten {command_id}",
            holding=key,
            strategy=OPERATOR_STRATEGY,
        )
        self._state.add_plan(plan)
        return plan
