"""`arb up` from a configuration, looked at and commanded from another terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.settings import config_for_venues, to_toml
from services.cli.venues import Addresses
from shared.config import ExecutorConfig
from shared.embedded import EmbeddedServer
from tests.support import ROOT, eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory with an arb.toml of simulated venues that run, and of a bus that runs."""
    with EmbeddedServer(tmp_path / "bus") as server, subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "run", "venuesim", "--seed", "4", "--json"],
        stdout=subprocess.PIPE, cwd=ROOT, env=CLEAN,
    ) as venues:  # fmt: skip
        try:
            assert venues.stdout is not None
            ready: dict[str, Any] = json.loads(venues.stdout.readline())
            addresses = [(one["venue"], one["instrument"]) for one in ready["instruments"]]
            assert set(ready) >= set(Addresses.__struct_fields__)
            config = config_for_venues(
                addresses, ready["http"], ready["ws"], server.url,
                executor=ExecutorConfig(mode="simulated"),
            )  # fmt: skip
            (tmp_path / "arb.toml").write_text(to_toml(config))
            (tmp_path / "keys.json").write_text(json.dumps(ready["credentials"]))
            yield tmp_path
        finally:
            venues.terminate()


def arb(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", *words, "--json"], cwd=folder, env=CLEAN,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_up_is_looked_at_halted_resumed_flattened_and_stopped(folder: Path) -> None:
    secrets = {}
    for venue, keys in json.loads((folder / "keys.json").read_text()).items():
        secrets[f"ARB_{venue.upper()}_API_KEY"] = keys["apiKey"]
        secrets[f"ARB_{venue.upper()}_API_SECRET"] = keys["secret"]
    up = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "up", "--json"], cwd=folder,
        env={**CLEAN, **secrets}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually_sync(lambda: arb(folder, "status")[1]["well"], timeout_s=60, what="well")
        eventually_sync(
            lambda: arb(folder, "status")[1]["trading"]["state"] == "ACTIVE", timeout_s=30
        )
        code, found = arb(folder, "books", "--instrument", "BTC/USDT", "--levels", "3")
        assert [book["venue"] for book in found["books"]] == ["binance", "kraken"]
        assert all(book["state"] == "LIVE" and len(book["bids"]) == 3 for book in found["books"])
        assert arb(folder, "latency")[1]["latency_us"]["tick_to_depth"]["n"] > 0
        for word, state in (("halt", "HALTED"), ("resume", "ACTIVE"), ("flatten", "HALTED")):
            code, answer = arb(folder, word)
            assert (code, answer["state"], answer["confirmed"]) == (0, state, True), word
        assert arb(folder, "status")[1]["trading"]["state"] == "HALTED"
        up.send_signal(signal.SIGTERM)
        out, _ = up.communicate(timeout=60)
        assert up.returncode == 0
        services = json.loads(out)["services"]
        assert {name: used["exit_code"] for name, used in services.items()} == dict.fromkeys(
            ("ingestor", "orderbook", "scanner", "risk", "executor"), 0
        )
    finally:
        if up.poll() is None:
            up.kill()
            up.communicate()
