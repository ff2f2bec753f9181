"""`arb up` from a configuration, looked at and commanded from another terminal."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.services import USUAL_SERVICES
from tests.e2e.up import arb, prepared, trading

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with prepared(tmp_path):
        yield tmp_path


def test_up_is_looked_at_halted_resumed_flattened_and_stopped(folder: Path) -> None:
    with trading(folder) as up:
        code, found = arb(folder, "books", "--instrument", "BTC/USDT", "--levels", "3")
        assert [book["venue"] for book in found["books"]] == ["binance", "gateio", "kraken"]
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
            USUAL_SERVICES, 0
        )
