"""`sim | replay | backtest | study | calibrate`: what these commands of ``arb`` run."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from services.lab.backtest import Backtest, configured
from services.lab.backtest_data import fitted, load_data
from services.lab.backtest_facts import facts_of
from services.lab.backtest_terms import BacktestConfig, check_terms
from services.lab.calibrate import Compared, compare
from services.lab.calibrate_facts import facts_of as calibration_of
from services.lab.kinds import Kind
from services.lab.output import OutputFile, write_out
from services.lab.pool import run_all
from services.lab.recorded import survey
from services.lab.replay import Replay, config_of
from services.lab.simulate import Outcome, broken_off, run_seed, summary
from services.lab.study_command import study
from services.lab.study_terms import OF_RESEARCH
from services.lab.trace import Trace
from services.lab.wired import WiredWorld
from services.lab.world import World
from shared.config import load_config, load_strategies_of, load_with_section
from shared.config_sections import Config
from shared.errors import ArbError, ConfigError
from shared.watch.report import build_report
from shared.watch.usage import Usage
from shared.wording import counted

EXIT_VIOLATED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
SEED_MAX = 2**31
JOBS_MAX = 256
_SEEDS = re.compile(r"(\d{1,10})(?:\.\.(\d{1,10}))?", re.ASCII)
PROGRESS_S = 5.0
_NUMBERS = msgspec.json.Encoder(decimal_format="number")
GC_THRESHOLDS = 50_000, 20, 100
CALIBRATION_SEEDS_MAX = 1_000
DRAWN = "drawn"
STRATEGIES: dict[str, Kind | None] = {DRAWN: None, "all": Kind.ALL}
"""Which strategies the worlds of a run have, and so of what kind every world is."""
TOLD_MAX = 5
"""Violating seeds whose story is printed."""


def main(arguments: list[str]) -> int:
    """Run what is asked for and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what would be logged is on the bus in memory
    try:
        return WHAT[options.what](options)
    except ConfigError as error:
        _print_error(f"arb: {error}")
        return EXIT_USAGE
    except ArbError as error:
        _print_error(f"arb: {error}")
        return EXIT_VIOLATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def replay(options: argparse.Namespace) -> int:
    """Play recordings and print the report as JSON.

    Raises:
        ConfigError: A file is missing, damaged or not a recording.
    """
    began_s = time.monotonic()  # tidy-ok: the wall clock is what is measured here
    strategies = load_strategies_of(options.strategies) if options.strategies is not None else []
    contents = survey(options.paths)
    config_of(contents, strategies)  # before the file of decisions is emptied for nothing
    length_s = (contents.last_ns - contents.first_ns) / 1e9
    progress = Progress("replaying", length_s)
    with _decisions(options.decisions, options.paths) as decisions:
        run = Replay(contents, decisions, strategies)
        ending = run.run(progress.tell)
    ending.seconds = time.monotonic() - began_s  # tidy-ok: as above
    usage = Usage(pid=os.getpid(), cpu_s=time.process_time())  # tidy-ok: as above
    report = build_report(run.collector, {"lab": usage}, ending)
    write_out(_NUMBERS.encode(report) + b"\n")
    return EXIT_VIOLATED if ending.problems else 0


def backtest(options: argparse.Namespace) -> int:
    """Trade recordings, and write the facts of the report.

    Raises:
        ConfigError: The configuration or a file is not right.
    """
    passed_over = "study", *OF_RESEARCH
    config, terms = load_with_section(
        str(options.config), "backtest", BacktestConfig, passed_over=passed_over
    )
    contents, data = load_data(options.paths, config, terms)
    config = configured(fitted(config, contents), contents, str(options.config))
    check_terms(terms, list(config.venues), str(options.config))
    length_s = (contents.last_ns - contents.first_ns) / 1e9
    progress = Progress("backtest", length_s)
    gc.freeze()  # what is there by now stays to the end, and little of what comes is in cycles
    gc.set_threshold(*GC_THRESHOLDS)
    with _decisions(options.decisions, options.paths) as decisions:
        run = Backtest(contents, config, terms, decisions)
        ending = run.run(progress.tell)
    if terms.holes == "refuse":
        run.refuse_holes()
    facts = facts_of(run, ending, terms, data)
    options.facts.write_bytes(_NUMBERS.encode(facts) + b"\n")
    for problem in ending.problems:
        _print_error(f"arb: {problem}")
    return EXIT_VIOLATED if ending.problems else 0


