"""`study`: the parameter sets of a configuration, each a backtest, for research to judge.

Research starts this program and exchanges JSON objects with it, one a line. First the program
writes which sets there are, and the span of the data. Research answers with the period of its
returns, or closes the pipe where it cannot judge them. Then the program writes the result of every
set, in their order.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any, NamedTuple

import msgspec

from services.lab.backtest import configured
from services.lab.backtest_data import fitted, load_data
from services.lab.backtest_facts import identity_of, not_modelled
from services.lab.backtest_terms import BacktestConfig, check_terms
from services.lab.pool import run_all
from services.lab.recorded import Contents
from services.lab.study import StudyRun, instants_of, result_of
from services.lab.study_terms import OF_RESEARCH, Grid, StudyConfig, grid_of, quote_of
from services.lab.tables import Tables
from shared.config import load_with_section
from shared.config_sections import Config

EXIT_BROKEN_OFF, EXIT_INTERRUPTED = 1, 130
GC_THRESHOLDS = 50_000, 20, 100
PERIOD_S_MAX = 366 * 86_400
_NUMBERS = msgspec.json.Encoder(decimal_format="number")


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What research answers."""

    period_s: Annotated[int, msgspec.Meta(ge=1, le=PERIOD_S_MAX)]


class Prepared(NamedTuple):
    """A study that can be run: its data, and its sets."""

    contents: Contents | Tables
    data: list[dict[str, Any]]
    config: Config
    terms: BacktestConfig
    grid: Grid
    quote: str

    def make(self, number: int, period_s: int) -> StudyRun:
        """Return a set's run."""
        instants = instants_of(self.contents.first_ns, self.contents.last_ns, period_s)
        config = self.grid.config(self.config, number)
        return StudyRun(self.contents, config, self.terms, instants=instants, quote=self.quote)


@cache
def prepare(path: Path, paths: tuple[Path, ...]) -> Prepared:
    """Read a configuration and its data, once in a process.

    Raises:
        ConfigError: One of them is not right.
    """
    where, others = str(path), ("study", "backtest", *OF_RESEARCH)
    _, study = load_with_section(where, "study", StudyConfig, passed_over=others)
    config, terms = load_with_section(where, "backtest", BacktestConfig, passed_over=others)
    grid = grid_of(config, study, where)
    contents, data = load_data(paths, config, terms)
    config = configured(fitted(config, contents), contents, where)
    check_terms(terms, list(config.venues), where)
    quote = quote_of(study, list(contents.rules), where)
    return Prepared(contents, data, config, terms, grid, quote)


def study(options: argparse.Namespace) -> int:
    """Write what there is to run, and run it once research asks for it.

    Raises:
        ConfigError: The configuration or the data are not right.
        ArbError: A process ended before its set did.
    """
    path, paths = options.config, tuple(options.paths)
    prepared = prepare(path, paths)
    _say(_NUMBERS.encode(plan_of(prepared)))
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # research has closed the pipe
    asked = msgspec.json.decode(line, type=Asked)
    is_over = Event()
    Thread(target=_end_with_the_asker, args=(is_over,), daemon=True).start()
    gc.freeze()  # what is there by now stays to the end
    sets = range(len(prepared.grid.sets))
    run = partial(run_set, path, paths, asked.period_s)
    jobs = min(options.jobs, len(sets))
    try:
        with closing(run_all(run, sets, jobs, at_once=1, again=None)) as results:
            for number, result in enumerate(results):
                if number == sets[-1]:
                    is_over.set()
                _say(result)
    except BrokenPipeError:
        return EXIT_BROKEN_OFF
    return 0


def run_set(path: Path, paths: tuple[Path, ...], period_s: int, number: int) -> bytes:
    """Run one set to its end and return what it came to, as JSON.

    Raises:
        ConfigError: The data are not whole, where holes are refused.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    prepared = prepare(path, paths)
    run = prepared.make(number, period_s)
    ended = run.run()
    if prepared.terms.holes == "refuse":
        run.refuse_holes()
    found = _NUMBERS.encode(result_of(run, ended, number, prepared.quote))
    del run, ended
    gc.collect()  # a run is cycles, and the next one needs the room
    return found


def plan_of(prepared: Prepared) -> dict[str, Any]:
    """Return what there is to run."""
    contents, grid, terms = prepared.contents, prepared.grid, prepared.terms
    first = prepared.make(0, PERIOD_S_MAX)
    source = contents.source if isinstance(contents, Tables) else "recording"
    identity = identity_of(first, terms, prepared.data)
    identity["config"]["strategies"] = [
        each for each in identity["config"]["strategies"] if each["id"] != grid.sets[0].strategy.id
    ]
    del identity["strategies"][grid.sets[0].strategy.id]
    return {
        "strategy": grid.sets[0].strategy.id,
        "detector": grid.detector,
        "sets": [
            {
                "values": each.values,
                "strategy_hash": each.strategy_hash,
                "horizon_ms": each.horizon_ms,
                "warmup_ms": each.warmup_ms,
            }
            for each in grid.sets
        ],
        "left_out": grid.left_out,
        "why": grid.why,
        "quote": prepared.quote,
        "first_ns": contents.first_ns,
        "last_ns": contents.last_ns,
        "source": source,
        "fees_bps": {
            f"{venue}|{name}": tiers[0][1] if (tiers := terms.of(venue).fee_tiers) else fee
            for (venue, name), rules in sorted(contents.rules.items())
            for fee in (rules.taker_fee_bps,)
        },
        "identity": identity,
        "not_modelled": not_modelled(first, terms, source),
    }


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _end_with_the_asker(is_over: Event) -> None:
    """End at once when research has ended: nobody reads the results.

    It reads without a lock: processes that are started meanwhile would wait for it.
    """
    while os.read(sys.stdin.fileno(), 1):
        pass
    if not is_over.is_set():
        os._exit(EXIT_INTERRUPTED)
