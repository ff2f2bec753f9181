"""A drill: faults one after the other, the time to heal of each, and the books at the end."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from shared.messages.base import TradingState
from shared.messages.control import CommandKind
from shared.services import USUAL_SERVICES as SERVICES
from shared.watch.venue_comparison import Account
from tests.chaos.faults import RECORDER, ChaosStack, draw
from tests.chaos.judge import Happened, Report, judge, wind_down
from tests.support import eventually_sync

UP_S, HEAL_S = 180, 90
COPY_LEDGER = """
import base64, sqlite3
sqlite3.connect('/var/lib/arbstream/ledger.sqlite').execute("VACUUM INTO '/tmp/copy.sqlite'")
print(base64.b64encode(open('/tmp/copy.sqlite', 'rb').read()).decode())
"""
END_BY_THEMSELVES = ("STARTING", "WAITING")
"""Causes of a halt that need nobody."""


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
    wind_down(stack, report)
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


def _compare(
    stack: ChaosStack, report: Report, before: dict[str, Account], directory: Path
) -> None:
    """Hold the ledger against the venues' accounts, to the last digit."""
    time.sleep(3)  # the recorder reads the last entries
    after = stack.accounts()
    copied = stack.compose("exec", "-T", RECORDER, "python", "-c", COPY_LEDGER)
    (directory / "ledger.sqlite").write_bytes(base64.b64decode(copied))
    judge(directory / "ledger.sqlite", report, before, after)
