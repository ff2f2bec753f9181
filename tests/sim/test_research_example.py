"""The worked example of a backtest of the whole system, as `make research` runs it."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from services.research.trading import report_of
from services.research.trading_example import CONFIG, write_books
from services.research.trading_html import render
from tests.sim.test_backtest_tables import traded


def test_the_example_trades_loses_now_and_then_and_makes_a_page(tmp_path: Path) -> None:
    store = tmp_path / "market"
    write_books(store, steps=600)
    assert set(tomllib.loads(CONFIG)["venues"]) == {"alpha", "beta"}
    found = traded([store], tmp_path, CONFIG)
    assert found["source"] == "depth"
    assert found["fill_count"] > 10
    assert found["result"]["problems"] == []
    trips, split = found["round_trips"], found["split"]["USDT"]
    filled = found["result"]["plans"]["outcomes"]
    assert trips["closed"] == sum(n for name, n in filled.items() if name != "UNFILLED")
    assert (trips["open"], trips["sides"]) == (0, found["result"]["orders"]["filled"])
    profit = sum(each["profit"]["USDT"] for each in trips["trips"])
    assert profit == pytest.approx(found["result"]["pnl"]["USDT"]["realized"], abs=1e-6)
    parts = {name: Decimal(each) for name, each in split.items() if isinstance(each, str)}
    net = parts.pop("net")
    assert sum(parts.values()) == net
    assert parts["spread"] < 0, "each order pays half a spread"
    assert float(parts["spread"]) == pytest.approx(-found["traded"]["USDT"] * 0.25e-4, rel=0.01)
    report = report_of(found)
    paid = report["performance"]["USDT"]
    assert paid["fees"] > 0
    page = render(report)
    assert f"{paid['net']:+,.2f}</text>" in page, "money, not shares that all round to nothing"
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_same_books_are_written_every_time(tmp_path: Path) -> None:
    written = []
    for name in ("one", "other"):
        write_books(tmp_path / name, steps=50)
        files = sorted((tmp_path / name).rglob("*.parquet"))
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    assert len(written[0]) == 2
