"""Compare a configuration with what risk runs by, and change its limits. IO but for ``compare``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.audit import Chain, of_no_file
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.errors import ArbError, BusUnavailable
from shared.limit_changes import (
    PARTS_READ_BY,
    changed_limits,
    config_parts,
    is_for_restart,
    is_looser,
    limits_hash,
    limits_told,
)
from shared.messages.base import TradingState
from shared.messages.control import LimitsChange
from shared.messages.execution import RiskReport
from shared.messages.limits import LimitsReport
from shared.streams import CTL_COMMAND, RISK_EVENT, SYS_AUDIT
from shared.watch.by_hand import TERMINAL
from shared.watch.link import Link
from shared.watch.operate import BLOCK_MS, CONFIRM_WITHIN_S, by_whom, operator_keys

REPORT_AGE_NS_MAX = 5_000_000_000
"""Risk reports every second; who is silent for so long runs by nothing that is known."""
REPORTS_BACK = 200
RESTART = "restart"


@dataclass(slots=True)
class LimitStep:
    """One limit that the file changes: ``how`` is live, halted or restart."""

    name: str
    before: str
    after: str
    how: str


@dataclass(slots=True)
class Reload:
    """What a file would change, and what became of it.

    ``restart`` says by part of the file which services read it at a start only. ``outcome`` is
    same, dry-run, applied, refused, restart (nothing could be applied) or unconfirmed.
    ``limits_hash`` names the limits in force. ``is_well``: nothing is refused, unconfirmed or
    waits for a restart.
    """

    state: str
    limits: list[LimitStep]
    restart: dict[str, str]
    limits_hash: str
    outcome: str = "same"
    command_id: str = ""
    refused: str = ""
    audit_problem: str = ""
    schema: int = 1
    is_well: bool = True


def compare(config: Config, told: LimitsReport, state: TradingState) -> Reload:
    """Return what the configuration would change of what risk tells that it runs by."""
    before = told.in_force
    steps = []
    for name, text in changed_limits(before, limits_told(config.risk)).items():
        if name not in before or is_for_restart(name, before[name], text):
            how = RESTART
        else:
            how = "halted" if is_looser(name, before[name], text) else "live"
        steps.append(LimitStep(f"risk.{name}", before.get(name, "unknown"), text, how))
    own = config_parts(config)
    restart = {
        part: PARTS_READ_BY[part]
        for part, digest in own.items()
        if told.config_parts.get(part, digest) != digest
    }
    for step in steps:
        if step.how == RESTART:
            restart[step.name] = "executor, risk"
    return Reload(state, steps, restart, limits_hash(before))


async def reload_limits(link: Link, config: Config, reason: str, *, dry_run: bool) -> Reload:
    """Send what changes without a restart as one signed command, and wait for risk's answer.

    Raises:
        BusUnavailable: Redis is away, or risk is silent or too old to tell its limits.
        ConfigError: This user has no key to sign with.
    """
    report = await newest_report(link)
    if report is None:
        raise BusUnavailable(
            "risk does not report, so what it runs by is unknown: start it; it reads the file then"
        )
    if report.limits is None:
        raise BusUnavailable(
            "risk is of a version that cannot change limits while it runs: restart it"
        )
    found = compare(config, report.limits, report.state)
    found.is_well = not found.restart
    steps = [each for each in found.limits if each.how != RESTART]
    if not steps:
        found.outcome = RESTART if found.restart else "same"
        return found
    if dry_run:
        found.outcome = "dry-run"
        halted = report.state is TradingState.HALTED
        found.is_well &= halted or all(each.how == "live" for each in steps)
        return found
    keys = operator_keys("a change of limits")
    change = _change_of(steps, config.executor.mode, reason)
    found.command_id = change.command_id
    after = {RISK_EVENT.key(): (RISK_EVENT, await link.last_id(RISK_EVENT.key()))}
    await link.publish(change, CTL_COMMAND, keys)
    found.outcome = "unconfirmed"
    give_up_ns = SystemClock.monotonic_ns() + int(CONFIRM_WITHIN_S * 1e9)
    while found.outcome == "unconfirmed" and SystemClock.monotonic_ns() < give_up_ns:
        try:
            for heard in await link.read(after, BLOCK_MS):
                if isinstance(heard.message, RiskReport):
                    _take(heard.message, found)
        except BusUnavailable:  # a fail-over: the next try may find the new primary
            await asyncio.sleep(BLOCK_MS / 1_000)
    found.is_well &= found.outcome == "applied"
    found.audit_problem = await _write(link, change, found)
    return found


def _change_of(steps: Sequence[LimitStep], mode: str, reason: str) -> LimitsChange:
    now_ns = SystemClock.now_ns()
    return LimitsChange(
        ts_ns=now_ns,
        command_id=f"limits-{now_ns}",
        operator=by_whom(),
        mode=mode,
        limits={each.name.removeprefix("risk."): each.after for each in steps},
        before={each.name.removeprefix("risk."): each.before for each in steps},
        reason=reason,
    )


def _take(report: RiskReport, found: Reload) -> None:
    told = report.limits
    if told is not None and told.command == found.command_id:
        found.outcome = "refused" if told.refused else "applied"
        found.refused, found.limits_hash = told.refused, limits_hash(told.in_force)


async def newest_report(link: Link) -> RiskReport | None:
    """Return what risk reported last, ``None`` where it is silent."""
    now_ns = SystemClock.now_ns()
    items = await link.newest(RISK_EVENT, count=REPORTS_BACK)
    reports = [each.message for each in items if isinstance(each.message, RiskReport)]
    if not reports or now_ns - reports[-1].ts_ns > REPORT_AGE_NS_MAX:
        return None
    return reports[-1]


async def _write(link: Link, change: LimitsChange, found: Reload) -> str:
    """Write an entry to the audit trail, and return why it could not be; empty where it was."""
    steps = {f"risk.{n}": f"{change.before[n]} -> {text}" for n, text in change.limits.items()}
    outcome = f"{found.outcome}: {found.refused}" if found.refused else found.outcome
    entry = Chain().next(
        SystemClock.now_ns(),
        change.operator,
        TERMINAL,
        "reload",
        f"{outcome}; limits {found.limits_hash} are in force",
        arguments={**steps, **({"reason": change.reason} if change.reason else {})},
        command_id=change.command_id,
    )
    try:
        await link.publish(of_no_file(entry), SYS_AUDIT)
    except ArbError as error:
        return str(error)
    return ""
