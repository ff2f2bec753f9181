"""`arb calibrate`: how far fills on paper are from those of simulated venues."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Any

import typer

from services.cli.commands_look import EXIT_NOT_WELL, AsJson
from services.cli.ledger.tables import table
from services.cli.output import console, emit_json
from shared.wording import counted

UNKNOWN = "-"
_NUMBERS = ("orders", "paper %", "venue %", "error, points", "price, bps")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("calibrate")(calibrate)


def calibrate(
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="A..B", help="Which markets to run; or one seed.")
    ] = "1..10",
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="FILE", help="Accounts on paper as it says; else default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare fills on paper with those of simulated venues, by the same orders; no network."""
    command = [sys.executable, "-m", "services.lab", "calibrate", f"--seeds={seeds}"]
    if config is not None:
        command.append(f"--config={config}")
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode or not done.stdout:
        raise typer.Exit(done.returncode or EXIT_NOT_WELL)
    found: dict[str, Any] = json.loads(done.stdout)
    if as_json:
        emit_json(found)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Print a calibration."""
    made = table(("venue", "order", *_NUMBERS), "venue", _NUMBERS)
    for row in found["rows"]:
        made.add_row(
            row["venue"],
            row["kind"],
            str(row["compared"]),
            _percent(row["fill_ratio_paper"]),
            _percent(row["fill_ratio_simulated"]),
            _error(row["fill_ratio_error"], row["fill_ratio_error_se"], 100, 1),
            _error(row["price_error_bps"], row["price_error_se_bps"], 1, 2),
        )
    console.print(made)
    console.print("filled on paper and at the venue, mean over orders; error: paper less venue")
    console.print("price: how much better it is on paper; +- standard error; - not known")
    for venue, each in found["latency_ms"].items():
        ranks = ", ".join(f"{name} {each[name]:g} ms" for name in ("p50", "p90", "p99"))
        console.print(f"latency of {counted(each['orders'], 'order')} at {venue}: {ranks}")
    for row in found["rows"]:
        for reason, count in row["left_out"].items():
            if row["venue"] != "all":
                what = counted(count, "order")
                text = f"left out at {row['venue']}: {what} {row['kind']}: {reason}"
                console.print(text, markup=False)


def _percent(ratio: float | None) -> str:
    return UNKNOWN if ratio is None else f"{ratio * 100:.1f}"


def _error(value: float | None, spread: float | None, factor: int, digits: int) -> str:
    if value is None:
        return UNKNOWN
    beside = UNKNOWN if spread is None else f"{spread * factor:.{digits}f}"
    return f"{value * factor:+.{digits}f} +- {beside}"
