"""Sizing by risk: the worked example, what bounds a quantity, and what is refused."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from shared.domain.sizing import RiskPerUnit, size_by_risk

COSTS = RiskPerUnit(D(200), D(5), D(5), D(5))


def sized(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "risk_quote": D(100_000) * D("0.005"),
        "price": D(60_000),
        "per_unit": COSTS,
        "lot_size": D("0.001"),
        "notional_quote_max": D(50_000),
        "depth_qty": D(10),
    }
    return size_by_risk(**{**values, **changes})


def test_the_worked_example() -> None:
    """0.5 % of 100,000 at 60,000 with a stop 2 % away, fees of 5 + 5 and a slip of 5 bps."""
    found = sized()
    assert found.qty_exact.quantize(D("0.00001"), rounding="ROUND_DOWN") == D("0.38759")
    assert (found.qty, found.bound) == (D("0.387"), "risk")
    assert found.qty * 60_000 * COSTS.total_bps / 10_000 <= 500
    assert (found.qty + D("0.001")) * 60_000 * COSTS.total_bps / 10_000 > 500


@pytest.mark.parametrize(
    ("change", "qty", "bound"),
    [
        ({"notional_quote_max": D(6_000)}, D("0.1"), "notional"),
        ({"depth_qty": D("0.0519")}, D("0.051"), "depth"),
        ({"risk_quote": D(0)}, D(0), "risk"),
        ({"risk_quote": D(-5)}, D(0), "risk"),
        ({"lot_size": D(1)}, D(0), "risk"),
    ],
)
def test_what_bounds_it(change: dict[str, Any], qty: D, bound: str) -> None:
    found = sized(**change)
    assert (found.qty, found.bound) == (qty, bound)


@pytest.mark.parametrize(
    "change",
    [
        {"price": D(0)},
        {"price": D("NaN")},
        {"lot_size": D(0)},
        {"per_unit": RiskPerUnit(D(0), D(5), D(5), D(5))},
        {"per_unit": RiskPerUnit(D(200), D(-1), D(5), D(5))},
        {"per_unit": RiskPerUnit(D("NaN"), D(5), D(5), D(5))},
        {"risk_quote": D("NaN")},
        {"depth_qty": D("NaN")},
    ],
)
def test_what_nothing_can_be_sized_by(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        sized(**change)