def calibrate(options: argparse.Namespace) -> int:
    """Send the orders of seeds to paper and to simulated venues, and print what differs as JSON.

    Raises:
        ConfigError: No seeds, or too many, or the configuration is not right.
    """
    seeds = parse_seeds(options.seeds)
    if len(seeds) > CALIBRATION_SEEDS_MAX:
        raise ConfigError(f"--seeds {options.seeds}: give at most {CALIBRATION_SEEDS_MAX} seeds")
    config = Config() if options.config is None else load_config(options.config, {})
    progress, found = Progress("calibrating", len(seeds), "seeds"), list[Compared]()
    for done, seed in enumerate(seeds):
        progress.tell(done)
        found += compare(seed, config)
    write_out(msgspec.json.encode(calibration_of(seeds, found, config)) + b"\n")
    return 0


class Progress:
    """Tells on standard error how far a run is, every few seconds."""

    def __init__(self, doing: str, length: float, unit: str = "s") -> None:
        self._doing, self._length, self._unit = doing, length, unit
        self._told_s = time.monotonic()  # tidy-ok: the wall clock is what is measured here

    def tell(self, done: float) -> None:
        """Take in how much is done, as of a recording its market seconds."""
        now_s = time.monotonic()  # tidy-ok: as above
        if now_s - self._told_s > PROGRESS_S:
            self._told_s = now_s
            _print_error(f"{self._doing}: {done:.0f} of {self._length:.0f} {self._unit}")


@contextmanager
def _decisions(path: Path | None, recordings: Sequence[Path]) -> Iterator[OutputFile | None]:
    """Open the file of decisions.

    Raises:
        ConfigError: It cannot be written, or is one of the recordings.
    """
    if path is None:
        yield None
        return
    for recording in recordings:
        if path.exists() and path.samefile(recording):  # opening it would empty the recording
            raise ConfigError(
                f"--decisions {path}: is the recording {recording}; give another file"
            )
    with closing(OutputFile("--decisions", path)) as file:
        yield file


def simulate(options: argparse.Namespace) -> int:
    """Run seeds, print the story of what was violated and one closing line."""
    seeds, jobs = parse_seeds(options.seeds), parse_jobs(options.jobs)
    kind = parse_strategies(options.strategies)
    if kind is not None and options.wire:
        raise ConfigError("--strategies all: not with --wire, which has markets of pairs alone")
    if options.trace is not None and len(seeds) > 1:
        raise ConfigError(f"--trace: tells of one world; give one seed, not {options.seeds}")
    if options.wire:
        WiredWorld(seeds[0], options.wire)  # says now what is wrong with it
    began_s = time.monotonic()  # tidy-ok: the wall clock is what is measured here
    outcomes, bad = [], 0
    with ExitStack() as opened:
        trace = None
        if options.trace is not None:
            trace = opened.enter_context(closing(OutputFile("--trace", options.trace)))
        run = partial(_run_one, options.wire, kind, trace)
        running = opened.enter_context(closing(run_all(run, seeds, min(jobs, len(seeds)))))
        for outcome in running:
            outcomes.append(outcome)
            bad += bool(outcome.violations)
            if outcome.violations and bad <= TOLD_MAX:  # at once: the others may take long
                _print_story(outcome, options)
    report = summary(outcomes, time.monotonic() - began_s)  # tidy-ok: as above
    shown = msgspec.json.encode(report) if options.json else closing_line(report, bad).encode()
    write_out(shown + b"\n")
    return EXIT_VIOLATED if bad else 0


def parse_seeds(text: str) -> range:
    """Return the seeds of ``A..B`` (both included) or of one number.

    Raises:
        ConfigError: It is neither.
    """
    found = _SEEDS.fullmatch(text)
    if found is None:
        raise ConfigError(f"--seeds {text!r}: give A..B, like 1..100, or one seed")
    low, high = int(found[1]), int(found[2] or found[1])
    if not low <= high <= SEED_MAX:
        raise ConfigError(f"--seeds {text!r}: give 0 <= A <= B <= {SEED_MAX}")
    return range(low, high + 1)


def parse_jobs(text: str) -> int:
    """Return the number of processes.

    Raises:
        ConfigError: It is not 1 to ``JOBS_MAX``.
    """
    jobs = int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else 0
    if not 1 <= jobs <= JOBS_MAX:
        raise ConfigError(f"--jobs {text!r}: give a number of processes, 1 to {JOBS_MAX}")
    return jobs


