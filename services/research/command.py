"""`backtest | optimize | study | example | trading`: what ``arb`` runs for research."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.research.candle_files import DataConfig, Loaded, load_candles
from services.research.example import CONFIG, candles_csv
from services.research.identity import rounded
from services.research.lab_study import LabEndedError, LabStudy
from services.research.out_folder import check_out, write_out
from services.research.report_html import render
from services.research.search_html import params_text
from services.research.settings import grid_of, load_settings, load_study_settings, params_of
from services.research.stored_candles import load_stored
from services.research.strategy_study import optimize_strategy
from services.research.study import backtest, optimize
from services.research.study_html import render as render_study
from services.research.trading import report_of
from services.research.trading_example import CONFIG as TRADING_CONFIG
from services.research.trading_example import write_books
from services.research.trading_html import render as render_trading
from services.research.trials import TrialsLedger
from shared.errors import ArbError, ConfigError
from shared.wording import counted

EXIT_NOT_WELL, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
JOBS_MAX = 256
PROBLEMS_TOLD_MAX = 5
_console = Console(stderr=True, highlight=False)


def main(arguments: list[str]) -> int:
    """Run what is asked for and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.what == "example":
            return _example(options)
        if options.what == "trading":
            return _trading(options)
        if options.what == "study":
            return _study(options)
        facts = _backtest(options) if options.what == "backtest" else _optimize(options)
        _write(options.out, facts)
        _tell(options, facts)
    except LabEndedError as error:
        if not error.is_told:
            _say(f"arb: {error}")
        return error.code
    except ConfigError as error:
        _say(f"arb: {error}")
        return EXIT_USAGE
    except ArbError as error:
        _say(f"arb: {error}")
        return EXIT_NOT_WELL
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _backtest(options: argparse.Namespace) -> dict[str, Any]:
    config = load_settings(options.config)
    params = params_of(config, options.config.name)
    loaded = _loaded(options.data, config.data)
    check_out(options.out)
    ledger = options.config.parent / config.statistics.trials
    return dict(backtest(loaded, config, params, ledger))


def _optimize(options: argparse.Namespace) -> dict[str, Any]:
    config = load_settings(options.config)
    sets, left_out = grid_of(config, options.config.name)
    loaded = _loaded(options.data, config.data)
    check_out(options.out)
    if left_out:
        _say(f"arb: {counted(left_out, 'set')} of the grid left out: fast_bars not below slow_bars")
    ledger = options.config.parent / config.statistics.trials
    with _progress() as on_progress:
        return optimize(
            loaded, config, sets, ledger, jobs=_jobs_of(options), on_progress=on_progress
        )


def _study(options: argparse.Namespace) -> int:
    """Search over the parameters of a strategy that trades; the lab runs the sets."""
    config = load_study_settings(options.config)
    check_out(options.out)
    ledger = TrialsLedger(options.config.parent / config.statistics.trials)
    with LabStudy(options.config, options.data, _jobs_of(options)) as lab:
        if lab.plan.left_out:
            _say(f"arb: {counted(lab.plan.left_out, 'set')} of the grid left out: {lab.plan.why}")
        with _progress() as on_progress:
            facts = optimize_strategy(lab, config, ledger, on_progress)
    _write(options.out, facts)
    _tell_study(options, facts)
    for problem in facts["problems"][:PROBLEMS_TOLD_MAX]:
        _say(f"arb: {problem}")
    return EXIT_NOT_WELL if facts["problems"] else 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show how many parameter sets are done, on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console, disable=not _console.is_terminal) as progress:
        task = progress.add_task("parameter sets", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _jobs_of(options: argparse.Namespace) -> int:
    given: int | None = options.jobs
    return given or min(JOBS_MAX, os.cpu_count() or 1)


def _loaded(data: Path, config: DataConfig) -> Loaded:
    return load_stored(data, config) if data.is_dir() else load_candles(data, config)


def _trading(options: argparse.Namespace) -> int:
    """Write the report of facts that the lab has found; those are no file of a user's."""
    report = report_of(msgspec.json.decode(options.facts.read_bytes()))
    check_out(options.out)
    _write(options.out, report)
    _tell_trading(options, report)
    return 0


def _example(options: argparse.Namespace) -> int:
    """Write candles and a configuration, and search over them as a user would."""
    check_out(options.out)
    config, data = options.out / "research.toml", options.out / "candles.csv"
    write_out(options.out, {config.name: CONFIG.encode(), data.name: candles_csv().encode()})
    trading, market = options.out / "arb.toml", options.out / "market"
    write_out(options.out, {trading.name: TRADING_CONFIG.encode()})
    write_books(market)
    given = ["optimize", str(config), "--data", str(data), "--out", str(options.out)]
    return main([*given, *(["--json"] if options.json else [])])


def _write(out: Path, facts: Mapping[str, Any]) -> None:
    """Write both files; the page is made of what the other one says."""
    told = rounded(facts)
    page = PAGES.get(told["kind"], render)
    write_out(
        out,
        {
            "report.json": msgspec.json.encode(told) + b"\n",
            "report.html": page(told).encode(),
        },
    )


PAGES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "trading": render_trading,
    "study": render_study,
}
"""Kind of report -> what makes its page; those of rules have one page."""


