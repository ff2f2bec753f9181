"""What the benchmark takes for the time that a plan was naked."""

from __future__ import annotations

import pytest

from tests.bench.naked_exposure import naked_ms


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
