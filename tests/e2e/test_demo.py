"""The whole stack as one command starts it: processes, signals, crashes, the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest

from shared.services import SERVICES
from shared.venues.registry import ADAPTERS, load_simulated
from tests.support import ROOT, eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


BOOKS = sum(len(load_simulated(adapter).LISTINGS) for adapter in ADAPTERS)
"""Everything that the usual simulated venues list."""
LEAST_ORDER_USD = 11
"""What simulated venues ask of an order, with a lot more."""
KEYS = {
    "seconds",
    "venue_frames",
    "book_events",
    "books",
    "opportunities",
    "near_misses",
    "plans",
    "orders",
    "fills",
    "pnl",
    "residual_exposure",
    "latency_us",
    "services",
    "positions",
    "inventory_change",
    "venue_equity_change",
    "closing_cost",
}


class Arb:
    """A running `arb`, and the processes it started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.tree = psutil.Process(process.pid)

    def pids(self, name: str) -> list[int]:
        """Return the process ids of one of its programs, found among its own children only."""
        found = []
        for child in self.tree.children(recursive=True):
            try:
                options = child.cmdline()
            except psutil.Error:
                continue
            if f"services.{name}" in options or name in Path(options[0] if options else "").name:
                found.append(child.pid)
        return found

    def kill(self, name: str) -> None:
        """Kill -9 one of its programs, once it is there."""
        (pid, *_) = eventually_sync(lambda: self.pids(name), timeout_s=30, what=name)
        os.kill(pid, signal.SIGKILL)

    def report(self, timeout_s: float = 200) -> dict[str, Any]:
        """Wait for its end, which must be a good one, and return what it printed."""
        out, err = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, err[-3000:]
        report: dict[str, Any] = json.loads(out, parse_float=Decimal)
        return report

    def wait_for(self, text: str, timeout_s: float = 90) -> None:
        """Read its progress until a line holds ``text``."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            line = self.process.stderr.readline()
            assert line, "arb ended"
            if text in line:
                return
        raise AssertionError(f"arb never said {text!r}")


@contextmanager
def running(*options: str) -> Iterator[Arb]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", *options],
        cwd=ROOT,
        env=clean,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    arb = Arb(process)
    try:
        yield arb
    finally:
        if process.poll() is None:
            children = arb.tree.children(recursive=True)
            process.kill()
            psutil.wait_procs(children, timeout=10)
        process.communicate()


def check_sound(report: dict[str, Any], *, dust: bool = False) -> None:
    """What must hold at the end of any run; where plans were found again, dust may be left."""
    assert not report["problems"]
    assert report["sql_ledger"]["equal"] and not report["sql_ledger"]["gaps"]
    assert dust or not any(report["residual_exposure"].values()), report["residual_exposure"]
    check_nothing_naked(report)
    assert report["orders"]["unknown"] == 0
    assert report["open_orders"] == 0
    assert report["ledger_equal"] is True, report["ledger_differences"]
    if report["fills"]:
        check_money(report)


def check_nothing_naked(
    report: dict[str, Any], paid: Mapping[str, Decimal] = MappingProxyType({})
) -> None:
    """What is left of an asset, derivatives counted in, is too little for an order.

    ``paid`` is what inverse contracts paid in coins: it is held, and hedged by nothing.
    """
    for asset, left in report["residual_exposure"].items():
        qty = left - paid.get(asset, Decimal(0))
        prices = [
            each["close_price"]
            for each in report["positions"]
            if each["instrument"].startswith(f"{asset}/USD")
        ]
        assert abs(qty) * max(prices, default=1) < LEAST_ORDER_USD, (asset, qty, prices)


def check_money(report: dict[str, Any]) -> None:
    """What we say was earned is what the venues' own accounts have gained, to the last digit."""
    assert report["pnl"]
    for quote, money in report["pnl"].items():
        why = quote, money["certainties"], money["fees_unpriced"], report["funding_unknown"]
        assert money["certainty"] in {"known", "estimated"}, why
        assert money["realized"] + money["unrealized"] == report["venue_equity_change"][quote]
    for position in report["positions"]:
        assert position["unrealized"] is not None
    assert set(report["closing_cost"]) == set(report["pnl"])


