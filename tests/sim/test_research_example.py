"""The worked example of a backtest of the whole system, as `make research` runs it."""

from __future__ import annotations

import tomllib
from pathlib import Path

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
