"""One plan of a ledger in full: where it came from, its orders and fills, and its waterfall."""

from __future__ import annotations

from typing import Any

from services.cli.ledger import records as ledger_records
from services.cli.ledger.file import Wanted
from shared.errors import ConfigError
from shared.messages.arb import Opportunity
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import message_of
from shared.watch.plan_waterfall import kinds_of, waterfall

ORDERS_MAX = 10_000


def expected(offer: Opportunity | None) -> dict[str, Any]:
    """Return what a plan's opportunity said of conversions and of funding; ``None``: it did not.

    That is so of an opportunity that is not in the ledger, as of a signal, too.
    """
    return {
        "conversions": [] if offer is None else offer.conversions,
        "carry": None if offer is None else offer.carry,
    }


def whole(ledger: Ledger, plan_id: str) -> dict[str, Any]:
    """Return everything about a plan.

    Raises:
        ConfigError: There is no such plan in the ledger.
    """
    wanted = Wanted(plan=plan_id, limit=ORDERS_MAX)
    with ledger.at_one_moment():
        records = ledger_records.plans(ledger, wanted)
        if not records:
            raise ConfigError(f"no plan {plan_id!r} in the ledger; arb plans lists them")
        (row,) = ledger.query("SELECT * FROM plans WHERE plan_id = ?", [plan_id])
        ends = ledger.query(
            "SELECT * FROM plan_ends WHERE plan_id = ? ORDER BY ts_ns DESC LIMIT 1", [plan_id]
        )
        orders = ledger_records.orders(ledger, wanted)
        events = ledger.query(
            "SELECT * FROM order_events WHERE plan_id = ? ORDER BY entry", [plan_id]
        )
        told = ledger.query("SELECT * FROM fills WHERE plan_id = ? ORDER BY entry", [plan_id])
        offers = ledger.query(
            "SELECT * FROM opportunities WHERE opportunity_id = ?", [row["opportunity_id"]]
        )
        fills = ledger_records.fills(ledger, wanted)
    end = message_of(PlanDone, ends[0]) if ends else None
    plan = message_of(ApprovedPlan, row)
    kinds = kinds_of(message_of(OrderEvent, each) for each in events)
    return {
        "plan": records[0],
        "shrunk": plan.shrunk,
        "expected": expected(message_of(Opportunity, offers[0]) if offers else None),
        "waterfall": waterfall(plan, kinds, [message_of(Fill, each) for each in told], end),
        "orders": orders,
        "fills": fills,
    }
