"""`arb backtest | optimize`: rules on bars; research is a program of its own with its own extra."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import ConfigError

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Rule, costs, windows: docs/research.md.")
]
Data = Annotated[Path, typer.Option("--data", metavar="FILE", help="Candles, CSV or Parquet.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=256, help="At once; default: one per core.")
]
PARTS = ("numpy", "numba", "pyarrow")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backtest")(backtest)
    app.command("optimize")(optimize)


def backtest(config: ConfigFile, data: Data, out: Out, as_json: AsJson = False) -> None:
    """Run a rule over candles: from bars, less exact than from order books."""
    _run("backtest", config, data, out, ["--json"] if as_json else [])


def optimize(
    config: ConfigFile, data: Data, out: Out, jobs: Jobs = None, as_json: AsJson = False
) -> None:
    """Try a grid of parameters over candles, and say whether the best is more than luck."""
    more = ["--json"] if as_json else []
    if jobs is not None:
        more += ["--jobs", str(jobs)]
    _run("optimize", config, data, out, more)


def _run(what: str, config: Path, data: Path, out: Path, more: list[str]) -> None:
    missing = [name for name in PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"arb {what} needs {', '.join(missing)}; install them once, in the project's folder: "
            f"{sys.executable} -m pip install -c constraints.txt -e '.[research]'"
        )
    command = [sys.executable, "-m", "services.research", what]
    command += [f"--data={data}", f"--out={out}", *more, "--", str(config)]
    os.execve(sys.executable, command, dict(os.environ))
