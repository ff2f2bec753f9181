"""`arb record`: simulated venues into a store that is whole, with nothing else of the system."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from services.cli.data.verify import verify_store
from services.cli.record import parse_seconds
from shared.errors import ConfigError
from shared.store.manifest import files_in
from shared.store.segments import segments_in
from tests.support import ROOT, eventually_sync

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def arb(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_is_recorded_is_whole(tmp_path):
    root = tmp_path / "store"
    run = arb("record", "--for", "3s", "--out", str(root), "--demo", "--json")
    out, errors = run.communicate(timeout=110)
    assert run.returncode == 0, errors
    found = json.loads(out)
    assert {row["venue"] for row in found["tables"]} >= {"binance", "kraken"}
    assert not found["missing"] and not found["unfinished"] and not found["problems"]
    report = verify_store(root)
    assert report.ok, report.faults
    assert report.books and all(book.state == "LIVE" for book in report.books), report.books


def test_the_end_may_come_earlier(tmp_path):
    root = tmp_path / "store"
    run = arb("record", "--for", "1h", "--out", str(root), "--demo", "--json")
    try:
        eventually_sync(lambda: list(segments_in(root)), timeout_s=90)
        run.send_signal(signal.SIGINT)
        out, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    assert json.loads(out)["tables"] and not list(segments_in(root))
    assert list(files_in(root)) and verify_store(root).ok


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("10m", 600), ("2h", 7_200), ("90", 90), ("1.5m", 90)]
)
def test_how_long(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "0s", "-5s", "nan", "8d", "1 hour", "9999h"])
def test_how_long_must_be_a_time(text):
    with pytest.raises(ConfigError, match=r"a time like 60s"):
        parse_seconds(text)
