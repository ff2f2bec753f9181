"""Funding in a backtest: our ledger books what the accounts are paid, the report splits it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.lab.command import main as lab
from services.research.trading import report_of
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table
from tests.sim.test_backtest_kernel import made_up
from tests.sim.test_backtest_tables import traded

BEGIN_NS = 1_672_531_200_000_000_000
SECOND_NS = 1_000_000_000
INTERVAL_S, LENGTH_S, SETTLED = 60, 240, 4
SPOT, PERP = ("alpha", "BTC/USDT", 20_000.0), ("beta", "BTC/USDT:USDT", 20_010.0)
RATE, MARK = 0.0005, 20_010.0
CARRY = """
[venues.alpha]
instruments = ["BTC/USDT"]
taker_fee_bps = 1

[venues.beta]
instruments = ["BTC/USDT:USDT"]
taker_fee_bps = 1

[[strategies]]
id = "carry"
class = "funding_carry"

[strategies.params]
short_venue = "beta"
short_instrument = "BTC/USDT:USDT"
long_venue = "alpha"
long_instrument = "BTC/USDT"
settled_count = 1
enter_bps_per_hour = 100.0
exit_bps_per_hour = 50.0
hold_hours_max = 1.0
basis_credit_bps_max = 60.0
guard_ms = 1000
"""


MOMENTUM = """
[venues.beta]
instruments = ["BTC/USDT:USDT"]
taker_fee_bps = 5

[[strategies]]
id = "trend"
class = "momentum"
directional_notional_max = 10_000
directional_equity = 100_000

[strategies.params]
interval_s = 60
fast_bars = 3
slow_bars = 8
"""


@pytest.mark.parametrize(
    ("minutes", "told_hours", "is_known"),
    [(50, 0, True), (60, 0, False), (60, 1, False), (70, 1, False), (60, 2, True), (70, 2, True)],
    ids=["no hour", "no rates", "rate of the begin", "later", "all", "all, and later"],
)
def test_a_settlement_of_which_the_data_tell_no_rate_is_one_clear_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    minutes: int,
    told_hours: int,
    is_known: bool,
) -> None:
    """A position is held at the full hour, when venues that announce nothing may settle."""
    store, config, out = tmp_path / "store", tmp_path / "bt.toml", tmp_path / "facts.json"
    write_bars(store, minutes, told_hours)
    config.write_text(MOMENTUM)
    code = lab(["backtest", f"--facts={out}", str(config), str(store)])
    result, told = json.loads(out.read_text())["result"], capsys.readouterr().err
    assert result["fills"] > 0
    if is_known:
        assert (code, result["problems"], told) == (0, [], "")
        return
    assert code == 1
    assert told.count("\n") == 1
    assert "beta BTC/USDT:USDT was held at a full hour or a settlement of which" in told
    assert result["pnl"]["USDT"]["certainty"] == "unknown"


def write_bars(store: Path, minutes: int, told_hours: int) -> None:
    """Minutes of the perpetual, and the settled rates of the first full hours."""
    minute_ns, venue = 60 * SECOND_NS, PERP[0]
    bars = [
        (each.time_s * SECOND_NS, minute_ns, *each[1:], 5.0, None, None, 4, False, True)
        for each in made_up(3, minutes, 60)
    ]
    hours = [BEGIN_NS + count * 3_600 * SECOND_NS for count in range(told_hours)]
    rates = [(at, at, at, RATE, MARK, None, 3_600 * SECOND_NS, None, None, True) for at in hours]
    for table, rows, made in (("bar", bars, Made(step_ns=minute_ns)), ("funding", rates, Made())):
        if rows:
            folder = folder_of(store, table, venue=venue, instrument=PERP[1], date="2023-01-01")
            write_table(folder / "x.parquet", table, rows, made)


def write_depth(store: Path, venue: str, instrument: str, middle: float) -> None:
    rows = []
    for n in range(LENGTH_S):
        at_ns = BEGIN_NS + n * SECOND_NS
        for is_bid, sign in ((True, 1), (False, -1)):
            for level in range(10):
                price = round(middle * (1 - sign * (level + 0.5) * 0.5e-4), 1)
                rows.append((at_ns, at_ns, at_ns, n + 1, n + 1, True, is_bid, price, 5.001))
    folder = folder_of(store, "depth", venue=venue, instrument=instrument, date="2023-01-01")
    write_table(folder / "x.parquet", "depth", rows, Made())


def write_funding(store: Path, told_until: int, told_rate: float) -> None:
    """Predictions each second, and the history of the settlements up to one of them."""
    rows: list[tuple[Any, ...]] = []
    for n in range(LENGTH_S):
        at_ns = BEGIN_NS + n * SECOND_NS
        next_ns = BEGIN_NS + (n // INTERVAL_S + 1) * INTERVAL_S * SECOND_NS
        rows.append(
            (at_ns, at_ns, next_ns, RATE, MARK, 20_000.0, 60 * SECOND_NS, None, None, False)
        )
    for count in range(told_until):
        settled_ns = BEGIN_NS + count * INTERVAL_S * SECOND_NS
        rate = told_rate if count else RATE
        at_ns = settled_ns + 2 * SECOND_NS
        rows.append((at_ns, at_ns, settled_ns, rate, MARK, None, 60 * SECOND_NS, None, None, True))
    rows.sort(key=lambda row: row[0])
    venue, instrument, _ = PERP
    folder = folder_of(store, "funding", venue=venue, instrument=instrument, date="2023-01-01")
    write_table(folder / "x.parquet", "funding", rows, Made())


@pytest.mark.parametrize(
    ("told_until", "told_rate", "settled"),
    [(SETTLED, RATE, 3), (1, RATE, 0), (SETTLED, 0.0004, 3), (2, 0.0006, 1)],
    ids=["told", "predicted", "told otherwise", "told for a while"],
)
def test_our_ledger_books_the_funding_that_the_accounts_are_paid(
    tmp_path: Path, told_until: int, told_rate: float, settled: int
) -> None:
    store = tmp_path / "store"
    for book in (SPOT, PERP):
        write_depth(store, *book)
    write_funding(store, told_until, told_rate)
    found = traded([store], tmp_path, CARRY)
    result, account = found["result"], found["accounts"]["USDT"]
    assert result["problems"] == []
    assert result["plans"]["outcomes"] == {"FILLED": 1}
    held = found["payments"][0]["qty"]
    assert held < 0
    each = -held * MARK
    expected = each * (told_rate * settled + RATE * (SETTLED - settled))
    ours = result["pnl"]["USDT"]
    assert ours["certainty"] == "known"
    assert ours["funding"] == account["funding"] == pytest.approx(expected, abs=1e-9)
    assert ours["realized"] == account["realized"]
    assert result["pnl_by_strategy"]["carry"]["USDT"]["funding"] == ours["funding"]
    assert [paid["is_settled"] for paid in found["payments"]] == [True] * settled + [False] * (
        SETTLED - settled
    )
    performance = report_of(found)["performance"]["USDT"]
    assert performance["funding"] == ours["funding"]
    split = performance["gross"] - performance["fees"] + performance["funding"]
    assert split == pytest.approx(performance["net"], abs=1e-9)
    assert performance["net"] == pytest.approx(found["curve"]["profits"]["USDT"][-1], abs=1e-9)
    check_split(found, expected)


def check_split(found: dict[str, Any], funding: float) -> None:
    """Best prices are 0.5 from the middle, on both books, and hold more than is taken."""
    split = found["split"]["USDT"]
    held = -found["payments"][0]["qty"]
    known = {name: Decimal(each) for name, each in split.items() if isinstance(each, str)}
    assert float(known["spread"]) == pytest.approx(-held * (0.5 + 0.5))
    assert (known["latency_drift"], known["slippage"], known["conversion"]) == (0, 0, 0)
    assert known["at_middles"] == 0, "neither middle moved"
    assert float(known["funding"]) == pytest.approx(funding, abs=1e-9)
    net = known.pop("net")
    assert sum(known.values()) == net
    assert (split["fills"], split["no_decision"], split["no_book"]) == (found["fill_count"], 0, 0)
    (trip,) = found["round_trips"]["trips"]
    assert (trip["strategy"], trip["kind"], trip["closed_ns"]) == ("carry", "round", None)
    assert trip["funding"]["USDT"] == pytest.approx(funding, abs=1e-9)
    assert trip["fees"]["USDT"] == found["accounts"]["USDT"]["fees"]
    assert found["round_trips"]["in_market"] > 0.9


CLAIM_INSTANT_PROFIT = ("cross_venue", "triangular", "conversion")
NEGATIVE_CONTROL = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")


@pytest.mark.recorded
@pytest.mark.timeout(900)
def test_who_claims_instant_profit_is_silent_where_none_is(recorded: Path, tmp_path: Path) -> None:
    text = "".join(f'[[strategies]]\nid = "{n}"\nclass = "{n}"\n' for n in CLAIM_INSTANT_PROFIT)
    files = [recorded / "hftbacktest" / name for name in NEGATIVE_CONTROL]
    found = traded(files, tmp_path, text)
    result = found["result"]
    assert sorted(found["identity"]["strategies"]) == sorted(CLAIM_INSTANT_PROFIT)
    assert result["opportunities"] == found["fill_count"] == result["plans"]["approved"] == 0
    assert result["pnl"] == {}
    assert sum(result["near_misses"].values()) > 10_000, "they looked, and found nothing"


BASIS_AT_ANY_PRICE = """
[[strategies]]
id = "basis"
class = "spot_perp_basis"