def _tell(options: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    page = options.out / "report.html"
    found = facts["performance"]
    walk = facts.get("walk_forward")
    if options.json:
        summary = {
            "run_id": facts["run_id"],
            "report": str(page),
            "total_return": found["total_return"],
            "sharpe": found["sharpe"]["headline"],
            "drawdown": found["drawdown"],
            "round_trips": found["round_trips"],
            "trials": facts["statistics"]["trials"],
            "passed": facts.get("passed"),
            "out_of_sample_return": walk["total_return"] if walk else None,
        }
        sys.stdout.buffer.write(msgspec.json.encode(rounded(summary)) + b"\n")
        sys.stdout.flush()
        return
    lines = [
        f"{'best in sample' if walk else 'net'} {found['total_return'] * 100:+.2f} %, "
        f"Sharpe {found['sharpe']['headline']:.2f} ({found['sharpe']['why']}), "
        f"drawdown {found['drawdown'] * 100:.1f} %, {counted(found['round_trips'], 'round trip')}"
    ]
    if walk:
        failed = [check["label"] for check in facts["gate"] if not check["passed"]]
        lines += [
            f"out of sample {walk['total_return'] * 100:+.2f} %, Sharpe {walk['sharpe']:.2f}; "
            f"holding {walk['holding_return'] * 100:+.2f} %, Sharpe {walk['holding_sharpe']:.2f}",
            f"may well be luck: {', '.join(failed)}" if failed else "passes every check",
        ]
    lines += [
        f"trials on the ledger: {facts['statistics']['trials']}",
        "from bars: less exact than from order books; the report says what was not modelled",
        f"report: {page}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _tell_trading(options: argparse.Namespace, report: Mapping[str, Any]) -> None:
    page, quote, result = options.out / "report.html", report["headline"], report["result"]
    found = report["performance"].get(quote, {})
    summary = {
        "run_id": report["run_id"],
        "report": str(page),
        "source": report["source"],
        "quote": quote,
        "net": found.get("net"),
        "fees": found.get("fees"),
        "funding": found.get("funding"),
        "drawdown": found.get("drawdown"),
        "opportunities": result["opportunities"],
        "plans": result["plans"]["approved"],
        "fills": report["fill_count"],
        "decisions": result["replay"]["decisions"],
        "hash": result["replay"]["hash"],
        "problems": result["problems"],
    }
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(rounded(summary)) + b"\n")
        sys.stdout.flush()
        return
    net = "unknown" if summary["net"] is None else f"{summary['net']:+,.2f} {quote}"
    funding = found.get("funding", 0.0)
    paid = "unknown" if funding is None else f"{funding:+,.2f}"
    lines = [
        f"net {net} after {found.get('fees', 0.0):,.2f} of fees, {paid} of funding",
        f"{summary['opportunities']:,} opportunities, {summary['plans']:,} plans, "
        f"{summary['fills']:,} fills",
        f"from {report['from']}; the report says what was not modelled",
        f"report: {page}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _tell_study(options: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    page, quote = options.out / "report.html", facts["quote"]
    found, walk, trials = facts["performance"], facts["walk_forward"], facts["statistics"]["trials"]
    net_outside = walk["total_return"] * facts["capital"]
    if options.json:
        summary = {
            "run_id": facts["run_id"],
            "report": str(page),
            "quote": quote,
            "best": facts["best"],
            "net": found["net"],
            "sharpe": found["sharpe"],
            "sharpe_of": facts["sharpe_of"],
            "drawdown": found["drawdown"],
            "round_trips": found["round_trips"],
            "trials": trials,
            "passed": facts["passed"],
            "out_of_sample_net": net_outside,
            "problems": facts["problems"],
        }
        sys.stdout.buffer.write(msgspec.json.encode(rounded(summary)) + b"\n")
        sys.stdout.flush()
        return
    failed = [check["label"] for check in facts["gate"] if not check["passed"]]
    trips = counted(found["round_trips"], "round trip")
    lines = [
        f"best in sample: {params_text(facts['best'])}: {found['net']:+,.2f} {quote}, Sharpe "
        f"{found['sharpe']:.3f} {facts['sharpe_of']}, {trips}",
        f"out of sample {net_outside:+,.2f} {quote}, Sharpe {walk['sharpe']:.3f}, "
        f"{counted(len(walk['folds']), 'fold')}",
        f"may well be luck: {', '.join(failed)}" if failed else "passes every check",
        f"trials on the ledger: {trials}",
        f"from {facts['from']}; the report says what was not modelled",
        f"report: {page}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(" ".join(text.split()) + "\n")


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= JOBS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to {JOBS_MAX}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arb", description="Research on bars.")
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("backtest", "optimize", "example", "trading", "study"):
        command = commands.add_parser(name)
        if name not in {"example", "trading"}:
            command.add_argument("config", type=Path)
        if name in {"backtest", "optimize"}:
            command.add_argument("--data", type=Path, required=True)
        if name == "study":
            command.add_argument("--data", type=Path, required=True, action="append")
        if name == "trading":
            command.add_argument("--facts", type=Path, required=True)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--json", action="store_true")
        if name in {"optimize", "study"}:
            command.add_argument("--jobs", type=_jobs)
    return parser
