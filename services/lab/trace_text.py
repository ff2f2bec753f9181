"""Plans, orders, answers and rounds as a line of a trace says them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from services.executor import actions as act
from shared.accounts.gateway import OrderReport
from shared.engine import Result
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone
from shared.messages.rounds import Intent, StrategyPosition
from shared.messages.terms import OrderTerms


def plan_text(plan: ApprovedPlan) -> str:
    """Return a plan that risk approved, with its legs."""
    purpose = f"{plan.strategy} {plan.intent}"
    if plan.intent is not Intent.INSTANT:
        purpose += f" round {plan.round_id} opening {plan.opening:f}"
    if plan.shrunk is not None:
        purpose += f" shrunk from {plan.shrunk.qty} by {', '.join(plan.shrunk.limits)}"
    legs = "; ".join(map(terms_text, plan.legs))
    return (
        f"{plan.plan_id} approved: {purpose} {plan.policy}, expects {plan.net_expected} and may "
        f"lose {plan.loss_cap} {plan.quote}: {legs}"
    )


def ended_text(done: PlanDone) -> str:
    """Return the end of a plan and what it left."""
    text = f"{done.plan_id} ended {done.outcome}: realized {done.realized} {done.quote}"
    if not done.is_approved:
        text += ", not approved by risk"
    if done.late_of:
        text += f", of late fills of {done.late_of}"
    if done.round_id:
        text += f", round {done.round_id}"
    if done.residual:
        text += f", leaves {_amounts(done.residual)}"
    if done.dust:
        text += f", dust {_amounts(done.dust)}"
    return f"{text}, {done.reason}" if done.reason else text


def order_text(event: OrderEvent) -> str:
    """Return what the executor put on record of an order."""
    text = (
        f"{event.client_order_id} {event.status} {event.purpose}: {event.side} {event.qty} "
        f"{event.instrument} at {event.venue}, limit {event.price_limit} {event.time_in_force}"
    )
    if event.reduce_only:
        text += " reduce-only"
    if event.filled_qty:
        text += f", filled {event.filled_qty}"
    return f"{text}, {event.reason}" if event.reason else text


def filled_text(fill: Fill) -> str:
    """Return a fill that the executor told, and whose it is."""
    owner = " ".join(filter(None, (fill.strategy, fill.round_id))) or "no strategy"
    text = (
        f"{fill.venue}: {fill.trade_id} of {fill.client_order_id}: {fill.side} {fill.qty} "
        f"{fill.instrument} at {fill.price}, fee {_or_unknown(fill.fee)} {fill.fee_asset}, "
        f"plan {fill.plan_id} of {owner}"
    )
    return f"{text}, {fill.reduced_by}" if fill.reduced_by else text


def round_text(told: StrategyPosition) -> str:
    """Return a round as risk shows it."""
    legs = ", ".join(f"{leg.qty} {leg.instrument} at {leg.venue}" for leg in told.legs if leg.qty)
    text = f"{told.key} {told.state}: holds {legs or 'nothing'}, unhedged {told.unhedged:f}"
    if told.stop is not None:
        text += f", stop {told.stop}"
    if told.ending:
        text += f", ending by {told.ending}"
    return f"{text}, {told.reason}" if told.reason else text


def request_text(action: act.Submit | act.Cancel) -> str:
    """Return a request that trades, as it leaves."""
    if isinstance(action, act.Cancel):
        key = action.key
        return f"cancel {key.client_order_id or key.venue_order_id} at {key.venue}"
    order = action.order
    text = f"submit {order.client_order_id}: {terms_text(order.terms)}"
    return f"{text} reduce-only" if order.reduce_only else text


def answer_text(result: Result) -> str:
    """Return what came from a venue; empty where it says nothing of orders, fills or positions."""
    if isinstance(result, act.Submitted):
        return f"submit: {report_text(result.report)}"
    if isinstance(result, act.SubmitRefused | act.SubmitNotSent | act.SubmitLost):
        what = {act.SubmitRefused: "refused", act.SubmitNotSent: "not sent"}
        said = what.get(type(result), "no answer")
        return f"submit: {result.client_order_id} {said}, {result.reason}"
    if isinstance(result, act.QueryAnswered):
        order_id = result.key.client_order_id or result.key.venue_order_id
        found = report_text(result.report) if result.report else f"{order_id} is not known"
        return f"query: {result.key.venue}: {found}"
    if isinstance(result, act.QueryFailed):
        return f"query: {result.key.venue}: {result.key.client_order_id} failed, {result.reason}"
    if isinstance(result, act.AccountSeen):
        return f"stream: {report_text(result.report)}"
    if isinstance(result, act.AccountMissed):
        return f"stream: {result.venue}: missed something, {result.reason}"
    if isinstance(result, act.OpenOrdersAnswered):
        names = " ".join(report.client_order_id for report in result.reports)
        return f"open orders: {result.venue}: {names or 'none'}"
    if isinstance(result, act.FillsAnswered):
        names = " ".join(fill.trade_id for fill in result.fills)
        return f"fills: {result.venue}: {names or 'none'}"
    if isinstance(result, act.BalancesAnswered):
        return f"positions: {result.venue}: {_amounts(result.positions) or 'none'}"
    if isinstance(result, act.FetchFailed):
        fetch = result.action
        return f"{type(fetch).__name__}: {fetch.venue}: failed, {result.reason}"
    return ""


def report_text(report: OrderReport) -> str:
    """Return an order as its venue reports it."""
    trades = " ".join(fill.trade_id for fill in report.fills)
    text = f"{report.name} {report.status}, filled {report.filled_qty}"
    if trades:
        text += f", trades {trades}"
    return f"{text}, {report.forced or report.reason}" if report.forced or report.reason else text


def terms_text(terms: OrderTerms) -> str:
    """Return what an order asks for."""
    return (
        f"{terms.side} {terms.qty} {terms.instrument} at {terms.venue}, limit "
        f"{terms.price_limit} {terms.time_in_force}"
    )


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{amount} {name}" for name, amount in amounts.items())


def _or_unknown(amount: Decimal | None) -> str:
    return "unknown" if amount is None else str(amount)
