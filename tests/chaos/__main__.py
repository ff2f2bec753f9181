"""``python -m tests.chaos``: bring the compose stack up, hurt it, and say what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.drill import run
from tests.chaos.faults import SIMULATION, STANDBYS, ChaosStack, GroupStack
from tests.chaos.judge import Happened, Report
from tests.support import ROOT

PROJECT = "arbstream-chaos"
FILES = ("docker-compose.yml", "tests/chaos/compose.yml")
BUILD_S = 900
"""Of the image; on a busy machine it takes minutes."""
GROUP_FILE = "deploy/failover.yml"


@contextmanager
def stack_up(*, with_sentinel: bool = False) -> Iterator[ChaosStack]:
    """Bring a stack of its own up; take it down with its volumes.

    Args:
        with_sentinel: With a group of Redis instead of one.
    """
    files = (*FILES, GROUP_FILE) if with_sentinel else FILES
    os.environ.update(
        COMPOSE_PROJECT_NAME=PROJECT,
        COMPOSE_FILE=os.pathsep.join(str(ROOT / name) for name in files),
        ARB_REDIS_PORT="0",
        ARB_METRICS_PORT="0",
        ARB_DASHBOARD_PORT="0",
        ARB_LEDGER="yes",
    )
    os.environ.pop("ARB_TOML", None)
    ChaosStack.compose("down", "--volumes", "--timeout", "5")
    try:
        ChaosStack.compose("build", within_s=BUILD_S)
        ChaosStack.compose("up", "--detach", "--wait", SIMULATION)
        before = ChaosStack.accounts()
        second = (f"--scale={name}=2" for name in STANDBYS)
        ChaosStack.compose("up", "--detach", *second)
        yield GroupStack(before) if with_sentinel else ChaosStack(before)
    finally:
        ChaosStack.compose("down", "--volumes", "--timeout", "5", check=False)


def show_fault(each: Happened) -> None:
    """Print a fault as a line."""
    healed = "NOT HEALED" if each.healed_s is None else f"well again after {each.healed_s} s"
    halted = f"; HALTED until an operator resumed: {each.halted}" if each.halted else ""
    line = f"{each.kind:<12} {each.target:<12} {each.lasted_s:>5} s  {healed}{halted}"
    print(line, file=sys.stderr, flush=True)


def show(report: Report) -> None:
    """Print what a drill found as lines."""
    plans = ", ".join(f"{count} {outcome}" for outcome, count in report.plans.items())
    print(f"{report.orders} orders, {report.fills} fills; plans: {plans}; {report.seconds} s")
    for problem in report.problems:
        print(f"PROBLEM: {problem}")
    if not report.problems:
        print("the ledger and the venues agree to the last digit; nothing is open")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=30, help="how many (30)")
    parser.add_argument("--seed", type=int, default=1, help="of their choice (1)")
    parser.add_argument("--pause-s", type=float, default=4.0, help="trading between two (4)")
    parser.add_argument(
        "--redis",
        choices=("sentinel", "single"),
        default="sentinel",
        help="three with Sentinel, and fail-overs; or one (sentinel)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    up = stack_up(with_sentinel=options.redis == "sentinel")
    with up as stack, tempfile.TemporaryDirectory() as directory:
        report = run(
            stack, options.faults, options.seed, options.pause_s, Path(directory), tell=show_fault
        )
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        show(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
