"""``python -m services.lab sim --seeds A..B``: many worlds, and what was violated in them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from services.lab.simulate import Outcome, run_seed, summary

EXIT_VIOLATED, EXIT_USAGE = 1, 2
SEED_MAX = 2**31
TOLD_MAX = 5
"""Violating seeds whose story is printed."""


def main(arguments: list[str]) -> int:
    """Run, print the story of what was violated and one closing line; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        seeds = parse_seeds(options.seeds)
    except ValueError as error:
        _say(f"arb: {error}")
        return EXIT_USAGE
    logging.disable(logging.CRITICAL)  # worlds have thousands of alerts; the checkers judge them
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
    parser = argparse.ArgumentParser(prog="arb sim", description=__doc__)
    parser.add_argument("what", choices=["sim"])
    parser.add_argument("--seeds", default="1..100", metavar="A..B", help="which worlds to run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes beside")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
