"""What is asked of every stack that was hurt: nothing under way, and the books are the venues'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from services.cli.ledger import money as ledger_money
from shared.domain.accounting import ZERO
from shared.messages.base import TradingState
from shared.messages.control import CommandKind
from shared.messages.execution import PlanOutcome
from shared.sql_ledger.database import Ledger, open_to_read
from shared.watch.collector import Collector
from shared.watch.venue_comparison import Account, compare
from tests.stack_view import DUST, StackView
from tests.support import eventually_sync

QUIET_S = 90


@dataclass
class Happened:
    """One fault and what came of it; ``halted`` is the reason where an operator had to act."""

    kind: str
    target: str
    lasted_s: float
    healed_s: float | None
    halted: str = ""


@dataclass
class Report:
    """What a drill found; it is good without problems."""

    seed: int
    faults: list[Happened] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    plans: dict[str, int] = field(default_factory=dict)
    fills: int = 0
    orders: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def wind_down(stack: StackView, report: Report) -> None:
    """Halt, wait until nothing is under way, and look for what is left open."""
    stack.say(CommandKind.HALT)

    def wait(condition: Callable[[], bool], what: str) -> None:
        try:
            eventually_sync(condition, timeout_s=QUIET_S, every_s=0.5, what=what)
        except AssertionError as error:
            report.problems.append(f"{what}: {str(error)[:300]}")

    def is_quiet() -> bool:
        told = stack.report()
        return told is not None and told.state is TradingState.HALTED and not told.plans_in_flight

    wait(is_quiet, "halted with no plan in flight")
    told = stack.report()
    left = {} if told is None else told.exposure
    if any(abs(qty) > DUST.get(asset, 0) for asset, qty in left.items()):
        report.problems.append(f"exposure is left: {left}")
    if count := stack.open_orders():
        report.problems.append(f"still open at the venues: {count} orders")


def judge(
    file: Path, report: Report, before: dict[str, Account], after: dict[str, Account]
) -> None:
    """Hold a ledger's file against the venues' accounts, to the last digit."""
    with closing(open_to_read(file)) as ledger:
        collector = Collector()
        for message in ledger_money.messages(ledger):
            collector.on_message(message)
        found = compare(collector, before, after)
        report.problems += found.differences
        report.problems += [f"a gap in the ledger: {gap}" for gap in ledger_money.gaps(ledger)]
        report.problems += _sent_twice(ledger)
        ended = Counter(end.outcome.value for end in collector.plans_done.items.values())
        report.plans = dict(sorted(ended.items()))
        report.fills = len(collector.fills.items)
        report.orders = ledger.query("SELECT count(*) AS n FROM orders")[0]["n"]
    never = collector.plans.items.keys() - collector.plans_done.items.keys()
    report.problems += [f"plan {plan_id} has no end" for plan_id in sorted(never)]
    if failed := report.plans.get(PlanOutcome.FAILED.value):
        report.problems.append(f"{failed} plans FAILED")


def _sent_twice(ledger: Ledger) -> list[str]:
    """Return the legs of plans for which more was traded than was planned."""
    rows = ledger.query(
        "SELECT plans.plan_id, plans.legs, orders.leg_index, orders.filled_qty FROM orders "
        "JOIN plans USING (plan_id) WHERE orders.purpose = 'LEG'"
    )
    traded: dict[tuple[str, int], Decimal] = {}
    planned: dict[tuple[str, int], Decimal] = {}
    for row in rows:
        key = (row["plan_id"], row["leg_index"])
        traded[key] = traded.get(key, ZERO) + Decimal(row["filled_qty"])
        planned[key] = Decimal(msgspec.json.decode(row["legs"])[row["leg_index"]]["qty"])
    return [
        f"leg {index} of plan {plan_id} traded {traded[plan_id, index]}, planned was {qty}"
        for (plan_id, index), qty in planned.items()
        if traded[plan_id, index] > qty
    ]
