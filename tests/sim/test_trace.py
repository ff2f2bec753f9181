"""The account of one world: it tells what happened, in order, and changes nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from itertools import count, islice, pairwise
from pathlib import Path

import pytest

from services.lab.kinds import Kind, kind_of
from services.lab.simulate import Outcome, run_seed
from services.lab.trace import Trace
from services.lab.world import World

WORLDS_MAX = 60
"""So many worlds that pay funding are tried, for one in which everything happens."""
AT = r"[-+]?\d[\d.E-]* [A-Z]+/[A-Z]+(:[A-Z]+)? at \w+"
ASKED = rf"(buy|sell) {AT}, limit \d[\d.]* (IOC|FOK|GTC|PO)"
KINDS = {
    "plan": rf"\w+ (approved: \w+ (INSTANT|OPEN|CLOSE) .*: {ASKED}.*|ended [A-Z]+: realized .*)",
    "denied": r"\w+: [A-Z_]+ .*",
    "request": rf"(submit \w+: {ASKED}( reduce-only)?|cancel \w+ at \w+)",
    "answer": r"(submit|query|stream|open orders|fills|positions|Fetch\w+|CheckAccount): .*",
    "venue": r"\w+: \w+ (NEW|CANCELED|EXPIRED|TRADE \d+: (buy|sell) .* at .*, fee .*)",
    "order": rf"\w+ [A-Z_]+ (leg|hedge|unwind|flatten): {ASKED}.*",
    "fill": r"\w+: \d+ of \S+: (buy|sell) [\d.]+ \S+ at [\d.]+, fee .* \w+, plan \S+ of .*",
    "round": r"\S+\|\S+ [A-Z]+: holds .*, unhedged -?[\d.]+(,.*)?",
    "funding": r"\w+: \S+ \d+ -?[\d.]+ \w+",
    "trading": r"(ACTIVE|REDUCING|HALTED)(: .*)?",
    "executor": r"(ready|not ready: .*)(; .*)?",
    "alert": r"\w+ (info|warning|critical) [A-Z_]+: .*",
    "command": r"(HALT|REDUCE|RESUME|FLATTEN) of lab, .*",
    "book": r"\w+ \S+ is [A-Z]+",
    "world": r".*",
}


@cache
def traced() -> tuple[World, Outcome, list[str]]:
    for seed in islice((seed for seed in count(1) if kind_of(seed) is Kind.CARRY), WORLDS_MAX):
        world = World(seed)
        lines: list[bytes] = []
        Trace(world, lines.append)
        outcome = run_seed(seed, world)
        told = [line.decode() for line in lines]
        if {kind_in(line) for line in told} >= set(KINDS):
            return world, outcome, told
    pytest.fail(f"in {WORLDS_MAX} worlds not all of these happened: {', '.join(KINDS)}")


def kind_in(line: str) -> str:
    return line[16:25].strip()


def of_kind(name: str) -> list[str]:
    return [line[26:].strip() for line in traced()[2] if kind_in(line) == name]


def test_a_world_is_the_same_whether_it_is_traced_or_not() -> None:
    world, outcome, _ = traced()
    plain = run_seed(world.seed)
    assert (outcome.digest, outcome.steps) == (plain.digest, plain.steps)


def test_every_line_has_its_time_and_kind_and_times_never_fall() -> None:
    lines = traced()[2]
    assert all(re.fullmatch(r" *\d+\.\d{6} s  \w+ +\S.*\n", line) for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)


def test_all_that_went_wrong_and_every_fill_of_the_venues_is_there() -> None:
    world, _, _ = traced()
    assert of_kind("world") == [text for _, text in world.story]
    fills = [
        f"{venue}: {fill.client_id or fill.order_id} TRADE {fill.trade_id}: {fill.side} {fill.qty} "
        f"{fill.listing.instrument} at {fill.price}, fee {fill.fee} {fill.fee_asset}"
        for venue, exchange in world.exchanges.items()
        for fill in exchange.fills
    ]
    assert sorted(fills) == sorted(text for text in of_kind("venue") if " TRADE " in text)


def test_plans_are_told_with_their_legs_and_their_end() -> None:
    world, _, _ = traced()
    told = of_kind("plan")
    for plan in world.checkers.plans.values():
        (line,) = (text for text in told if text.startswith(f"{plan.plan_id} approved: "))
        for leg in plan.legs:
            assert f"{leg.side} {leg.qty} {leg.instrument} at {leg.venue}" in line
    for done in world.checkers.done.values():
        assert any(text.startswith(f"{done.plan_id} ended {done.outcome}: ") for text in told)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_line_says_who_and_what(kind: str) -> None:
    told = of_kind(kind)
    assert told
    for line in told:
        assert re.fullmatch(KINDS[kind], line), line


def test_there_is_no_other_kind_of_line() -> None:
    assert {kind_in(line) for line in traced()[2]} == set(KINDS)


def test_what_is_repeated_every_second_is_told_when_it_changes() -> None:
    for kind in ("round", "trading", "executor"):
        told = of_kind(kind)
        subjects = {text.split()[0] if kind == "round" else kind for text in told}
        for subject in subjects:
            of_it = [text for text in told if kind != "round" or text.split()[0] == subject]
            assert all(one != other for one, other in pairwise(of_it))


def test_a_violation_is_told_when_a_checker_says_it_and_on_one_line() -> None:
    world = World(3)
    lines: list[bytes] = []
    Trace(world, lines.append)
    for _ in range(2):
        world.checkers.report("example", "must not\nbe")
    assert lines == [b"    0.000000 s  VIOLATED  example: must not\\nbe\n"]


def arb(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "sim", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_writes_the_trace_of_one_seed(tmp_path: Path) -> None:
    out = tmp_path / "trace"
    code, said, errors = arb("--seeds", str(traced()[0].seed), "--trace", str(out))
    assert (code, said.count("\n"), errors) == (0, 1, "")
    assert out.read_text().splitlines(keepends=True) == traced()[2]


def test_more_seeds_than_one_are_refused_and_the_file_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "trace"
    out.write_text("of before")
    assert arb("--seeds", "1..2", "--trace", str(out)) == (
        2,
        "",
        "arb: --trace: tells of one world; give one seed, not 1..2\n",
    )
    assert out.read_text() == "of before"


@pytest.mark.parametrize(
    ("path", "code", "why"),
    [
        ("/dev/full", 1, "No space left on device"),
        ("/dev/null/trace", 2, "Not a directory"),
    ],
)
def test_a_trace_that_cannot_be_written_is_one_line(path: str, code: int, why: str) -> None:
    assert arb("--seeds", "7", "--trace", path) == (
        code,
        "",
        f"arb: --trace {path}: cannot be written: {why}\n",
    )
