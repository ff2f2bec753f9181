"""The simulation itself: nothing is violated, and the same seed gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from services.lab.__main__ import parse_seeds
from services.lab.simulate import run_seed, summary
from services.lab.world import World


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


def test_another_seed_is_another_world() -> None:
    assert run_seed(1).digest != run_seed(2).digest


def test_a_violation_is_told_with_its_story_and_how_to_repeat_it() -> None:
    world = World(3)
    world.checkers.object_to("example", "something that must not be")
    outcome = run_seed(3, world)
    (told,) = summary([outcome], 0.0)["violations"]
    assert (told["seed"], told["checker"]) == (3, "example")
    assert told["text"] == "something that must not be"


@pytest.mark.parametrize("text", ["", "x", "3..", "..3", "5..4", "-1..2", "1..9999999999"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--seeds"):
        parse_seeds(text)


def test_seeds_are_a_range_or_one() -> None:
    assert list(parse_seeds("3..5")) == [3, 4, 5]
    assert list(parse_seeds("8")) == [8]
