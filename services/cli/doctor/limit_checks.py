"""Whether risk runs by the configuration that is in the file. Pure."""

from __future__ import annotations

from services.cli.doctor.check import Check, Level
from shared.config_sections import Config
from shared.messages.execution import RiskReport
from shared.watch.reload import compare

NAME = "limits in force"
TOLD_MAX = 4


def check_limits(config: Config, report: RiskReport | None) -> Check:
    """Compare the file with what risk told; ``report``: its newest, ``None`` where it is silent."""
    if report is None:
        return Check(NAME, Level.OK, "risk does not report; it reads the file when it is started")
    if report.limits is None:
        text = "cannot be checked: risk is of a version that does not tell them"
        return Check(NAME, Level.WARNING, text, "restart risk")
    found = compare(config, report.limits, report.state)
    differing = [f"{each.name} {each.before}, in the file {each.after}" for each in found.limits]
    differing += [part for part in found.restart if not part.startswith("risk.")]
    if not differing:
        return Check(NAME, Level.OK, f"risk runs by the file ({found.limits_hash})")
    told = differing[:TOLD_MAX]
    if len(differing) > TOLD_MAX:
        told.append(f"{len(differing) - TOLD_MAX} more")
    text = "the file is not what runs: " + "; ".join(told)
    return Check(NAME, Level.WARNING, text, "arb reload --dry-run says what to do for each")