def check_within_bounds(report: dict[str, Any]) -> None:
    for name, size in report["streams"].items():
        assert size["bytes"] <= size["bytes_max"], name
        assert size["entries"] <= 1.2 * size["entries_max"], name


def test_the_demo_executes_arbitrage_and_leaves_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "ledger.sqlite"
    options = ("--seconds", "20", "--seed", "11", "--ledger", str(kept), "--json")
    with running("demo", *options) as arb:
        eventually_sync(lambda: all(arb.pids(name) for name in SERVICES), timeout_s=30)
        children = arb.tree.children(recursive=True)
        report = arb.report()
        assert not [child for child in children if child.is_running()]
    assert report.keys() >= KEYS
    check_sound(report)
    check_within_bounds(report)
    assert report["plans"]["approved"] > 0
    assert report["fills"] > 0
    assert report["books"]["live"] == BOOKS
    assert report["latency_us"]["tick_to_order"]["n"] > 0
    assert set(report["services"]) >= set(SERVICES)
    assert all(used["restarts"] == 0 for used in report["services"].values())
    check_kept_ledger(kept, report)


def check_kept_ledger(kept: Path, report: dict[str, Any]) -> None:
    """`arb pnl` says of the ledger what the run said, and what the venues' accounts gained."""
    with running("pnl", "--ledger", str(kept), "--json") as arb:
        told = arb.report()
    for quote, money in report["pnl"].items():
        for name in ("realized", "unrealized", "fees"):
            earned = [each[quote] for each in told["pnl_by_strategy"].values() if quote in each]
            total = sum(Decimal(each[name]) for each in earned)
            assert total == Decimal(told["pnl"][quote][name]) == money[name]
        days = [each for each in told["by_day"] if each["quote"] == quote]
        assert sum(Decimal(each["realized"]) for each in days) == money["realized"]
        change = report["venue_equity_change"][quote]
        assert Decimal(told["venue_equity_change"][quote]) == change
    assert told["modes"] == ["simulated"]


def test_it_heals_when_services_the_bus_and_the_venues_are_killed() -> None:
    draw = random.Random(5)
    with running("demo", "--seconds", "50", "--seed", "12", "--json") as arb:
        arb.wait_for("trading: ACTIVE")
        killed = [*SERVICES, "recorder", "valkey", "venuesim"]
        draw.shuffle(killed)
        for name in killed:
            arb.kill(name)
            time.sleep(4)  # let it heal, as an operator would see it
        report = arb.report()
    check_sound(report, dust=True)
    assert report["plans"]["approved"] > 0
    assert report["books"]["live"] == BOOKS
    for name in killed:
        assert report["services"][name]["restarts"] >= 1


def test_ctrl_c_ends_it_in_order() -> None:
    with running("demo", "--json") as arb:
        arb.wait_for("trading: ACTIVE")
        children = arb.tree.children(recursive=True)
        arb.process.send_signal(signal.SIGINT)
        report = arb.report()
        assert not [child for child in children if child.is_running()]
    check_sound(report)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_nothing_survives_a_killed_demo() -> None:
    with running("demo", "--json") as arb:
        eventually_sync(lambda: all(arb.pids(name) for name in SERVICES), timeout_s=60)
        children = arb.tree.children(recursive=True)
        arb.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        assert len(gone) >= len(SERVICES) + 2


@pytest.mark.recorded
@pytest.mark.timeout(400)
def test_a_recording_without_profit_makes_no_plan(recorded: Path) -> None:
    folder = recorded / "hftbacktest"
    paths = [folder / "spot_btcusdt_20240808.gz", folder / "usdm_btcusdt_20240808.gz"]
    with running("replay", *map(str, paths), "--speed", "max", "--json") as arb:
        eventually_sync(lambda: arb.pids("executor"), timeout_s=60)
        time.sleep(5)
        (source,) = arb.pids("venuesim")
        os.kill(source, signal.SIGSTOP)  # as a busy machine does; no book is silent for it
        time.sleep(7)
        os.kill(source, signal.SIGCONT)
        report = arb.report(timeout_s=340)
    assert report["replay"]["complete"]
    assert report["books"] == {"live": 2, "gaps": 0, "resyncs": 0}
    assert report["book_events"] > 9_000
    assert (report["plans"]["approved"], report["orders"]["submitted"]) == (0, 0)
    assert report["near_misses"]["FEES"] > 0, "the basis was seen, and was too small"
