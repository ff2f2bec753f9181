"""`python -m tests.soak` for seconds: it samples, hurts, reconciles and reports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.record import read
from tests.support import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_short_soak_samples_hurts_reconciles_and_reports(tmp_path: Path) -> None:
    length = ("--seconds", "14", "--sample-every-s", "3", "--fault-every-s", "5", "--tabs", "0")
    command = [sys.executable, "-m", "tests.soak", *length, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    record = read(tmp_path / "soak.json")
    assert done.returncode == 0, (done.stderr[-2_000:], record.problems)
    assert record.is_over
    assert len(record.samples) >= 3
    assert {"valkey", "executor", "dashboard", "notifier", "arb top"} <= set(
        record.samples[-1].processes
    )
    assert record.samples[-1].streams["exec.event"][0] > 0
    assert [fault.kind for fault in record.faults]
    assert all(fault.healed_s is not None for fault in record.faults)
    assert record.ending["ledger_equal"] is record.ending["sql_ledger_equal"] is True
    assert "## What must hold" in (tmp_path / "soak.md").read_text(encoding="utf-8")
