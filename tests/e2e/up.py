"""`arb up` on simulated venues and a bus of its own, commanded from another terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.cli.settings import config_for_venues, to_toml
from services.cli.venues import Addresses
from shared.config_sections import ExecutorConfig
from shared.embedded import EmbeddedServer
from tests.support import ROOT, eventually_sync

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}


@contextmanager
def prepared(tmp_path: Path, **sections: Any) -> Iterator[Path]:
    """A directory with an arb.toml of simulated venues that run, and of a bus that runs."""
    with (
        EmbeddedServer(tmp_path / "bus") as server,
        subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", "run", "venuesim", "--seed", "4", "--json"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=CLEAN,
        ) as venues,
    ):
        try:
            assert venues.stdout is not None
            ready: dict[str, Any] = json.loads(venues.stdout.readline())
            addresses = [(one["venue"], one["instrument"]) for one in ready["instruments"]]
            assert set(ready) >= set(Addresses.__struct_fields__)
            config = config_for_venues(
                addresses,
                ready["http"],
                ready["ws"],
                server.url,
                executor=ExecutorConfig(mode="simulated"),
                **sections,
            )
            (tmp_path / "arb.toml").write_text(to_toml(config))
            (tmp_path / "keys.json").write_text(json.dumps(ready["credentials"]))
            (tmp_path / "control").write_text(ready["control"])
            yield tmp_path
        finally:
            venues.terminate()


def arb(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", *options, "--json"],
        cwd=folder,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def is_trading(folder: Path) -> bool:
    found = arb(folder, "status")[1]
    return bool(found["well"]) and found["trading"]["state"] == "ACTIVE"


@contextmanager
def trading(folder: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`arb up`, well and ACTIVE, with ``more`` in its environment."""
    secrets = dict(more)
    for venue, keys in json.loads((folder / "keys.json").read_text()).items():
        secrets[f"ARB_{venue.upper()}_API_KEY"] = keys["apiKey"]
        secrets[f"ARB_{venue.upper()}_API_SECRET"] = keys["secret"]
    up = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "up", "--json"],
        cwd=folder,
        env={**CLEAN, **secrets},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually_sync(lambda: is_trading(folder), timeout_s=90, every_s=1, what="trading")
        yield up
    finally:
        if up.poll() is None:
            up.kill()
            up.communicate()
