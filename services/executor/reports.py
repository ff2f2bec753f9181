"""Passes the results of actions to the parts of the engine that they concern. Pure."""

from __future__ import annotations

from services.executor.actions import (
    AccountChecked,
    AccountFollowed,
    AccountMissed,
    AccountSeen,
    BalancesAnswered,
    FetchFailed,
    FetchFunding,
    FillsAnswered,
    FundingAnswered,
    OpenOrdersAnswered,
    QueryAnswered,
    QueryFailed,
    Report,
    SubmitLost,
    SubmitNotSent,
    SubmitRefused,
    Submitted,
    SwitchFailed,
    SwitchSet,
)
from services.executor.journal import alert
from services.executor.order_record import OrderRecord
from services.executor.possible import only_possible
from services.executor.reconcile import Reconciler
from services.executor.working_orders import WorkingOrders
from shared.engine import Step
from shared.messages.control import Severity


def take_report(
    report: Report, orders: WorkingOrders, reconciler: Reconciler, now_ns: int, out: Step
) -> list[str]:
    """Apply a report; return the plans it bears on."""
    report, impossible = only_possible(report)
    if impossible:
        alert(out, Severity.WARNING, "IMPOSSIBLE_REPORT", impossible, now_ns)
    order: OrderRecord | None = None
    match report:
        case Submitted():
            order = orders.on_submitted(report, now_ns, out)
        case SubmitRefused():
            order = orders.on_refused(report, now_ns, out)
            reconciler.rereading.on_refused(order, now_ns)
        case SubmitNotSent():
            order = orders.on_not_sent(report, now_ns, out)
        case SubmitLost():
            order = orders.on_lost(report, now_ns, out)
        case QueryAnswered() | QueryFailed() if not report.key.client_order_id:
            return reconciler.on_looked_up(report, now_ns, out)
        case QueryAnswered() | QueryFailed():
            order = orders.on_query(report, now_ns, out)
        case OpenOrdersAnswered():
            return reconciler.on_open_orders(report, now_ns, out)
        case FillsAnswered():
            return reconciler.on_fills(report, now_ns, out)
        case AccountChecked():
            reconciler.on_checked(report, now_ns, out)
            reconciler.streams.follow(report.venue, out)
            reconciler.switches.begin(report, now_ns, out)
        case AccountFollowed():
            reconciler.streams.on_followed(report, now_ns, out)
        case AccountMissed():
            reconciler.streams.on_missed(report, now_ns, out)
        case AccountSeen():
            return reconciler.streams.on_seen(report, now_ns, out)
        case BalancesAnswered():
            reconciler.on_balances(report, now_ns, out)
        case FundingAnswered():
            reconciler.funding.on_payments(report, now_ns, out)
        case SwitchSet() | SwitchFailed():
            reconciler.switches.on_answer(report, now_ns, out)
        case FetchFailed() if isinstance(report.action, FetchFunding):
            reconciler.funding.on_failed(report, now_ns, out)
        case FetchFailed():
            reconciler.on_failed(report, now_ns, out)
    return [order.plan_id] if order else []
