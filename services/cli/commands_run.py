"""`arb demo | replay | sim | up | run`: start processes."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli.commands_look import EXIT_NOT_WELL, AsJson
from services.cli.commands_operate import ConfigPath
from services.cli.demo import run_demo
from services.cli.demo_strategies import ALL, chosen, every_built_in, one_built_in
from services.cli.look import unpriced_text
from services.cli.output import console, emit_json, note
from services.cli.replay import parse_speed, run_replay
from services.cli.up import run_up
from shared.config import load_strategies_of
from shared.config_sections import ScannerConfig, StrategyConfig
from shared.errors import ConfigError
from shared.services import SERVICE_NAMES
from shared.strategy_files import built_ins, load
from shared.wording import signed, unsigned

RUNNABLE = (*SERVICE_NAMES, "venuesim")
SECONDS_MAX = 7 * 86_400
Strategies = Annotated[
    str | None,
    typer.Option("--strategies", metavar="FILE", help="Run the [[strategies]] of this TOML."),
]
DemoStrategies = Annotated[
    str | None,
    typer.Option(
        "--strategies",
        metavar="FILE|NAME|all",
        help="Run the [[strategies]] of this TOML, one built-in by its name, or every one.",
    ),
]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("demo")(demo)
    app.command("replay")(replay)
    app.command("sim")(sim)
    app.command("up")(up)
    app.command("run", context_settings=PASS_ON)(run)


def _not_nan(seconds: float | None) -> float | None:
    """Refuse NaN, which every range lets pass."""
    if seconds is not None and math.isnan(seconds):
        raise ConfigError(f"--seconds nan is not a number of seconds, 1 to {SECONDS_MAX}")
    return seconds


def demo(
    *,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=1,
            max=SECONDS_MAX,
            callback=_not_nan,
            help="How long to trade; else until Ctrl-C.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated market.")] = 7,
    strategies: DemoStrategies = None,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Keep its ledger there, for arb pnl etc."),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="With the dashboard; says where a browser finds it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run everything on simulated venues; leaves nothing behind."""
    if strategies == ALL:
        shown = every_built_in()
    elif strategies in built_ins():
        shown = one_built_in(strategies)
    else:
        shown = chosen(_chosen(strategies))
    if ledger is not None and (ledger.exists() or not ledger.absolute().parent.is_dir()):
        raise ConfigError(f"--ledger {ledger}: give a new file in a directory that is there")
    _finish(asyncio.run(run_demo(seconds, seed, as_json, shown, ledger, web=web)), as_json)


def _chosen(path: str | None) -> list[StrategyConfig]:
    """Return the strategies of a file; what is wrong with them is told before anything starts."""
    chosen = load_strategies_of(path) if path is not None else []
    for entry in chosen:
        load(entry, ScannerConfig(), str(path))
    return chosen


def replay(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...")],
    *,
    decisions: Annotated[
        Path | None, typer.Option("--decisions", metavar="FILE", help="Write every decision.")
    ] = None,
    processes: Annotated[
        bool,
        typer.Option(
            "--processes",
            help="Through five processes and a bus of their own, at the recorded pace.",
        ),
    ] = False,
    speed: Annotated[
        str | None,
        typer.Option("--speed", metavar="N|max", help="Times real time; implies --processes."),
    ] = None,
    strategies: Strategies = None,
    as_json: AsJson = False,
) -> None:
    """Play recorded traffic through all services: the same decisions every time."""
    if speed is None and not processes:
        _finish(_replay_in_lab(paths, decisions, strategies), as_json)
    if decisions is not None:
        raise ConfigError(
            "--decisions needs the replay in one thread: leave --processes and --speed"
        )
    times, chosen = parse_speed(speed or "1"), _chosen(strategies)
    _finish(asyncio.run(run_replay(paths, times, as_json, chosen)), as_json)


def _replay_in_lab(
    paths: list[Path], decisions: Path | None, strategies: str | None
) -> dict[str, Any]:
    """Let the lab replay, as a program of its own, and return its report."""
    command = [sys.executable, "-m", "services.lab", "replay", *map(str, paths)]
    if decisions is not None:
        command += ["--decisions", str(decisions)]
    if strategies is not None:
        command += ["--strategies", strategies]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise typer.Exit(done.returncode or EXIT_NOT_WELL)
    report: dict[str, Any] = json.loads(done.stdout, parse_float=Decimal)
    return report


def sim(
    *,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="A..B", help="Which worlds to run; or one seed.")
    ] = "1..100",
    jobs: Annotated[
        str | None, typer.Option("--jobs", metavar="N", help="Processes; else one a processor.")
    ] = None,
    strategies: Annotated[
        str,
        typer.Option(
            "--strategies", metavar="WHICH", help="In each world: drawn (by its seed) or all."
        ),
    ] = "drawn",
    wire: Annotated[
        str, typer.Option("--wire", metavar="VENUE", help="One venue speaks its real protocol.")
    ] = "",
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="FILE", help="Write all that one world does.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate the whole system, crashes and faults included; exit code 1 on a violation."""
    command = [
        sys.executable,
        "-m",
        "services.lab",
        "sim",
        f"--seeds={seeds}",
        f"--strategies={strategies}",
    ]
    if jobs is not None:
        command.append(f"--jobs={jobs}")
    if wire:
        command.append(f"--wire={wire}")
    if trace is not None:
        command.append(f"--trace={trace}")
    if as_json:
        command.append("--json")
    os.execve(sys.executable, command, dict(os.environ))