def parse_strategies(text: str) -> Kind | None:
    """Return the kind of every world; ``None``: each seed draws its own.

    Raises:
        ConfigError: It is neither ``drawn`` nor ``all``.
    """
    if text not in STRATEGIES:
        raise ConfigError(f"--strategies {text!r}: give one of {', '.join(STRATEGIES)}")
    return STRATEGIES[text]


def closing_line(report: dict[str, Any], violating: int) -> str:
    """Return what is printed last."""
    verdict = (
        f"{counted(violating, 'seed')} VIOLATED something" if violating else "nothing violated"
    )
    return (
        f"{counted(report['seeds'], 'seed')}, {counted(report['steps'], 'step')}, "
        f"{counted(report['crashes'], 'crash', 'crashes')}, {counted(report['faults'], 'fault')}, "
        f"{counted(report['plans'], 'plan')}, {counted(report['fills'], 'fill')}: {verdict}; "
        f"{report['virtual_s']} s of virtual time in {report['wall_s']} s; "
        f"hash {report['hash'][:16]}"
    )


def _run_one(wire: str, kind: Kind | None, trace: OutputFile | None, seed: int) -> Outcome:
    """Run a seed without collecting garbage meanwhile: a world is small, and ends as a whole."""
    gc.collect()
    gc.freeze()  # what is left, modules mostly, is not looked through after every seed
    gc.disable()
    try:
        world = WiredWorld(seed, wire) if wire else World(seed, kind)
        if trace is not None:
            Trace(world, trace.write)
        try:
            return run_seed(seed, world)
        except Exception as error:  # noqa: BLE001  # tidy-ok: of whatever it is, it is told as such
            return broken_off(seed, world, error)
    finally:
        gc.enable()


WHAT: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "sim": simulate,
    "replay": replay,
    "backtest": backtest,
    "study": study,
    "calibrate": calibrate,
}


def _print_error(text: str) -> None:
    sys.stderr.write(text + "\n")


def _print_story(outcome: Outcome, options: argparse.Namespace) -> None:
    for line in outcome.story:
        _print_error(line)
    for violation in outcome.violations:
        _print_error(f"seed {outcome.seed}: {violation.checker}: {violation.text}")
    again = f"arb sim --seeds {outcome.seed}"
    if options.strategies != DRAWN:
        again += f" --strategies {options.strategies}"
    if options.wire:
        again += f" --wire {options.wire}"
    _print_error(f"again: {again}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arb", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    sim = commands.add_parser("sim", help="the whole system through crashes and faults")
    sim.add_argument("--seeds", default="1..100", metavar="A..B", help="which worlds to run")
    sim.add_argument("--jobs", default=str(min(os.cpu_count() or 1, JOBS_MAX)), help="processes")
    sim.add_argument(
        "--strategies", default=DRAWN, metavar="WHICH", help="drawn by the seed, or all in each"
    )
    sim.add_argument(
        "--wire",
        default="",
        metavar="VENUE",
        help="one venue of the world speaks its real protocol",
    )
    sim.add_argument("--trace", type=Path, metavar="FILE", help="all that happens in one world")
    sim.add_argument("--json", action="store_true", help="one JSON object")
    recording = commands.add_parser("replay", help="recordings through the whole system, as JSON")
    recording.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    recording.add_argument("--decisions", type=Path, metavar="FILE", help="every decision made")
    recording.add_argument("--strategies", metavar="FILE", help="run the [[strategies]] of it")
    trading = commands.add_parser("backtest", help="recordings traded under chosen terms")
    trading.add_argument("config", type=Path)
    trading.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    trading.add_argument("--facts", type=Path, required=True, help="where the facts go")
    trading.add_argument("--decisions", type=Path, metavar="FILE", help="every decision made")
    searched = commands.add_parser("study", help="the sets of a study, for research to judge")
    searched.add_argument("config", type=Path)
    searched.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    searched.add_argument("--jobs", type=int, default=1, help="processes")
    both = commands.add_parser("calibrate", help="paper against simulated venues, as JSON")
    both.add_argument("--seeds", default="1..10", metavar="A..B", help="which markets to run")
    both.add_argument("--config", metavar="FILE", help="its [paper] and [executor]")
    return parser
