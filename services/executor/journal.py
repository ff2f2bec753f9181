"""The executor's facts as bus messages, and its ledger: events, fills, results, exposure. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from services.executor.ids import ATTEMPTS_TOLD
from services.executor.market import Markets
from services.executor.nets import left_by_asset
from services.executor.order_record import OrderRecord
from services.executor.restating import remember_told
from services.executor.state import ExecutorState, PlanKind, PlanRecord
from services.executor.unsettled import plans_waiting
from shared.accounts.gateway import FillReport
from shared.config_sections import ExecutorConfig
from shared.domain.accounting import Books, worst_certainty
from shared.domain.executions import Execution, execution_of, plain_trades
from shared.domain.holding import Holding
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import base_of, is_inverse
from shared.engine import Step
from shared.messages.base import Certainty
from shared.messages.control import Alert, Severity
from shared.messages.execution import (
    ApprovedPlan,
    ExecutorReady,
    Fill,
    OrderEvent,
    PlanDone,
    PlanOutcome,
)
from shared.messages.switches import DeadManSwitch


def order_event(order: OrderRecord, plan: PlanRecord, now_ns: int) -> OrderEvent:
    """Return the order's present state as a message."""
    terms = order.terms
    return OrderEvent(
        ts_ns=now_ns,
        plan_id=order.plan_id,
        client_order_id=order.client_order_id,
        leg_index=order.leg_index,
        attempt=order.attempt % ATTEMPTS_TOLD,
        purpose=order.purpose,
        venue=terms.venue,
        instrument=terms.instrument,
        side=terms.side,
        qty=terms.qty,
        price_limit=terms.price_limit,
        status=order.life.status,
        filled_qty=order.life.filled_qty,
        venue_order_id=order.venue_order_id,
        reason=order.reason,
        ts_sent_ns=order.ts_sent_ns,
        ts_recv_ns=plan.ts_recv_ns,
        strategy=plan.strategy,
        order_type=terms.order_type,
        time_in_force=terms.time_in_force,
        reduce_only=order.reduce_only,
        price_arrival=order.price_arrival,
    )


def record_fill(
    state: ExecutorState, order: OrderRecord, fill: FillReport, markets: Markets, now_ns: int
) -> Fill:
    """Book one new execution on its order and in the accounts; return its message.

    A fee that the venue did not report, or in an asset without a price, leaves the order's result
    UNKNOWN.
    """
    base, quote, _ = split_instrument(order.instrument)
    if is_inverse(order.instrument):
        order.coins += base_of(order.instrument, fill.qty, fill.price)
        order.cost += fill.qty * (fill.price / order.inverse_entry if order.inverse_entry else 1)
    else:
        order.cost += fill.price * fill.qty
    fee_quote: Decimal | None = None
    certainty = Certainty.UNKNOWN
    if fill.fee is not None and fill.fee_asset == base:
        fee_quote, certainty = fill.fee * fill.price, Certainty.KNOWN
        order.fee_base += fill.fee
        order.fee_base_quote += fee_quote
    elif fill.fee is not None:
        fee_quote, certainty = markets.value(fill.fee, fill.fee_asset, quote, now_ns)
        order.fee_quote += fee_quote or ZERO
        if fill.fee_asset not in ("", quote):
            order.fee_other += fee_quote or ZERO
    order.certainty = worst_certainty(order.certainty, certainty)
    plan = state.plans[order.plan_id]
    report_asset, report_price = plan.reports(order.instrument)
    told = Fill(
        ts_ns=now_ns,
        plan_id=order.plan_id,
        client_order_id=order.client_order_id,
        venue=order.venue,
        instrument=order.instrument,
        side=order.side,
        trade_id=fill.trade_id,
        price=fill.price,
        qty=fill.qty,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        fee_quote=fee_quote,
        ts_venue_ns=fill.ts_venue_ns,
        strategy=plan.strategy,
        round_id=plan.round_id,
        report_asset=report_asset,
        report_price=report_price,
    )
    state.books.trade(execution_of(told))
    remember_told(plan, told)
    return told


