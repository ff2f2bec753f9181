"""Backtests on bars with imported marks and settled funding: payments, liquidation, and the box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.lab.command import main as lab
from services.lab.table_rows import markets_in, messages_of
from shared.messages.market import Mark
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table
from tests.sim.test_backtest_tables import traded

BEGIN_NS, MINUTE_NS = 1_672_531_200_000_000_000, 60_000_000_000
MINUTES, SETTLES, RATE = 100, 60, 0.0005
VENUE, NAME = "beta", "BTC/USDT:USDT"
MOMENTUM = """
[venues.beta]
instruments = ["BTC/USDT:USDT"]
taker_fee_bps = 1

[[strategies]]
id = "mom"
class = "momentum"
directional_notional_max = 20000
directional_equity = 100000

[strategies.params]
venue = "beta"
instrument = "BTC/USDT:USDT"
fast_bars = 2
slow_bars = 4
threshold_bps = 1.0
"""


def write(store: Path, table: str, rows: list[tuple[Any, ...]], step_ns: int = MINUTE_NS) -> None:
    folder = folder_of(store, table, venue=VENUE, instrument=NAME, date="2023-01-01")
    write_table(folder / "x.parquet", table, rows, Made(step_ns=step_ns))


def prices(n: int, apart: float = 0.0) -> tuple[float, float, float, float]:
    """A market that rises by five in every minute: momentum buys it and stays."""
    first = 20_000.0 + 5 * n + apart
    return first, first + 6, first - 1, first + 5


def market(folder: Path, *, marks: bool, crash: int = -1) -> Path:
    """Bars and a settlement whose mark nobody told, as archives have them; marks on request."""
    store = folder / "store"
    steps = [(BEGIN_NS + n * MINUTE_NS, MINUTE_NS) for n in range(MINUTES)]
    rest = (5.0, None, None, 4, False, True)
    write(store, "bar", [(*step, *prices(n), *rest) for n, step in enumerate(steps)])
    at_ns = BEGIN_NS + SETTLES * MINUTE_NS + 7_000_000  # stamps jitter
    row = (at_ns, at_ns, at_ns, RATE, None, None, 3_600 * 10**9, None, None, True)
    write(store, "funding", [row], 0)
    if marks:
        rows = [(*step, *prices(n, 0.5)) for n, step in enumerate(steps)]
        if crash >= 0:
            first, high, _, last = rows[crash][2:]
            rows[crash] = (*steps[crash], first, high, 100.0, last)
        write(store, "mark", rows)
        write(store, "index", [(*step, *prices(n, -3.0)) for n, step in enumerate(steps) if n != 1])
    return store


def told(found: dict[str, Any], text: str) -> bool:
    return any(text in each for each in found["not_modelled"])


def test_a_settled_rate_pays_at_the_mark_before_its_instant(tmp_path: Path) -> None:
    found = traded([market(tmp_path, marks=True)], tmp_path, MOMENTUM)
    assert found["result"]["problems"] == []
    (paid,) = found["payments"]
    mark = prices(SETTLES, 0.5)[0]  # the close of the minute before is the open of this one
    assert paid["qty"] > 0
    assert paid["is_settled"]
    assert paid["mark"] == mark
    assert paid["amount"] == pytest.approx(-paid["qty"] * mark * RATE, abs=1e-8)
    ours = found["result"]["pnl"]["USDT"]
    assert ours["funding"] == found["accounts"]["USDT"]["funding"] == paid["amount"]
    assert ours["certainty"] == "known"
    assert not told(found, "no mark, or coin-settled")


def test_a_round_that_is_open_at_the_end_is_valued_and_no_problem(tmp_path: Path) -> None:
    """No book prices it any more: it is repeated once in a minute, and too old for the executor."""
    text = f"{MOMENTUM}\n[orderbook]\nrefresh_ms = 60_000\n"
    found = traded([market(tmp_path, marks=True)], tmp_path, text)
    (held,) = found["result"]["positions"]
    assert held["qty"] == found["result"]["residual_exposure"]["BTC"] > 0
    assert held["unrealized"] > 0
    assert held["close_price"] == pytest.approx(prices(MINUTES - 1)[3], rel=2e-4)


def test_without_a_mark_what_was_paid_is_unknown_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ini, out = tmp_path / "bt.toml", tmp_path / "facts.json"
    ini.write_text(f"{MOMENTUM}\n[backtest.venues.beta]\nleverage = 5\n")
    store = market(tmp_path, marks=False)
    assert lab(["backtest", f"--facts={out}", str(ini), str(store)]) == 1
    assert "what funding paid is unknown: " in capsys.readouterr().err
    found = json.loads(out.read_text())
    assert found["payments"] == []
    assert found["result"]["pnl"]["USDT"]["certainty"] == "unknown"
    assert told(found, "1 fundings at beta: no mark")
    assert told(found, f"liquidation of {VENUE} {NAME}: the data have no marks")
    assert told(found, "orders that rest, so market making too")
    assert told(found, "deleveraging")


def test_the_low_of_a_minute_of_marks_liquidates(tmp_path: Path) -> None:
    text = f"{MOMENTUM}\n[backtest.venues.beta]\nleverage = 5\nliquidation_fee_bps = 50\n"
    safe = traded([market(tmp_path / "safe", marks=True)], tmp_path, text)
    assert safe["liquidations"] == []
    assert not told(safe, f"liquidation of {VENUE} {NAME}: the data have no marks")
    found = traded([market(tmp_path / "crash", marks=True, crash=40)], tmp_path, text)
    (closed,) = found["liquidations"]
    assert closed["price"] == 100.0
    assert (closed["ts_ns"] - BEGIN_NS) // MINUTE_NS == 40
    assert closed["qty"] > 0
    (fill,) = [each for each in found["fills"] if each["reduced_by"]]
    assert (fill["reduced_by"], fill["side"]) == ("liquidation", "sell")
    assert (fill["qty"], fill["price"], fill["fee"]) == (
        closed["qty"],
        closed["price"],
        closed["fee"],
    )
    ours, account = found["result"]["pnl"]["USDT"], found["accounts"]["USDT"]
    assert ours["realized"] == account["realized"] < 0
    assert ours["fees"] == account["fees"]
    by_strategy = found["result"]["pnl_by_strategy"]
    assert by_strategy["mom"]["USDT"]["realized"] < -9_900  # its loss; nobody ordered the fee
    assert by_strategy["unknown"]["USDT"]["realized"] == -closed["fee"]


def test_marks_are_told_with_the_index_of_the_same_moment(tmp_path: Path) -> None:
    store = market(tmp_path, marks=True)
    chosen = [each for name in ("mark", "index") for each in markets_in(store, name)]
    found = [each for _, each in messages_of(chosen, 0.0, {})]
    assert len(found) == 4 * MINUTES
    first = [each for each in found if isinstance(each, Mark)][:8]
    for each, price, apart in zip(first, (0.5, -0.5, 6.5, 5.5), (-3.5,) * 4, strict=False):
        assert each.mark_price == 20_000 + price
        assert each.index_price == 20_000 + price + apart
    assert [each.index_price for each in first[4:]] == [None] * 4
    assert first[0].ts_recv_ns == BEGIN_NS
    assert first[3].ts_recv_ns == BEGIN_NS + MINUTE_NS - 1_000_000
