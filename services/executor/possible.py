"""Removes impossible numbers of orders, fills and balances from a venue's answers. Pure.

An answer that cannot be true is no answer: about an order it leaves the outcome unknown, which only
a later answer ends; a fill or a balance is left out of its list, so that it cannot hide the others.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from services.executor.actions import (
    AccountMissed,
    AccountSeen,
    BalancesAnswered,
    FillsAnswered,
    FundingAnswered,
    OpenOrdersAnswered,
    QueryAnswered,
    QueryFailed,
    Report,
    SubmitLost,
    Submitted,
)
from shared.accounts.gateway import FillReport, OrderReport
from shared.messages.rules import STEP_MAX

ZERO = Decimal(0)
NUMBER_MAX = STEP_MAX
"""Of a price, a quantity, a fee or a balance: beyond, the venue did not mean what it said."""


def only_possible(report: Report) -> tuple[Report, str]:
    """Return the report without what is impossible, and in words what that was; empty if none."""
    match report:
        case Submitted():
            text = flaw(report.report)
            sent = SubmitLost(report.report.client_order_id, text, report.ts_sent_ns)
            return (sent if text else report), text
        case QueryAnswered() if report.report is not None:
            text = flaw(report.report)
            return (QueryFailed(report.key, text) if text else report), text
        case AccountSeen() if text := flaw(report.report):
            return AccountMissed(report.venue, text, is_down=False), text
        case OpenOrdersAnswered():
            orders = tuple(order for order in report.reports if not flaw(order))
            texts = [flaw(order) for order in report.reports]
            return msgspec.structs.replace(report, reports=orders), _joined(texts)
        case FillsAnswered():
            fills = tuple(fill for fill in report.fills if not _fill_flaw(fill))
            texts = [_fill_flaw(fill) for fill in report.fills]
            return msgspec.structs.replace(report, fills=fills), _joined(texts)
        case FundingAnswered():
            wrong = [
                paid
                for paid in report.payments
                if not _is_number(paid.amount) or not paid.payment_id or not paid.asset
            ]
            texts = [f"funding {paid.payment_id}: {paid.amount}" for paid in wrong]
            kept = tuple(paid for paid in report.payments if paid not in wrong)
            return msgspec.structs.replace(report, payments=kept), _joined(texts)
        case BalancesAnswered():
            return _possible_balances(report)
    return report, ""


def flaw(report: OrderReport) -> str:
    """Return which number of an order is impossible; empty if none is."""
    if (
        _is_amount(report.filled_qty)
        and _is_amount(report.terms.qty)
        and not any(map(_fill_flaw, report.fills))
    ):
        return ""  # as nearly always, and then no words are needed
    numbers = {"filled": report.filled_qty, "quantity": report.terms.qty}
    texts = [f"{name} {number}" for name, number in numbers.items() if not _is_amount(number)]
    texts += [_fill_flaw(fill) for fill in report.fills]
    found = _joined(texts)
    return f"order {report.client_order_id or report.venue_order_id}: {found}" if found else ""


def _fill_flaw(fill: FillReport) -> str:
    fee = ZERO if fill.fee is None else fill.fee
    if _is_amount(fill.price) and _is_amount(fill.qty) and fill.price and fill.qty:
        return "" if _is_number(fee) else f"fill {fill.trade_id}: fee {fee}"
    wrong = [
        f"{name} {number}"
        for name, number in (("price", fill.price), ("quantity", fill.qty))
        if not _is_amount(number) or not number
    ]
    wrong += [] if _is_number(fee) else [f"fee {fee}"]
    return f"fill {fill.trade_id}: {', '.join(wrong)}" if wrong else ""


def _possible_balances(report: BalancesAnswered) -> tuple[Report, str]:
    wrong = [
        asset
        for asset, balance in report.balances.items()
        if not all(map(_is_number, (balance.free, balance.used, balance.settled)))
    ]
    lost = [name for name, position in report.positions.items() if not _is_number(position)]
    if not wrong and not lost:
        return report, ""
    kept = BalancesAnswered(
        report.venue,
        {asset: b for asset, b in report.balances.items() if asset not in wrong},
        {name: position for name, position in report.positions.items() if name not in lost},
    )
    return kept, f"balances and positions of {', '.join([*wrong, *lost])}"


def _is_number(value: Decimal) -> bool:
    return value.is_finite() and -NUMBER_MAX <= value <= NUMBER_MAX


def _is_amount(value: Decimal) -> bool:
    return value.is_finite() and ZERO <= value <= NUMBER_MAX


def _joined(texts: list[str]) -> str:
    return "; ".join(text for text in texts if text)
