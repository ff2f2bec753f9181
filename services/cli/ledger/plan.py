"""One plan of a ledger in full: where it came from, its orders and fills, and its waterfall."""

from __future__ import annotations

from typing import Any

from services.cli.ledger import records as ledger_records
from services.cli.ledger.file import Wanted
from services.cli.plan_waterfall import Order, waterfall
from shared.errors import ConfigError
from shared.messages.execution import ApprovedPlan, Fill, OrderPurpose, PlanDone
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import message_of

ORDERS_MAX = 10_000


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
        kinds = {
            each["client_order_id"]: Order(OrderPurpose(each["purpose"]), each["leg_index"])
            for each in ledger.query("SELECT * FROM orders WHERE plan_id = ?", [plan_id])
        }
        told = ledger.query("SELECT * FROM fills WHERE plan_id = ? ORDER BY entry", [plan_id])
        fills = ledger_records.fills(ledger, wanted)
    end = message_of(PlanDone, ends[0]) if ends else None
    return {
        "plan": records[0],
        "waterfall": waterfall(
            message_of(ApprovedPlan, row), kinds, [message_of(Fill, each) for each in told], end
        ),
        "orders": orders,
        "fills": fills,
    }
