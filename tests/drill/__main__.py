"""``python -m tests.drill``: provoke every fault of market data at every simulated venue, and judge
by what the venues' books really were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from shared.errors import ArbError
from shared.venues.registry import EVERY, load_feed
from tests.drill.drill import Wanted, run
from tests.drill.faults import EVERY as FAULTS
from tests.drill.faults import OF_ORDERS
from tests.drill.record import NOT_MET, Record, notes, table

COUNTERPART = ("binance", "kraken")
"""What is read beside a single venue: prices are compared between two."""

PRINTED_MAX = 20


def parse(arguments: list[str]) -> tuple[Wanted, list[str], Path | None]:
    """Return what is asked for, the venues to read, and where the JSON goes."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of market and order of faults (1)")
    parser.add_argument("--rounds", type=int, default=1, help="each fault so often a venue (1)")
    parser.add_argument("--venue", action="append", choices=EVERY, help="only here; repeatable")
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--fault", action="append", choices=names, help="only this; repeatable")
    parser.add_argument("--heal-s", type=float, default=30.0, help="healed within so long (30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    given = parser.parse_args(arguments)
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: a whole number from 1")
    if not given.heal_s > 0:
        parser.error(f"--heal-s {given.heal_s:g}: above 0")
    hurt = tuple(dict.fromkeys(given.venue or EVERY))
    faults = tuple(fault for fault in FAULTS if fault.name in (given.fault or names))
    read = list(hurt)
    if len(read) == 1:
        read.append(COUNTERPART[read[0] == COUNTERPART[0]])
    return Wanted(given.seed, given.rounds, hurt, faults, given.heal_s), read, given.json


def new_record(wanted: Wanted, read: list[str]) -> Record:
    """Return an empty record of a drill that reads these venues."""
    unproved = [name for name in read if not load_feed(name).proof.is_sequenced]
    return Record(wanted.seed, wanted.rounds, wanted.heal_s_max, read, unproved)


def show(record: Record, wanted: Wanted) -> None:
    """Print what was found."""
    print(table(record, wanted.venues, [fault.name for fault in wanted.faults]))
    print(
        "* trusted and wrong meanwhile (UNPROVED books are never priced; their levels are judged)"
    )
    print(f"{NOT_MET}: nothing at that venue that the fault could happen to")
    print(f"of orders, no book meets them: {', '.join(OF_ORDERS)}")
    for note, books in notes(record).items():
        print(f"not noticed: {books} ({note})")
    views = ", ".join(f"{count} {name}" for name, count in sorted(record.views.items()))
    print(f"{record.opportunities} opportunities of {record.legs} legs; views: {views}")
    print(f"{record.seconds:.0f} s, seed {record.seed}, {record.rounds} rounds")
    print_some("while the venue itself told a wrong quantity", record.lied_to)
    print_some("PROBLEM", record.problems)
    if not record.problems:
        print("no opportunity was priced from a wrong book; every book that could notice healed")


def print_some(what: str, lines: list[str]) -> None:
    """Print the first lines, and how many more there are."""
    for line in lines[:PRINTED_MAX]:
        print(f"{what}: {line}")
    if len(lines) > PRINTED_MAX:
        print(f"{what}: {len(lines) - PRINTED_MAX} more (--json FILE has them)")


def main() -> int:
    wanted, read, file = parse(sys.argv[1:])
    record = new_record(wanted, read)
    try:
        asyncio.run(run(wanted, record, lambda line: print(line, file=sys.stderr, flush=True)))
    except ArbError as error:
        print(f"drill: {error}", file=sys.stderr)
        return 2
    if file is not None:
        file.write_text(json.dumps(record.as_json(), indent=1))
    show(record, wanted)
    return 1 if record.problems else 0


if __name__ == "__main__":
    sys.exit(main())
