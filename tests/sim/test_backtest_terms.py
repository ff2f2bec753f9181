"""Backtests whose venues are late, refuse and fail as configured, and say so."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from services.research.trading_example import CONFIG, write_books
from tests.decision_builders import MS
from tests.sim.test_backtest import PAIRS, facts
from tests.sim.test_backtest_tables import traded

STEPS = 900


def example(folder: Path, terms: str = "") -> dict[str, Any]:
    """The worked example under further terms of ``[backtest]``."""
    store = folder / "market"
    if not store.exists():
        write_books(store, steps=STEPS)
    text = CONFIG.replace("[backtest]\n", f"[backtest]\n{terms}\n")
    return traded([store], folder, text)


def told(found: dict[str, Any], box: str, text: str) -> bool:
    return any(text in each for each in found[box])


def test_latencies_that_were_measured_are_those_of_the_fills(tmp_path: Path) -> None:
    found = facts(tmp_path, "[backtest]\norder_samples_ms = [5, 500]\n")
    first: dict[tuple[str, str], int] = {}
    for fill in found["fills"]:
        first.setdefault((fill["plan_id"], fill["venue"]), fill["ts_venue_ns"])
    plans = {plan: [at for (name, _), at in first.items() if name == plan] for plan, _ in first}
    apart_ms = [(max(each) - min(each)) / MS for each in plans.values() if len(each) == 2]
    assert set(apart_ms) == {0, 495}, "both legs leave at once"
    assert told(found, "assumed", "drawn from 2 measured latencies, 5 to 500 ms")
    again = facts(tmp_path, "[backtest]\norder_samples_ms = [5, 500]\n")
    assert again == found
    other = facts(tmp_path, "[backtest]\norder_samples_ms = [5, 500]\nseed = 8\n")
    assert other["fills"] != found["fills"]


def test_only_orders_that_are_late_meet_another_middle(tmp_path: Path) -> None:
    """Books stand still for 200 ms, and an order is there after 50 at most."""
    soon = example(tmp_path)
    late = example(tmp_path, "order_percentiles_ms = [[0, 200], [100, 900]]")
    legs = {name: len(each["fills"]) for name, each in (("soon", soon), ("late", late))}
    assert soon["split"]["USDT"]["no_decision"] == late["split"]["USDT"]["no_decision"] == 0
    assert float(soon["split"]["USDT"]["latency_drift"]) == 0
    assert float(late["split"]["USDT"]["latency_drift"]) != 0
    assert 0 < legs["late"] < legs["soon"]
    assert told(late, "assumed", "drawn from percentiles in ms: p0 200, p100 900")


def test_orders_are_refused_at_the_rate_that_is_stated(tmp_path: Path) -> None:
    found = example(tmp_path, "reject_rate = 0.3")
    orders = found["result"]["orders"]
    assert orders["rejected"] / orders["submitted"] == pytest.approx(0.3, abs=0.12)
    assert found["result"]["problems"] == []
    assert told(found, "assumed", "0.3 of the orders are refused")
    assert not told(found, "not_modelled", "rejects")
    assert told(found, "not_modelled", "outages of order entry that the recording does not show")
    plain = example(tmp_path)
    assert plain["result"]["orders"]["rejected"] == 0
    assert told(plain, "not_modelled", "rejects that the recording does not show, at alpha, beta")


@pytest.mark.parametrize("unknown_rate", [0.0, 1.0])
def test_in_an_outage_orders_fail_and_the_books_go_on(tmp_path: Path, unknown_rate: float) -> None:
    terms = f"outages_per_hour = 60\noutage_s = 20\noutage_unknown_rate = {unknown_rate}"
    found, plain = example(tmp_path, terms), example(tmp_path)
    assert found["result"]["problems"] == []
    assert found["result"]["orders"]["unknown"] == 0, "every outcome was found out"
    assert found["fill_count"] < plain["fill_count"]
    if not unknown_rate:
        assert found["result"]["orders"]["not_sent"] > 0
    assert found["result"]["books"] == plain["result"]["books"]
    ours = found["result"]["pnl"]["USDT"]
    net = found["curve"]["profits"]["USDT"][-1]
    assert ours["realized"] == pytest.approx(net, abs=0.01), "nothing that the accounts did is lost"
    assert told(found, "assumed", "order entry is down 60 times an hour for 20 s")
    assert told(found, "not_modelled", "rejects that the recording does not show")


@pytest.mark.recorded
@pytest.mark.timeout(600)
def test_the_clock_of_the_recordings_of_2024_is_behind_by_1_27_seconds(
    recorded: Path, tmp_path: Path
) -> None:
    found = traded([recorded / "hftbacktest" / f"{name}.gz" for name in PAIRS], tmp_path, "")
    late = [each for each in found["assumed"] if "market data were received" in each]
    assert len(late) == 2
    least = [float(each.split("received ")[1].split(" ms")[0].replace(",", "")) for each in late]
    assert statistics.mean(least) == pytest.approx(-1_273.5, abs=1.5)
    assert not told(found, "assumed", "later than"), "the two are apart by 2 ms"
