"""``python -m services.lab sim | replay``: what ``arb sim`` and ``arb replay`` run."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from services.lab.recorded import survey
from services.lab.replay import Replay
from services.lab.simulate import Outcome, run_seed, summary
from shared.errors import ConfigError
from shared.watch.report import build_report
from shared.watch.usage import Usage

EXIT_VIOLATED, EXIT_USAGE = 1, 2
SEED_MAX = 2**31
PROGRESS_S = 5.0
_NUMBERS = msgspec.json.Encoder(decimal_format="number")
TOLD_MAX = 5
"""Violating seeds whose story is printed."""


def main(arguments: list[str]) -> int:
    """Run what is asked for and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what would be logged is on the bus in memory
    what = {"sim": simulate, "replay": replay}[options.what]
    try:
        return what(options)
    except ConfigError as error:
        _say(f"arb: {error}")
        return EXIT_USAGE


def replay(options: argparse.Namespace) -> int:
    """Play recordings and print the report as JSON.

    Raises:
        ConfigError: A file is missing, damaged or not a recording.
    """
    began_s = time.monotonic()  # tidy-ok: the wall clock is what is measured here
    contents = survey(options.paths)
    length_s = (contents.last_ns - contents.first_ns) / 1e9
    told_s = began_s

    def on_progress(market_s: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s > PROGRESS_S:  # tidy-ok: as above
            told_s = time.monotonic()  # tidy-ok: as above
            _say(f"replaying: {market_s:.0f} of {length_s:.0f} s")

    with _decisions(options.decisions) as decisions:
        run = Replay(contents, decisions)
        ending = run.run(on_progress)
    ending.seconds = time.monotonic() - began_s  # tidy-ok: as above
    usage = Usage(pid=os.getpid(), cpu_s=time.process_time())  # tidy-ok: as above
    report = build_report(run.collector, {"lab": usage}, ending)
    sys.stdout.buffer.write(_NUMBERS.encode(report) + b"\n")
    return EXIT_VIOLATED if ending.problems else 0


@contextmanager
def _decisions(path: Path | None) -> Iterator[BinaryIO | None]:
    """Open the file of decisions.

    Raises:
        ConfigError: It cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise ConfigError(f"--decisions {path}: cannot be written: {error.strerror}") from error
    with file:
        yield file


def simulate(options: argparse.Namespace) -> int:
    """Run seeds, print the story of what was violated and one closing line."""
    try:
        seeds = parse_seeds(options.seeds)
    except ValueError as error:
        _say(f"arb: {error}")
        return EXIT_USAGE
    began_s = time.monotonic()  # tidy-ok: the wall clock is what is measured here
    outcomes = list(_run_all(seeds, options.jobs))
    report = summary(outcomes, time.monotonic() - began_s)  # tidy-ok: as above
    bad = [outcome for outcome in outcomes if outcome.violations]
    for outcome in bad[:TOLD_MAX]:
        _tell(outcome)
    if options.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(closing_line(report, len(bad)) + "\n")
    return EXIT_VIOLATED if bad else 0


def parse_seeds(text: str) -> range:
    """Return the seeds of ``A..B`` (both included) or of one number.

    Raises:
        ValueError: It is neither.
    """
    first, dots, last = text.partition("..")
    try:
        low, high = int(first), int(last if dots else first)
    except ValueError:
        raise ValueError(f"--seeds {text!r}: give A..B, like 1..100, or one seed") from None
    if not 0 <= low <= high <= SEED_MAX:
        raise ValueError(f"--seeds {text!r}: give 0 <= A <= B <= {SEED_MAX}")
    return range(low, high + 1)


def closing_line(report: dict[str, Any], violating: int) -> str:
    """Return what is printed last."""
    verdict = f"{violating} seeds VIOLATED something" if violating else "nothing violated"
    return (
        f"{report['seeds']} seeds, {report['steps']} steps, {report['crashes']} crashes, "
        f"{report['faults']} faults, {report['plans']} plans, {report['fills']} fills: {verdict}; "
        f"{report['virtual_s']} s of virtual time in {report['wall_s']} s; "
        f"hash {report['hash'][:16]}"
    )


def _run_all(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Run every seed, in the order of the seeds, on several processors."""
    if jobs == 1 or len(seeds) == 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        outcomes: Iterable[Outcome] = pool.map(run_seed, seeds, chunksize=4)
        yield from outcomes


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _tell(outcome: Outcome) -> None:
    for line in outcome.story:
        _say(line)
    for violation in outcome.violations:
        _say(f"seed {outcome.seed}: {violation.checker}: {violation.text}")
    _say(f"again: arb sim --seeds {outcome.seed}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arb", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    sim = commands.add_parser("sim", help="the whole system through crashes and faults")
    sim.add_argument("--seeds", default="1..100", metavar="A..B", help="which worlds to run")
    sim.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes beside")
    sim.add_argument("--json", action="store_true", help="one JSON object")
    recording = commands.add_parser("replay", help="recordings through the whole system, as JSON")
    recording.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    recording.add_argument("--decisions", type=Path, metavar="FILE", help="every decision made")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
