"""The demo's screen at the sizes of terminals: no price, venue or state is cut."""

from __future__ import annotations

import io
from decimal import Decimal as D

import msgspec
import pytest
from rich.console import Console, ConsoleDimensions

from services.cli.opportunity_terms import expected, terms_text
from services.cli.screen import Screen, render
from shared.messages.base import Side
from shared.messages.offer_terms import ConversionTerms
from shared.watch.collector import Collector
from shared.watch.usage import Usage
from tests.decision_builders import (
    T0,
    make_carry_terms,
    make_fill,
    make_leg,
    make_offer,
    make_view,
    order_of,
)

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


@pytest.mark.parametrize("strategies", [["basis"], ["basis", ""]])
def test_profit_is_split_where_there_are_several_strategies(strategies: list[str]) -> None:
    collector = Collector()
    for number, strategy in enumerate(strategies):
        fill = make_fill(
            "p", "alpha", Side.BUY, "0.1", trade_id=str(number), strategy=strategy, fee=D("1.25")
        )
        collector.on_message(order_of(fill))
        collector.on_message(fill)
    console = Console(file=io.StringIO(), width=200, height=60, force_terminal=False)
    with console.capture() as captured:
        size = ConsoleDimensions(200, 60)
        console.print(render(Screen("demo", "", "", collector, now_ns=T0), size), height=60)
    split = "basis -1.25 USDT, unknown -1.25 USDT" in captured.get()
    assert split == (len(strategies) > 1)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (Usage(up=True), "up"),
        (Usage(up=False), "down, restarting"),
        (Usage(up=True, stopping=True), "stopping"),
        (Usage(up=False, stopping=True), "stopped"),
    ],
)
def test_what_is_being_stopped_is_not_said_to_restart(used: Usage, expected: str) -> None:
    screen = Screen("demo", "", "", Collector(), usage={"scanner": used}, now_ns=T0)
    console = Console(file=io.StringIO(), width=200, height=60, force_terminal=False)
    with console.capture() as captured:
        console.print(render(screen, ConsoleDimensions(200, 60)), height=60)
    (row,) = [line for line in captured.get().splitlines() if "scanner" in line]
    assert expected in row
    assert ("restarting" in row) == (expected == "down, restarting")


@pytest.mark.parametrize("width", [100, 200])
def test_an_opportunity_shows_what_conversions_cost_and_funding_is_to_bring(width: int) -> None:
    collector = Collector()
    plain = make_offer([make_leg("alpha", Side.BUY, "1", "100")], net=D(3), edge_bps=D(300))
    collector.on_message(plain)
    assert (terms_text(plain), expected(plain)) == ("", (D(3), D(300)))
    middle = {"leg": 2, "asset": "USDC", "rate": D("0.99"), "middle": D(1)}
    changed = msgspec.structs.replace(
        plain,
        opportunity_id="converted",
        conversions=[ConversionTerms(spread=D("0.25"), fee=D("0.5"), **middle)],
    )
    carry = make_carry_terms()
    opened = msgspec.structs.replace(plain, opportunity_id="opened", carry=carry)
    assert terms_text(changed) == "conversion -0.75"
    assert terms_text(opened) == "funding +0.20, cost -0.10"
    assert expected(opened) == (D("0.1"), D(10)), "of a notional of 100"
    collector.on_message(changed)
    collector.on_message(opened)
    console = Console(file=io.StringIO(), width=width, height=60, force_terminal=False)
    with console.capture() as captured:
        size = ConsoleDimensions(width, 60)
        console.print(render(Screen("demo", "", "", collector, now_ns=T0), size), height=60)
    lines = captured.get().splitlines()
    if width == 200:
        assert any("funding +0.20, cost -0.10" in line and "10.0" in line for line in lines)
    assert any("300.0" in line and "3.00" in line for line in lines)
