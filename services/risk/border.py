"""Alerts about messages that no service of this system should have sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.risk.exposure import Ledger
from services.risk.trading import alert
from shared.domain.funding import SECOND_NS
from shared.domain.ownership import reduced_text
from shared.messages.base import Message
from shared.messages.bounds import AHEAD_NS_MAX
from shared.messages.control import Alert, Severity
from shared.messages.execution import Fill, FundingKnown, FundingPaid, OrderEvent, PlanDone


def in_order(message: Any, now_ns: int) -> Any:
    """Return a message whose time cannot make later ones look old.

    One further in our future than clocks may differ counts as now; nothing durable is lost for it.
    """
    if message.ts_ns <= now_ns + AHEAD_NS_MAX:
        return message
    return msgspec.structs.replace(message, ts_ns=now_ns)


def reduced_alerts(fill: Fill, rounds: Iterable[str], now_ns: int) -> list[Message]:
    """Return the alerts about the rounds that a venue has reduced: their legs are uneven now."""
    texts = {
        key: f"round {key} is HALTED and uneven: {reduced_text(fill)}; it opens nothing, and its "
        "strategy may only close what is left"
        for key in (rounds if fill.reduced_by else ())
    }
    return [
        alert(now_ns, Severity.CRITICAL, "ROUND_REDUCED", text, key) for key, text in texts.items()
    ]


def late_funding_alerts(
    told: FundingPaid | FundingKnown, ledger: Ledger, now_ns: int
) -> list[Message]:
    """Return the alert about a payment for an earlier UTC day than the one it was told on."""
    if isinstance(told, FundingKnown) or not ledger.is_of_earlier_day(told.ts_paid_for_ns):
        return []
    day = datetime.fromtimestamp(told.ts_paid_for_ns // SECOND_NS, UTC).date()
    text = (
        f"{told.amount} {told.asset} of funding for {told.instrument} at {told.venue} settled on "
        f"{day} and was told later: it is in the result of that day, not of today"
    )
    return [alert(now_ns, Severity.INFO, "FUNDING_OF_EARLIER_DAY", text)]


def unowned_fill_text(fill: Fill, why: str) -> str:
    """Return the text about a fill that belongs to no order of ours."""
    return (
        f"fill {fill.trade_id} of {fill.client_order_id}, {fill.side} {fill.qty} "
        f"{fill.instrument} at {fill.venue}, is not booked: {why}"
    )


def unowned_order_alert(event: OrderEvent, why: str, now_ns: int) -> Alert:
    """Return the alert about an order that cannot be its plan's; fills of it belong to no order."""
    text = (
        f"order {event.client_order_id} of plan {event.plan_id}, {event.side} {event.qty} "
        f"{event.instrument} at {event.venue}, is not taken on record: {why}"
    )
    return alert(now_ns, Severity.CRITICAL, "ORDER_UNOWNED", text)


def unowned_end_alert(done: PlanDone, why: str, now_ns: int) -> Alert:
    """Return the alert about an end that cannot be its plan's; the plan stays in flight."""
    text = f"{done.outcome} of plan {done.plan_id} in {done.base}/{done.quote} is not taken: {why}"
    return alert(now_ns, Severity.CRITICAL, "PLAN_END_UNOWNED", text)


def unreserved_end_alerts(done: PlanDone, held: str, now_ns: int) -> list[Message]:
    """Return the alert about the end of a plan that was approved, and nothing was reserved for.

    What the executor began itself, to flatten or for a late fill, reserves nothing.
    """
    if held or not done.is_approved or not done.realized:
        return []
    text = f"plan {done.plan_id} ended {done.outcome} with {done.realized} {done.quote}"
    return [alert(now_ns, Severity.WARNING, "PLAN_NOT_RESERVED", text)]
