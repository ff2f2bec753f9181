"""What periods with and without anybody looking are made into."""

from __future__ import annotations

from typing import Any

from shared.histogram import bucket_of
from tests.bench.dashboard_cost import CLIENTS, NONE, summary


def period(*latencies_us: int, dashboard: float = 0.06) -> dict[str, Any]:
    buckets: dict[int, int] = {}
    for us in latencies_us:
        index = bucket_of(us * 1_000)
        buckets[index] = buckets.get(index, 0) + 1
    cores = {"dashboard_cores": dashboard, "system_cores": 0.9, "browser_cores": 0.0}
    return {"buckets": buckets, **cores, "busy_percent": 80.0}


def test_each_period_is_compared_with_its_own_round() -> None:
    rounds = [
        {NONE: period(1_024), CLIENTS: period(2_048)},
        {NONE: period(8_192), CLIENTS: period(8_192, dashboard=0.08)},
        {NONE: period(4_096), CLIENTS: period(16_384)},
    ]
    found = summary(rounds)
    assert found[NONE]["ratio_p99"] == {"median": 1.0, "least": 1.0, "most": 1.0}
    ratio = found[CLIENTS]["ratio_p99"]
    assert [round(ratio[name], 1) for name in ("least", "median", "most")] == [1.0, 2.0, 4.0]
    assert found[CLIENTS]["all"]["n"] == 3
    assert found[CLIENTS]["dashboard_cores"] == 0.06


def test_a_period_without_an_order_is_left_out() -> None:
    rounds = [
        {NONE: period(1_024), CLIENTS: period()},
        {NONE: period(1_024), CLIENTS: period(1_024)},
    ]
    assert summary(rounds)[CLIENTS]["ratio_p99"]["median"] == 1.0
    assert summary(rounds[:1])[CLIENTS]["ratio_p99"] is None
