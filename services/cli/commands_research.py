"""`arb backtest | optimize`: research is a program of its own with its own extra.

A configuration with ``[rule]`` runs a rule over candles; one without is of the whole system, whose
engines the lab runs on recordings, and research writes the report. With ``[study]`` the lab runs
many parameter sets of a strategy, and research judges them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands_look import EXIT_NOT_WELL
from shared.errors import ConfigError

Files = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG", help="arb.toml, or a [rule] for candles: docs/research.md."),
]
ManyData = Annotated[
    list[Path],
    typer.Option("--data", metavar="PATH...", help="Recordings, a store, or a file of candles."),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")]
Decisions = Annotated[
    Path | None, typer.Option("--decisions", metavar="FILE", help="Write every decision.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=256, help="At once; default: one per core.")
]
PARTS = ("numpy", "numba", "pyarrow")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backtest")(backtest)
    app.command("optimize")(optimize)


def backtest(
    files: Files,
    *,
    data: ManyData,
    out: Out,
    decisions: Decisions = None,
    as_json: AsJson = False,
) -> None:
    """Trade recordings with the engines that run live; or run a rule over candles."""
    config, more = files[0], ["--json"] if as_json else []
    recordings = [*data, *files[1:]]
    _must_have_extra("backtest")
    if not _is_rule(config):
        raise typer.Exit(_trade(config, recordings, out, decisions, more))
    _must_be_one(config, recordings)
    if decisions is not None:
        raise ConfigError(f"--decisions: {config} has a [rule], which decides nothing of that kind")
    _research(["backtest", f"--data={recordings[0]}", f"--out={out}", *more, "--", str(config)])


def optimize(
    files: Files, *, data: ManyData, out: Out, jobs: Jobs = None, as_json: AsJson = False
) -> None:
    """Try a grid of parameters of a rule or a strategy; say whether the best is more than luck."""
    config, more = files[0], ["--json"] if as_json else []
    recordings = [*data, *files[1:]]
    if jobs is not None:
        more += ["--jobs", str(jobs)]
    _must_have_extra("optimize")
    what = "optimize"
    if _is_rule(config):
        _must_be_one(config, recordings)
    elif _has(config, "study"):
        what = "study"
    given = [f"--data={each}" for each in recordings]
    _research([what, *given, f"--out={out}", *more, "--", str(config)])


def _must_be_one(config: Path, recordings: Sequence[Path]) -> None:
    if len(recordings) > 1:
        raise ConfigError(
            f"{config}: a [rule] runs over one file of candles, or a store; give one --data"
        )


def _is_rule(config: Path) -> bool:
    """Tell whether a configuration is of a rule over candles."""
    return _has(config, "rule")


def _has(config: Path, section: str) -> bool:
    """Tell whether a configuration has a section; what else is wrong its own program says."""
    try:
        return section in tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False


def _trade(
    config: Path, recordings: Sequence[Path], out: Path, decisions: Path | None, more: list[str]
) -> int:
    """Let the lab trade and research report, each a program of its own; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="arb-backtest-") as folder:
        facts = Path(folder) / "facts.json"
        command = [sys.executable, "-m", "services.lab", "backtest", f"--facts={facts}"]
        if decisions is not None:
            command.append(f"--decisions={decisions}")
        command += ["--", str(config), *map(str, recordings)]
        traded = subprocess.run(command, check=False).returncode
        if not facts.exists():
            return traded or EXIT_NOT_WELL
        command = [sys.executable, "-m", "services.research", "trading", f"--facts={facts}"]
        told = subprocess.run([*command, f"--out={out}", *more], check=False).returncode
        return traded or told


def _must_have_extra(what: str) -> None:
    missing = [name for name in PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"arb {what} needs {', '.join(missing)}; install them once, in the project's folder: "
            f"{sys.executable} -m pip install -c constraints.txt -e '.[research]'"
        )


def _research(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "services.research", *arguments]
    os.execve(sys.executable, command, dict(os.environ))
