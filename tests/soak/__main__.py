"""``python -m tests.soak``: run the whole system for hours and report; or report again."""

from __future__ import annotations

import argparse
import asyncio
import math
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import ArbError
from tests.bench.__main__ import machine
from tests.soak.checks import well
from tests.soak.record import SCHEMA, Record, RecordError, read
from tests.soak.report import markdown
from tests.soak.schedule import interval_s
from tests.support import why_no_browser

SAMPLES_WANTED = 60
SAMPLE_S_MIN, SAMPLE_S_MAX = 2.0, 60.0


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hours", type=float, help="of trading (24)")
    length.add_argument("--seconds", type=float, help="of trading, for short runs")
    length.add_argument("--report", type=Path, metavar="FILE", help="write soak.md of a soak.json")
    parser.add_argument("--out", type=Path, default=Path(".arb/soak"), help="folder (.arb/soak)")
    parser.add_argument("--seed", type=int, default=7, help="of market and faults (7)")
    parser.add_argument("--tabs", type=int, default=5, help="of the dashboard; 0: no browser (5)")
    parser.add_argument("--sample-every-s", type=float, help="at most 60, less in short runs")
    parser.add_argument("--fault-every-s", type=float, help="an hour, less in short runs")
    parser.add_argument("--note", action="append", default=[], help="to stand in the report")
    options = parser.parse_args(given)
    try:
        if options.report is not None:
            return _report(read(options.report), options.report.with_suffix(".md"))
        return _run(options, parser)
    except (RecordError, ArbError, OSError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2


def _report(record: Record, path: Path) -> int:
    path.write_text(markdown(record), encoding="utf-8")
    print(path)
    return 0 if well(record) else 1


def _run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from tests.soak.soak import Soak, Wanted

    seconds = options.seconds or 3_600 * (24.0 if options.hours is None else options.hours)
    if not (math.isfinite(seconds) and seconds >= 10):
        parser.error("--hours, --seconds: at least ten seconds of trading")
    sample_s = options.sample_every_s or min(
        SAMPLE_S_MAX, max(SAMPLE_S_MIN, seconds / SAMPLES_WANTED)
    )
    if options.tabs and (why := why_no_browser()):
        parser.error(f"--tabs {options.tabs}: {why}; or give --tabs 0")
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(
        seconds=seconds,
        sample_every_s=sample_s,
        fault_every_s=options.fault_every_s or interval_s(seconds),
        seed=options.seed,
        tabs=options.tabs,
        out=out,
    )
    on = machine()
    record = Record(
        schema=SCHEMA,
        machine=on,
        command=f"python -m tests.soak {shlex.join(sys.argv[1:])}",
        commit=str(on.pop("commit")),
        started=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        seconds_planned=seconds,
        seed=options.seed,
        notes=options.note,
    )
    soak = Soak(wanted, record, lambda line: print(line, file=sys.stderr, flush=True))
    return _report(asyncio.run(soak.go()), out / "soak.md")


if __name__ == "__main__":
    sys.exit(main())