def up(
    config: ConfigPath = None,
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Run the bundled Valkey too, at bus.url, a unix socket."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the services of a configuration; needs a Redis, or --embedded."""
    raise typer.Exit(asyncio.run(run_up(config, as_json, is_embedded=embedded)))


def run(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    config: ConfigPath = None,
) -> None:
    """Run one service, or venuesim (--port, --seed, --state, --json)."""
    if service not in RUNNABLE:
        raise ConfigError(f"no service {service!r}; there are: {', '.join(RUNNABLE)}")
    extra = list(context.args)
    if config is not None and service == "venuesim":
        raise ConfigError("arb run venuesim takes no --config; it takes --port, --seed and --json")
    if extra and service != "venuesim":
        raise ConfigError(f"arb run {service} takes only --config; not {' '.join(extra)}")
    environ = dict(os.environ)
    if config is not None:
        environ["ARB_CONFIG"] = config
    command = [sys.executable, "-m", f"services.{service}", *extra]
    os.execve(sys.executable, command, environ)


def _finish(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(report, decimals="number")
    else:
        _print_report(report)
    for problem in report["problems"]:
        note(f"arb: {problem}")
    raise typer.Exit(EXIT_NOT_WELL if report["problems"] else 0)


def _add_money(table: Table, report: dict[str, Any]) -> None:
    """Add what was earned, beside what the venues' own accounts say, and what is open."""
    equity = report["venue_equity_change"] or {}
    for quote, money in report["pnl"].items():
        table.add_row(
            f"result, {quote}",
            f"{signed(money['realized'])} realized after {unsigned(money['fees'])} fees, "
            f"funding {signed(money['funding'])} of it, "
            f"{signed(money['unrealized'])} unrealized ({money['certainty']}); "
            + (
                f"without {unpriced_text(unpriced)}; "
                if (unpriced := money["fees_unpriced"])
                else ""
            )
            + f"the venues' accounts: {signed(equity.get(quote))}; "
            f"closing all now costs {signed(report['closing_cost'][quote])}",
        )
    for strategy, earned in report["pnl_by_strategy"].items():
        for quote, money in earned.items():
            table.add_row(
                f"of it {strategy}",
                f"{signed(money['realized'])} {quote} realized after "
                f"{unsigned(money['fees'])} fees, "
                f"funding {signed(money['funding'])} of it, "
                f"{signed(money['unrealized'])} unrealized ({money['certainty']})",
            )
    for venue, why in report["funding_unknown"].items():
        table.add_row(f"funding, {venue}", f"not known: {why}")
    table.add_row("fills", f"{report['fills']} (SIMULATED)")
    for position in report["positions"]:
        close = position["close_price"]
        table.add_row(
            "position" if position["opened"] else "spent on fees",
            f"{position['qty']:+f} {position['instrument']} "
            f"{'at ' + position['venue'] if position['venue'] else 'over all venues'}, entry "
            f"{position['entry']:.8g}, closes at {'unknown' if close is None else f'{close:.8g}'}: "
            f"{signed(position['unrealized'])}",
        )
    for venue, amounts in report["inventory_change"].items():
        moved = ", ".join(f"{amount.normalize():+f} {asset}" for asset, amount in amounts.items())
        table.add_row(f"moved, {venue}", moved)
    left = {a: Decimal(str(q)) for a, q in report["residual_exposure"].items() if q}
    exposure = ", ".join(f"{amount.normalize():+f} {asset}" for asset, amount in left.items())
    table.add_row("exposure", exposure or "flat")


def _print_report(report: dict[str, Any]) -> None:
    plans, orders = report["plans"], report["orders"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    table.add_row(
        "time",
        f"{report['seconds']} s, {report['venue_frames']:,} venue frames, "
        f"{report['book_events']:,} book events",
    )
    table.add_row("books", ", ".join(f"{n} {name}" for name, n in report["books"].items()))
    gates = ", ".join(f"{gate} {n}" for gate, n in report["near_misses"].items()) or "none"
    table.add_row("opportunities", f"{report['opportunities']}; near misses by gate: {gates}")
    denied = ", ".join(f"{k} {n}" for k, n in plans["denied"].items()) or "none"
    outcomes = ", ".join(f"{n} {name.lower()}" for name, n in plans["outcomes"].items()) or "none"
    table.add_row("plans", f"{plans['approved']} approved, ended: {outcomes}; denied: {denied}")
    table.add_row("orders", ", ".join(f"{n} {name}" for name, n in orders.items()))
    _add_money(table, report)
    for name, row in report["latency_us"].items():
        cells = ", ".join(f"{p} {row[p]:,.0f} us" for p in ("p50", "p99", "p999") if row[p])
        table.add_row(name, f"{cells or '-'} (n {row['n']:,})")
    restarts = {n: s["restarts"] for n, s in report["services"].items() if s["restarts"]}
    table.add_row("restarts", str(restarts) if restarts else "none")
    console.print(table)
