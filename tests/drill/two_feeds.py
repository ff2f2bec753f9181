"""``python -m tests.drill.two_feeds``: kill either ingestor of venues that two follow, at random,
and judge every view by what the venues' books really were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services.cli.stack import INGESTOR, SECOND_INGESTOR
from services.orderbook.snapshot_range import OUTSIDE
from shared.clock import SystemClock
from shared.errors import ArbError
from shared.messages.base import BookState, FeedName
from shared.two_feeds import TWO_FEEDS
from shared.venues.registry import EVERY, load_feed
from tests.drill.drill import FIRST_WELL_S, NS, Drill, Wanted, describe, running
from tests.drill.judge import Look, Verdict
from tests.drill.record import Record

ABLE = tuple(name for name in EVERY if load_feed(name).proof.numbers_of_book)
"""Venues that two ingestors can follow."""
SECONDS = 600.0
WELL_S = 60.0
"""A killed ingestor must be followed again within this time."""
PAUSE_S = (0.5, 3.0)
"""From the moment that both feeds are well to the next kill."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
PRINTED_MAX = 20


@dataclass(slots=True)
class Found:
    """What the drill found; it is good without problems."""

    seed: int
    venues: tuple[str, ...]
    kills: list[str] = field(default_factory=list)
    """Which ingestor got which signal, in this order."""
    views: dict[str, int] = field(default_factory=dict)
    not_live: dict[str, int] = field(default_factory=dict)
    """Views after the first kill that were not LIVE, by state and reason."""
    not_live_s_max: float = 0.0
    """The longest time from one LIVE view of a book to the next."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Watch:
    """Looks through the judged views of each book. None may be wrong, or too old, or not LIVE.

    A view may be STALE for as long as ``orderbook.stale_after_ms`` (a busy machine reads late), and
    so may be a price that left the levels of its snapshot: one feed does not mend that either.
    """

    def __init__(self, drill: Drill, found: Found) -> None:
        self._drill, self._found = drill, found
        now_ns = SystemClock.now_ns()
        self._seen_ns = dict.fromkeys(drill.judge.looks, now_ns)
        self._live_ns = dict.fromkeys(drill.judge.looks, now_ns)
        self._limit_ns = drill.config.orderbook.stale_after_ms * 1_000_000

    def look(self) -> None:
        """Judge what came since the last look."""
        for key, looks in self._drill.judge.looks.items():
            for each in [look for look in looks if look.ts_ns > self._seen_ns[key]]:
                self._seen_ns[key] = each.ts_ns
                silent_ns = each.ts_ns - self._live_ns[key]
                self._found.not_live_s_max = max(self._found.not_live_s_max, silent_ns / NS)
                if each.state is BookState.LIVE:
                    self._live_ns[key] = each.ts_ns
                    if each.verdict is not Verdict.RIGHT:
                        self._problem(key, each, "")
                else:
                    short = f"{each.state}: {each.reason}"
                    self._found.not_live[short] = self._found.not_live.get(short, 0) + 1
                    if each.state is not BookState.STALE and not each.reason.startswith(OUTSIDE):
                        self._problem(key, each, "")
                if silent_ns > self._limit_ns:
                    self._problem(key, each, f"not LIVE for {silent_ns / NS:.1f} s: ")

    def _problem(self, key: tuple[str, str], look: Look, what: str) -> None:
        after = self._found.kills[-1] if self._found.kills else "nothing"
        text = f"{look.ts_ns} {' '.join(key)}: {what}{describe(look)} (after {after})"
        self._found.problems.append(text)


async def both_well(
    drill: Drill, within_s: float, watch: Watch | None = None, ended: tuple[str, ...] = ()
) -> str:
    """Wait until every book is LIVE and right of both feeds; return what was not in time.

    ``ended`` are ingestors, as statuses name them, that run no more: others must have followed.
    """
    until = time.monotonic() + within_s
    wanted = [
        (name, instrument)
        for name, venue in drill.config.venues.items()
        for instrument in venue.instruments
    ]
    while True:
        await drill.look_again()
        if watch is not None:
            watch.look()
        ill = [why for key in wanted if (why := _ill(drill, key, ended))]
        if not ill:
            return ""
        if time.monotonic() > until:
            return "; ".join(ill[:3])


def _ill(drill: Drill, key: tuple[str, str], ended: tuple[str, ...]) -> str:
    name = " ".join(key)
    for feed in TWO_FEEDS:
        told = drill.statuses.get((*key, feed))
        if told is None or not told.state.is_followed or told.source in ended:
            return f"{name}: feed {feed} does not follow it"
    looks = drill.judge.looks.get(key)
    if not looks:
        return f"{name}: no view"
    # A LIVE view of two feeds has a reason while one of them is not well.
    is_well = looks[-1].verdict is Verdict.RIGHT and not looks[-1].reason
    return "" if is_well else f"{name}: {describe(looks[-1])}"


async def run(seconds: float, seed: int, venues: tuple[str, ...], found: Found) -> None:
    """Run the drill; what it finds is in ``found``."""
    began = time.monotonic()
    chance = random.Random(f"{seed}/kills")
    wanted = Wanted(seed, 0, (), (), two_feeds=venues)
    record = Record(seed, 0, WELL_S, list(venues), [])
    async with running(wanted, record, _tell) as drill:
        if why := await both_well(drill, FIRST_WELL_S):
            found.problems.append(f"never well: {why}")
        else:
            watch = Watch(drill, found)
            until = time.monotonic() + seconds
            while time.monotonic() < until and not found.problems:
                await asyncio.sleep(chance.uniform(*PAUSE_S))
                ended = _kill(drill, chance, found)
                if why := await both_well(drill, WELL_S, watch, ended):
                    found.problems.append(f"not well {WELL_S:g} s after {found.kills[-1]}: {why}")
            watch.look()
        found.views = dict(drill.judge.counts.views)
        if drill.judge.truth.lost:
            found.problems.append("some of the venues' states were not read in time to judge by")
        record.problems += found.problems  # its logs are kept then
    if len(found.kills) < 2:
        found.problems.append("fewer than two ingestors were killed: nothing is proved")
    found.seconds = round(time.monotonic() - began, 1)


def _kill(drill: Drill, chance: random.Random, found: Found) -> tuple[str, ...]:
    """Kill an ingestor; return its names in statuses."""
    # The second kill is of the other one: a short run on a slow machine has no more than two.
    last = found.kills[0].split()[0] if len(found.kills) == 1 else ""
    name = chance.choice([each for each in (INGESTOR, SECOND_INGESTOR) if each != last])
    number = chance.choice(SIGNALS)
    pid = drill.stack.supervisor.usage()[name].pid
    assert pid is not None, "it runs"
    found.kills.append(f"{name} {number.name}")
    _tell(f"{len(found.kills)}: {found.kills[-1]}")
    os.kill(pid, number)
    feed = FeedName.A if name == INGESTOR else FeedName.B
    return tuple({told.source for key, told in drill.statuses.items() if key[2] == feed})


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drill.two_feeds", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"({SECONDS:g})")
    parser.add_argument("--seed", type=int, default=1, help="of market and kills (1)")
    parser.add_argument("--venue", action="append", choices=ABLE, help="only these; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there")
    given = parser.parse_args()
    if not given.seconds > 0:
        parser.error(f"--seconds {given.seconds:g}: above 0")
    venues = tuple(dict.fromkeys(given.venue or ABLE))
    found = Found(given.seed, venues)
    try:
        asyncio.run(run(given.seconds, given.seed, venues, found))
    except ArbError as error:
        print(f"drill: {error}", file=sys.stderr)
        return 2
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(found), indent=1))
    for problem in found.problems[:PRINTED_MAX]:
        print(f"PROBLEM: {problem}")
    views = ", ".join(f"{count} {name}" for name, count in sorted(found.views.items()))
    print(f"{len(found.kills)} kills in {found.seconds:.0f} s; views since the start: {views}")
    print(
        f"the longest time from one LIVE view of a book to the next: {found.not_live_s_max:.2f} s"
    )
    for what, count in sorted(found.not_live.items()):
        print(f"not LIVE meanwhile: {count} views {what}")
    if not found.problems:
        print("no gap, and no view was wrong or older than orderbook.stale_after_ms")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
