"""`arb up` from a configuration, looked at and commanded from another terminal."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.cli.look import status
from shared.config import load_config
from shared.services import USUAL_SERVICES
from shared.watch.link import open_link
from tests.e2e.up import arb, prepared, trading
from tests.support import eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with prepared(tmp_path):
        yield tmp_path


async def _status(folder: Path) -> dict[str, Any]:
    """Return what `arb status --json` prints."""
    async with open_link(load_config(str(folder / "arb.toml"), {}).bus.url) as link:
        return await status(link)


def _metrics_equal_the_status(folder: Path) -> None:
    """What the exporter tells is what `arb status` shows; while trades go on, ask again."""

    def is_equal() -> bool:
        # In this process: the figures change every second, and a command takes as long to start.
        before = asyncio.run(_status(folder))
        (url,) = (s["notes"]["metrics"] for s in before["services"] if s["service"] == "exporter")
        with urllib.request.urlopen(url, timeout=5) as answer:
            told = {
                (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
                for family in text_string_to_metric_families(answer.read().decode())
                for sample in family.samples
            }
        trading = before["trading"]
        assert trading["realized"], "something was earned"
        for name in ("realized", "unrealized", "fees", "today", "drawdown"):
            for asset, amount in trading[name].items():
                wanted = None if amount is None else pytest.approx(float(amount))
                assert told.get((f"arb_{name}_quote", asset)) == wanted, name
        for asset, amount in trading["exposure"].items():
            assert told["arb_exposure_base", asset] == float(amount)
        assert told["arb_money_certainty", trading["certainty"]] == 1
        assert told["arb_trading_state", trading["state"]] == 1
        assert told["arb_orders_unsettled",] == trading["unknown_orders"]
        counters = {s["service"]: s["counters"] for s in before["services"]}
        assert (
            told["arb_plans_approved_total", "risk-0", "risk"] == counters["risk"]["plans_approved"]
        )
        for code, count in counters["risk"].items():
            if code.startswith("plans_denied_"):
                reason = code.removeprefix("plans_denied_")
                assert told["arb_denials_total", "risk-0", reason, "risk"] == count
        live = sum(n for row, n in told.items() if row[:2] == ("arb_books", "LIVE"))
        books = next(s["gauges"] for s in before["services"] if s["service"] == "orderbook")
        assert live == books["books_live"]
        up = {s["service"] for s in before["services"] if s["up"]}
        assert {row[2] for row in told if row[0] == "arb_ready"} == up
        assert all(told["arb_feed_up", venue] == 1 for venue in trading["switches"])
        return True

    eventually_sync(is_equal, timeout_s=60, every_s=1, what="metrics equal the status")


def test_up_is_looked_at_halted_resumed_flattened_and_stopped(folder: Path) -> None:
    with trading(folder) as up:
        code, found = arb(folder, "books", "--instrument", "BTC/USDT", "--levels", "3")
        assert [book["venue"] for book in found["books"]] == ["binance", "gateio", "kraken"]
        assert all(book["state"] == "LIVE" and len(book["bids"]) == 3 for book in found["books"])
        assert arb(folder, "latency")[1]["latency_us"]["tick_to_depth"]["n"] > 0
        _metrics_equal_the_status(folder)
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
