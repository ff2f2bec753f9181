"""A drill: faults one after the other, the time to heal of each, and the books at the end."""

from __future__ import annotations

import base64
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import redis

from services.cli.ledger import money as ledger_money
from shared.domain.accounting import ZERO
from shared.messages.base import TradingState
from shared.messages.control import CommandKind
from shared.messages.execution import PlanOutcome
from shared.services import USUAL_SERVICES as SERVICES
from shared.sql_ledger.database import Ledger, open_to_read
from shared.watch.collector import Collector
from shared.watch.venue_comparison import Account, compare
from tests.chaos.faults import RECORDER, ChaosStack, draw
from tests.compose_stack import DUST
from tests.support import eventually_sync

UP_S, HEAL_S, QUIET_S = 180, 90, 90
COPY_LEDGER = """
import base64, sqlite3
sqlite3.connect('/var/lib/arbstream/ledger.sqlite').execute("VACUUM INTO '/tmp/copy.sqlite'")
print(base64.b64encode(open('/tmp/copy.sqlite', 'rb').read()).decode())
"""
END_BY_THEMSELVES = ("STARTING", "WAITING")
"""Causes of a halt that need nobody."""


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


def run(
    stack: ChaosStack,
    faults: int,
    seed: int,
    pause_s: float,
    directory: Path,
    *,
    tell: Callable[[Happened], None] = lambda _: None,
) -> Report:
    """Hurt a running stack so often, then halt it and compare its ledger with the venues.

    Args:
        stack: It is up.
        faults: How many.
        seed: Of their choice.
        pause_s: It trades for so long between two.
        directory: Where the ledger is copied to.
        tell: Called with each fault when it is over.
    """
    report, chance, begun = Report(seed), random.Random(seed), time.monotonic()
    before = stack.before
    assert not any(account.fills for account in before.values()), "it traded before the drill"
    eventually_sync(lambda: _is_well(stack, 0), timeout_s=UP_S, every_s=0.5, what="well at first")
    for _ in range(faults):
        time.sleep(chance.uniform(0.5, 1.5) * pause_s)
        report.faults.append(_one(stack, chance, report))
        tell(report.faults[-1])
    _end(stack, report)
    _compare(stack, report, before, directory)
    report.seconds = round(time.monotonic() - begun, 1)
    return report


def _one(stack: ChaosStack, chance: random.Random, report: Report) -> Happened:
    fault = draw(stack, chance)
    began = time.monotonic()
    fault.happen()
    done, ts_ns = time.monotonic(), time.time_ns()
    found = Happened(fault.kind, fault.target, round(done - began, 1), None)
    deadline = done + HEAL_S
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if _is_well(stack, ts_ns):
            found.healed_s = round(time.monotonic() - done, 1)
            break
        if reason := _needs_operator(stack):
            found.halted = found.halted or reason
            _let_go_on(stack)
    if found.healed_s is None:
        report.problems.append(
            f"not healed within {HEAL_S} s of {fault.kind} {fault.target}: {_state(stack)}"
        )
    return found


def _is_well(stack: ChaosStack, after_ns: int) -> bool:
    """Tell whether everyone is ready, heard since then, and trading is on."""
    ready = stack.ready()
    told = stack.report()
    return (
        {*SERVICES, RECORDER} <= {name for name, beat in ready.items() if beat.ts_ns > after_ns}
        and told is not None
        and told.ts_ns > after_ns
        and told.state is TradingState.ACTIVE
    )


def _needs_operator(stack: ChaosStack) -> str:
    """Return why trading is halted, where that does not end by itself."""
    told = stack.trading_state()
    if told is None or told.state is TradingState.ACTIVE:
        return ""
    return "" if told.reason.startswith(END_BY_THEMSELVES) else told.reason


def _let_go_on(stack: ChaosStack) -> None:
    """Do what an operator does who has looked: trade away what is left open, and resume."""
    with suppress(redis.exceptions.RedisError):  # it may be what was hurt
        stack.say(CommandKind.FLATTEN)
        time.sleep(3)
        stack.say(CommandKind.RESUME)
        time.sleep(1)


def _state(stack: ChaosStack) -> str:
    missing = sorted({*SERVICES, RECORDER} - stack.ready().keys())
    told = stack.trading_state()
    return f"not ready: {missing}; trading: {told and (told.state, told.reason)}"


def _end(stack: ChaosStack, report: Report) -> None:
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


def _compare(
    stack: ChaosStack, report: Report, before: dict[str, Account], directory: Path
) -> None:
    """Hold the ledger against the venues' accounts, to the last digit."""
    time.sleep(3)  # the recorder reads the last entries
    after = stack.accounts()
    copied = stack.compose("exec", "-T", RECORDER, "python", "-c", COPY_LEDGER)
    (directory / "ledger.sqlite").write_bytes(base64.b64decode(copied))
    with closing(open_to_read(directory / "ledger.sqlite")) as ledger:
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
