"""`python -m tests.drill.two_feeds`, short: either ingestor is killed, and books stay right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def test_either_of_two_ingestors_may_be_killed_and_every_view_stays_live_and_right(
    tmp_path: Path,
) -> None:
    file = tmp_path / "found.json"
    asked = ("--seconds", "25", "--venue", "binance", "--venue", "binanceusdm", "--json", str(file))
    done = subprocess.run(
        [sys.executable, "-m", "tests.drill.two_feeds", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-3_000:], done.stderr[-3_000:])
    found = json.loads(file.read_text())
    assert {kill.split()[0] for kill in found["kills"]} == {"ingestor", "ingestor-b"}
    assert found["views"]["RIGHT"] > 100
    assert "WRONG" not in found["views"]
    assert "no gap, and no view was wrong" in done.stdout
