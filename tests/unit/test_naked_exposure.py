"""What the benchmark takes for the time that a plan was naked."""

from __future__ import annotations

import pytest

from tests.bench.naked_exposure import Played, naked_ms, report


def fill(side: str, qty: str, ts_ms: int) -> dict[str, object]:
    return {"side": side, "qty": qty, "ts_ms": ts_ms}


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        ([("buy", "1", 100), ("sell", "1", 103)], 3),
        ([("buy", "1", 100), ("sell", "0.5", 102), ("sell", "0.50", 160)], 60),
        ([("buy", "1", 100), ("sell", "1", 140), ("buy", "2", 200), ("sell", "2", 210)], 40),
        ([("sell", "1", 160), ("buy", "1", 100)], 60),
        ([("buy", "1", 100), ("sell", "0.5", 102)], None),
    ],
)
def test_it_counts_from_the_fill_that_parts_them_to_the_one_that_evens(fills, expected):
    assert naked_ms([fill(*each) for each in fills]) == expected


def test_a_restart_and_a_plan_without_an_end_are_reported_beside_the_times():
    played = Played(
        orders={"p1": {"a", "b", "c"}, "p2": {"d", "e"}},
        outcomes={"p1": "HEDGED"},
        restarts={"p1": {"reason": "lease executor ran out"}},
        stopped="plan p2 did not end",
    )
    fills = [
        {**fill("buy", "1", 100), "client_order_id": "a"},
        {**fill("sell", "1", 2_600), "client_order_id": "c"},
        {**fill("buy", "1", 9_000), "client_order_id": "d"},
    ]
    told = report(played, fills)
    assert (told["n"], told["max"], told["left_uneven"]) == (1, 2_500, 1)
    assert told["restarts"] == [{"reason": "lease executor ran out", "naked_ms": 2_500}]
    assert told["stopped"] == "plan p2 did not end"
    assert report(Played(stopped="no plan"), [])["p99"] is None
