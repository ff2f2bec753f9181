"""The simulation itself: nothing is violated, and the same seed gives the same bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from itertools import count
from random import Random
from typing import IO, Any

import psutil
import pytest

from services.executor.engine import ExecutorEngine
from services.lab.command import parse_seeds, simulate
from services.lab.kernel import between
from services.lab.market import MarketModel
from services.lab.simulate import run_seed, summary
from services.lab.world import World
from shared.errors import ConfigError
from tests.support import eventually_sync


@pytest.mark.parametrize("bounds", [(5, 6), (5, 60), (80_000, 400_000), (0, 64)])
def test_what_is_drawn_between_bounds_is_what_randrange_draws(bounds: tuple[int, int]) -> None:
    ours, theirs = Random(7), Random(7)
    for _ in range(200):
        assert between(ours.getrandbits, bounds) == theirs.randrange(*bounds)


def test_seeds_violate_nothing_and_are_rough() -> None:
    outcomes = [run_seed(seed) for seed in range(1, 13)]
    report = summary(outcomes, 0.0)
    assert report["violations"] == []
    assert report["crashes"] > 30
    assert report["faults"] > 60
    assert report["plans"] > 60
    assert report["fills"] > 200


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    digests = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "services.lab", "sim", "--seeds", "7..8", "--json"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(json.loads(done.stdout)["hash"])
    digests.add(summary([run_seed(7), run_seed(8)], 0.0)["hash"])
    assert len(digests) == 1


def test_no_reader_changes_the_messages_that_it_shares_with_others() -> None:
    for seed in range(1, 6):
        world = World(seed)
        world.server.shares_messages = False
        assert run_seed(seed, world).digest == run_seed(seed).digest


def test_a_world_is_quiet_once_its_flatten_is_over() -> None:
    world = World(1586)
    assert run_seed(1586, world).violations == []
    executor = world.engine("executor")
    assert isinstance(executor, ExecutorEngine)
    assert world.is_quiet()
    executor.state.flatten = "lab-FLATTEN-1"
    assert not world.is_quiet()
    assert "FLATTEN lab-FLATTEN-1" in world.why_not_quiet()


def test_another_seed_is_another_world() -> None:
    assert run_seed(1).digest != run_seed(2).digest


def test_a_violation_is_told_with_its_story_and_how_to_repeat_it() -> None:
    world = World(3)
    world.checkers.report("example", "something that must not be")
    outcome = run_seed(3, world)
    (told,) = summary([outcome], 0.0)["violations"]
    assert (told["seed"], told["checker"]) == (3, "example")
    assert told["story"][-1] == "something that must not be"
    assert set(told) == {"seed", "step", "checker", "story"}
    assert told["step"] == 0 < outcome.steps


@pytest.mark.parametrize(
    "text", ["", "x", "3..", "..3", "5..4", "-1..2", "1..9999999999", "1_0", " 1", "\uff11"]
)
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


def test_seeds_are_a_range_or_one() -> None:
    assert list(parse_seeds("3..5")) == [3, 4, 5]
    assert list(parse_seeds("8")) == [8]


def arb(*arguments: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "sim", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "257", "99999999", "1.5", ""])
def test_jobs_that_are_none_are_one_line(jobs: str) -> None:
    done = arb("--seeds", "1..2", "--jobs", jobs)
    out, err = done.communicate()
    assert (done.returncode, out) == (2, "")
    assert err.splitlines() == [f"arb: --jobs {jobs!r}: give a number of processes, 1 to 256"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--nope",),
        ("extra",),
        ("--seeds", "-3..1"),
        ("--seeds",),
        ("--strategies", "some"),
        ("--strategies", "all", "--wire", "binance"),
    ],
)
def test_a_wrong_command_line_is_one_line(wrong: tuple[str, ...]) -> None:
    done = arb(*wrong)
    out, err = done.communicate()
    assert (done.returncode, out, err.count("\n")) == (2, "", 1)


def test_help_names_every_option() -> None:
    out, _ = arb("--help").communicate()
    assert all(option in out for option in ("--seeds", "--jobs", "--json"))


def test_the_json_is_as_documented_and_jobs_change_nothing() -> None:
    reports = [
        json.loads(arb("--seeds=7..9", f"--jobs={n}", "--json").communicate()[0]) for n in "13"
    ]
    assert " ".join(reports[0]) == (
        "seeds steps crashes faults plans fills violations hash virtual_s wall_s worlds "
        "crashes_by_service plans_by_strategy fills_by_strategy rounds_opened rounds_closed "
        "rounds_ended_by_risk rounds_closed_after_crash indications"
    )
    assert reports[0]["hash"] == reports[1]["hash"]


def runs_worlds(pid: int, jobs: str) -> bool:
    """True when those who run worlds have worked for longer than their start takes."""
    parent = psutil.Process(pid)
    if jobs == "1":
        return bool(parent.cpu_times().user > 3.0)
    workers = parent.children()
    return str(len(workers)) == jobs and all(w.cpu_times().user > 0.5 for w in workers)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_without_a_traceback(jobs: str) -> None:
    run = arb("--seeds", "1..100000", "--jobs", jobs)
    eventually_sync(lambda: runs_worlds(run.pid, jobs), timeout_s=60.0)
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, "", "")


def test_a_process_that_is_killed_is_told_with_how_to_go_on() -> None:
    run = arb("--seeds", "1..100000", "--jobs", "2")
    eventually_sync(lambda: runs_worlds(run.pid, "2"), timeout_s=60.0)
    psutil.Process(run.pid).children()[0].kill()
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err.count("\n")) == (1, "", 1)
    assert re.search(r"ended from outside .* go on with: --seeds \d+\.\.100000$", err.strip())


def test_an_error_in_a_world_is_told_as_a_violation_of_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = MarketModel.move
    moves = count()

    def breaks(self: MarketModel, *arguments: Any, **named: Any) -> None:
        if next(moves) == 20:
            raise KeyError("no such price")
        whole(self, *arguments, **named)

    monkeypatch.setattr(MarketModel, "move", breaks)
    given = Namespace(strategies="drawn", wire="", trace=None)
    assert simulate(Namespace(seeds="7..8", jobs="1", json=True, **vars(given))) == 1
    out, err = capsys.readouterr()
    (violation,) = json.loads(out)["violations"]
    assert (violation["seed"], violation["checker"]) == (7, "no_error")
    assert re.search(r"seed 7: no_error: KeyError at test_simulation.py:\d+: 'no such price'", err)
    assert err.endswith("again: arb sim --seeds 7\n")


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_reader_that_went_away_changes_nothing(option: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = arb("--seeds", "7", *option, stdout=writer)
    os.close(writer)
    _, err = run.communicate()
    assert (run.returncode, err) == (0, "")
