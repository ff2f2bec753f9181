"""``make bench``: every benchmark in one run on this machine; a table, and one JSON object.

    python -m tests.bench [--json] [NAME...]        names: decode, bus_hop, cycles, ...

Each benchmark is a process of its own and compares with an alternative measured beside it, so the
ratios travel from machine to machine and the absolute figures do not. cryptofeed lives in an
environment of its own (``.bench-venv``), vectorbt and backtrader in another (``.bench-venv-bars``),
NautilusTrader in a third (``.bench-venv-nautilus``), made here when possible; without them their
ratios are missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.support import ROOT

BENCHMARKS = (
    *("decode", "bus_hop", "cycles", "bars", "backtest"),
    *("tick_to_order", "order_to_wire", "naked_exposure", "dashboard_cost"),
)
TIMEOUT_S = 600
ENVIRONMENTS = {
    "decode": ((ROOT / ".bench-venv", ("cryptofeed",)),),
    "bars": (
        (ROOT / ".bench-venv-bars", ("vectorbt==1.2.0", "backtrader")),
        (ROOT / ".bench-venv-nautilus", ("nautilus_trader==1.221.0",)),
    ),
}
"""Benchmark -> the environments of what it compares with, and the packages in each."""

# Figure -> (unit, what it must reach). Everything else a benchmark reports is shown without a goal.
GOALS: dict[str, tuple[str, float, str]] = {
    "decode.ratio_ccxt_pro": ("x", 7.0, "at least"),
    "decode.ratio_cryptofeed": ("x", 4.0, "at least"),
    "bus_hop.hop_ratio": ("x", 1.5, "at most"),
    "bus_hop.throughput_ratio": ("x", 0.6, "at least"),
    "cycles.ratio": ("x", 100.0, "at least"),
    "bars.kernel.ratio_bare": ("x", 1.5, "at most"),
    "bars.kernel.ratio_vectorbt": ("x", 20.0, "at least"),
    "bars.events.ratio_backtrader": ("x", 8.0, "at least"),
    "bars.events.ratio_nautilus": ("x", 2.0, "at least"),
    "backtest.deltas_per_s": ("/s", 30_000.0, "at least"),
    "backtest.times_real": ("x", 500.0, "at least"),
    "backtest.ratio_two_engines": ("x", 0.6, "at least"),
    "tick_to_order.latency_us.tick_to_order.p50": ("us", 1_000.0, "at most"),
    "order_to_wire.gateway.binance.ccxt_ms": ("ms", 1.0, "at most"),
    "dashboard_cost.clients.ratio_p99.median": ("x", 1.05, "at most"),
    "dashboard_cost.tabs.ratio_p99.median": ("x", 1.05, "at most"),
    "naked_exposure.p99": ("ms", 250.0, "at most"),
    "naked_exposure.left_uneven": ("plans", 0.0, "at most"),
}


def make_environment(venv: Path, packages: tuple[str, ...]) -> str:
    """Install what is compared with beside, not into, the project; return why not, or nothing."""
    python = venv / "bin" / "python"
    names = ", ".join(package.partition("==")[0] for package in packages)
    if python.exists() and _run([str(python), "-c", f"import {names}"]).returncode == 0:
        return ""
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages],
    ):
        done = _run(command)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1][:160]
    return ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT, check=False
    )


def measure(name: str) -> dict[str, Any]:
    """Run one benchmark and return what it reports, or why it could not."""
    done = _run([sys.executable, "-m", f"tests.bench.{name}", "--json"])
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing said"]
        return {"error": output[-1][:300]}
    try:
        report: dict[str, Any] = json.loads(lines[-1] if lines[-1].startswith("{") else done.stdout)
    except ValueError:
        return {"error": f"did not print JSON: {lines[-1][:200]}"}
    return report


def machine() -> dict[str, Any]:
    """Say where this was measured."""
    commit = _run(["git", "rev-parse", "--short", "HEAD"])
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": psutil.cpu_count(),
        "load_1m": round(psutil.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit.stdout.strip() or "unknown",
    }


def flatten(report: Any, prefix: str) -> dict[str, Any]:
    """Return nested figures under dotted names."""
    if isinstance(report, dict):
        return {
            k: v for n, part in report.items() for k, v in flatten(part, f"{prefix}.{n}").items()
        }
    return {prefix: report}


def table(results: dict[str, Any]) -> Table:
    """Return the figures as a table; a goal that is missed is marked."""
    shown = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("figure", "value", "goal", ""):
        shown.add_column(column, justify="right" if column == "value" else "left")
    for name, report in results.items():
        for figure, value in flatten(report, name).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            text = f"{value:,.2f}" if isinstance(value, float) else str(value)
            if figure not in GOALS:
                shown.add_row(figure, text, "", "")
                continue
            unit, bound, sense = GOALS[figure]
            met = number and (value <= bound if sense == "at most" else value >= bound)
            verdict = "met" if met else "MISSED" if number else "not measured"
            shown.add_row(figure, f"{text} {unit}", f"{sense} {bound:g} {unit}", verdict)
    return shown


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are: {', '.join(BENCHMARKS)}")
    names = given.names or list(BENCHMARKS)
    say = Console(stderr=True)
    results: dict[str, Any] = {}
    for name in names:
        for venv, packages in ENVIRONMENTS.get(name, ()):
            if why_not := make_environment(venv, packages):
                told = ", ".join(packages)
                say.print(f"{told}: cannot be installed, no ratio to them: {why_not}")
        say.print(f"measuring {name} ...")
        results[name] = measure(name)
    if not given.json:
        Console().print(table(results))
    print(json.dumps({"machine": machine(), **results}))
    return 1 if any("error" in report for report in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
