"""`arb calibrate`: the documented example, its JSON, and mistakes."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.test_cli import arb
from tests.support import ROOT

DOCUMENT = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
((SEEDS, SHOWN),) = re.findall(
    r"```console\n\$ arb calibrate --seeds (\S+)\n(.*?)```", DOCUMENT, re.DOTALL
)


def test_the_documented_example_is_what_is_printed() -> None:
    done = arb("calibrate", "--seeds", SEEDS)
    assert done.returncode == 0, done.stderr
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert printed == SHOWN.splitlines()


def test_json_is_one_object_with_the_documented_names() -> None:
    found = json.loads(arb("calibrate", "--seeds", "5", "--json").stdout)
    assert found["seeds"] == [5, 5]
    section = DOCUMENT.partition("`--json` prints one object")[2]
    for name in (*found, *(name for name in found["rows"][0] if name not in {"venue", "kind"})):
        is_named = f"`{name}`" in section or name.endswith(("_abs", "_se"))
        assert is_named, f"docs/paper.md does not name {name}"


@pytest.mark.parametrize("seeds", ["1..3000", "x", "3..1"])
def test_seeds_that_cannot_be_meant_are_one_line(seeds: str) -> None:
    done = arb("calibrate", "--seeds", seeds, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "--seeds" in done.stderr