[strategies.params]
open_bps = -30.0
close_bps = -90.0
held_hours_max = 0.01
"""
HOLD_POSITIONS = ("spot_perp_basis", "funding_carry")


@pytest.mark.recorded
@pytest.mark.timeout(900)
def test_who_holds_positions_states_nothing_there(recorded: Path, tmp_path: Path) -> None:
    text = "".join(f'[[strategies]]\nid = "{n}"\nclass = "{n}"\n' for n in HOLD_POSITIONS)
    files = [recorded / "hftbacktest" / name for name in NEGATIVE_CONTROL]
    found = traded(files, tmp_path, text)
    assert found["fill_count"] == found["result"]["plans"]["approved"] == 0
    assert found["result"]["pnl"] == {}


@pytest.mark.recorded
@pytest.mark.timeout(900)
def test_who_opens_at_any_basis_there_states_a_loss(recorded: Path, tmp_path: Path) -> None:
    """What funding cost is not in the recording, so that the run says so and the sum is unknown."""
    given, out = tmp_path / "bt.toml", tmp_path / "facts.json"
    given.write_text(BASIS_AT_ANY_PRICE)
    files = [str(recorded / "hftbacktest" / name) for name in NEGATIVE_CONTROL]
    assert lab(["backtest", f"--facts={out}", str(given), *files]) == 1
    found = json.loads(out.read_text())
    earned = found["result"]["pnl"]["USDT"]
    assert found["fill_count"] > 0
    assert earned["realized"] + earned["unrealized"] < 0
    assert earned["certainties"]["funding"] == earned["certainty"] == "unknown"
    (problem,) = found["result"]["problems"]
    assert "binanceusdm BTC/USDT:USDT was held at a full hour or a settlement" in problem
