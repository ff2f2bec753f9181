"""The demo's screen at the sizes of terminals: no price, venue or state is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, ConsoleDimensions

from services.cli.screen import Screen, render
from shared.watch.collector import Collector
from tests.decision_builders import T0, make_view

BOOKS = [
    (venue, f"{base}/USDT{settle}")
    for venue, settle in (("binance", ""), ("binanceusdm", ":USDT"), ("kraken", ""))
    for base in ("BTC", "ETH", "SOL")
]


@pytest.mark.parametrize("size", [(80, 24), (80, 50), (100, 30), (120, 40), (200, 60)])
def test_no_book_is_cut(size: tuple[int, int]) -> None:
    views = {
        book: make_view(*book, bids=[(104_057.3, 1.0)], asks=[(104_061.8, 1.0)], ts_ns=T0)
        for book in BOOKS
    }
    screen = Screen("demo", "SIMULATED", "arb status", Collector(), views=views, now_ns=T0)
    width, height = size
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as captured:
        console.print(render(screen, ConsoleDimensions(width, height)), height=height)
    lines = captured.get().splitlines()
    assert len(lines) <= height
    rows = [line for line in lines if "104,057.3" in line and "104,061.8" in line]
    assert len(rows) == len(BOOKS), captured.get()
    assert any("binanceusdm" in row and "BTC perp" in row and "LIVE" in row for row in rows)
    assert "money" in captured.get()