def plan_done(
    state: ExecutorState, plan: PlanRecord, outcome: PlanOutcome, reason: str, now_ns: int
) -> PlanDone:
    """Return the end of a plan with what its fills have realized.

    What it leaves open, a rest or a position in a derivative, has realized nothing: see ``books``.
    What inverse contracts realize is in their coin, and not in this result.
    """
    orders = state.orders_of(plan)
    result = plan_books(plan, orders).result(plan.quote)
    left = {} if plan.is_directional else left_by_asset(plan, orders)
    failed = outcome is PlanOutcome.FAILED
    return PlanDone(
        ts_ns=now_ns,
        plan_id=plan.plan_id,
        outcome=outcome,
        base=plan.base,
        quote=plan.quote,
        realized=result.realized,
        fees=result.fees,
        certainty=worst_certainty(*(order.certainty for order in orders)),
        residual=left if failed else {},
        reason=reason,
        dust={} if failed else left,
        strategy=plan.strategy,
        round_id=plan.round_id,
        is_approved=plan.kind is PlanKind.ARBITRAGE,
        late_of=plan.late_of,
        began_with={plan.opening_key: plan.opening} if plan.opening else {},
    )


def plan_books(plan: PlanRecord, orders: Sequence[OrderRecord]) -> Books:
    """Return the accounts of one plan alone, from what its orders add up to.

    Quantity reported as filled, but not explained by fills yet, counts at the order's limit price.
    """
    books = Books()
    if plan.opening:
        cost = plan.opening_base if plan.inverse_entry else plan.opening_cash
        books.holdings[plan.opening_key] = Holding(qty=plan.opening, cost=-cost)
    for asset, qty in plan.openings.items():
        if worth := plan.values.get(asset, ZERO):
            books.holdings[f"{asset}/{plan.quote}"] = Holding(qty=qty, cost=qty * worth)
    for order in orders:
        filled = order.life.filled_qty
        if not filled:
            continue
        in_coins = is_inverse(order.instrument)
        cost, fee = order.coins_and_fee if in_coins else order.cost_and_fee
        report_asset, report_price = plan.reports(order.instrument)
        done = Execution(
            venue=order.venue,
            instrument=order.instrument,
            side=order.side,
            qty=filled,
            cost=cost,
            fee=fee,
            report_asset=report_asset,
            report_price=report_price,
        )
        books.trade(done)
        if order.fee_base and not in_coins:
            base = split_instrument(order.instrument).base
            for part in plain_trades(
                msgspec.structs.replace(done, fee=order.fee_base, fee_asset=base)
            ):
                books.charge(part)
    return books


def plan_refused(
    approved: ApprovedPlan, outcome: PlanOutcome, reason: str, now_ns: int
) -> PlanDone:
    """Return the end of a plan that was never started.

    Its id is not remembered: an executor whose record was lost may have started it, and orders
    found under it at the venues would be taken for those of a finished plan, and left alone.
    """
    return PlanDone(
        ts_ns=now_ns,
        plan_id=approved.plan_id,
        outcome=outcome,
        base=approved.base,
        quote=approved.quote,
        realized=ZERO,
        fees=ZERO,
        certainty=Certainty.KNOWN,
        reason=reason,
        strategy=approved.strategy,
        round_id=approved.round_id,
    )


def executor_ready(
    state: ExecutorState,
    obstacle: str,
    settings: ExecutorConfig,
    switches: Mapping[str, DeadManSwitch],
    now_ns: int,
) -> ExecutorReady:
    """Return whether plans are accepted and, if not, why."""
    return ExecutorReady(
        ts_ns=now_ns,
        ready=not obstacle,
        mode=settings.mode,
        open_plans=len(state.open_plans()),
        unknown_orders=state.unknown_orders,
        reason=obstacle or ("halted by an operator" if state.halted else ""),
        venues_down={key: down.reason for key, down in sorted(state.down.items())},
        plans_waiting=plans_waiting(state),
        switches=dict(switches),
    )


def alert(  # noqa: PLR0917 - what an alert is made of
    out: Step, severity: Severity, code: str, text: str, now_ns: int, subject: str = ""
) -> None:
    """Add an alert to the step."""
    out.messages.append(
        Alert(
            ts_ns=now_ns,
            service="executor",
            severity=severity,
            code=code,
            text=text,
            subject=subject,
        )
    )
