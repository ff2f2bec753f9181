"""Backtests on a store: raw frames decide as the files they came from, depth and bars nearly so."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.data.derive import derive
from services.cli.data.imports import import_recordings
from services.cli.data.rows import Wanted
from services.cli.data.tables import import_tables
from services.lab.backtest import Backtest, configured
from services.lab.backtest_terms import BacktestConfig
from services.lab.command import main as lab
from services.lab.recorded import survey
from services.lab.tables import Tables, tables_of
from shared.config_sections import Config, same_books
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table
from shared.venues.registry import EVERY
from tests.decision_builders import SPOT, make_rules
from tests.sim.test_backtest import files

BEGIN_NS = 1_672_531_200_000_000_000
MINUTE_NS = 60_000_000_000
FAST = "[scanner]\ncooldown_ms = 300\n"


def traded(data: list[Path], folder: Path, text: str) -> dict[str, Any]:
    ini, out = folder / "bt.toml", folder / "facts.json"
    ini.write_text(text)
    assert lab(["backtest", f"--facts={out}", str(ini), *map(str, data)]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def refused(data: Path, folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    ini, out = folder / "bt.toml", folder / "facts.json"
    ini.write_text(text)
    assert lab(["backtest", f"--facts={out}", str(ini), str(data)]) == 2
    assert not out.exists()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_a_store_is_played_as_its_recordings_and_its_depth_nearly_so(tmp_path: Path) -> None:
    paths, store = files(tmp_path), tmp_path / "store"
    import_recordings(paths, store, None)
    derive(store)
    whole = traded(paths, tmp_path, FAST)
    raw = traded([store], tmp_path, FAST)
    assert raw["result"]["replay"]["hash"] == whole["result"]["replay"]["hash"]
    assert raw["fill_count"] == whole["fill_count"] > 20
    depth = traded([store], tmp_path, FAST + '[backtest]\ndata = "depth"\n')
    assert depth["source"] == "depth"
    assert depth["fill_count"] == pytest.approx(whole["fill_count"], rel=0.1)
    assert any("less exact than raw recordings" in each for each in depth["not_modelled"])


def bars(
    folder: Path,
    venues: list[str],
    *,
    without: int = -1,
    minutes: int = 90,
    step_ns: int = MINUTE_NS,
) -> Path:
    """Two venues' minutes, or longer bars, 100 bps apart from the 30th to the 32nd."""
    store = folder / "store"
    for number, venue in enumerate(venues):
        rows = []
        for n in range(minutes):
            first, last = 20_000.0 + n % 7, 20_000.0 + (n + 1) % 7
            apart = 1.01 if number and 30 <= n < 33 else 1.0
            first, last = round(first * apart, 2), round(last * apart, 2)
            high, low = max(first, last) + 1, min(first, last) - 1
            row = (BEGIN_NS + n * step_ns, step_ns, first, high, low, last, 5.0)
            if n != without:
                rows.append((*row, None, None, 4, False, True))
        file = store / "bar" / f"venue={venue}" / "instrument=BTC%2FUSDT" / "date=2023-01-01"
        file.mkdir(parents=True)
        write_table(file / "x.parquet", "bar", rows, Made(step_ns=step_ns))
    return store


@pytest.fixture
def venues(tmp_path: Path) -> list[str]:
    return sorted(venue for venue, _ in survey(files(tmp_path)).rules)


def test_bars_are_traded_at_their_prices_and_say_that_they_are_bars(
    tmp_path: Path, venues: list[str]
) -> None:
    found = traded([bars(tmp_path, venues)], tmp_path, "[backtest]\nspread_bps = 4\n")
    assert found["source"] == "bars"
    assert found["result"]["plans"]["outcomes"]["FILLED"] >= 3
    assert set(found["result"]["plans"]["outcomes"]) == {"FILLED"}
    minutes = {(fill["ts_ns"] - BEGIN_NS) // MINUTE_NS for fill in found["fills"]}
    assert minutes <= {30, 31, 32}
    first = found["fills"][0]
    assert first["price"] == pytest.approx((20_000 + 30 % 7) * 1.0002, abs=2)
    assert any("much less exact" in each for each in found["not_modelled"])
    again = traded([tmp_path / "store"], tmp_path, "[backtest]\nspread_bps = 4\n")
    assert again == found


def test_long_bars_keep_their_books(tmp_path: Path, venues: list[str]) -> None:
    """Books of bars of an hour were forgotten within the first one, and nothing was traded."""
    store = bars(tmp_path, venues, minutes=40, step_ns=60 * MINUTE_NS)
    found = traded([store], tmp_path, "[backtest]\nspread_bps = 4\n")
    assert found["result"]["plans"]["outcomes"]["FILLED"] >= 3
    hours = {(fill["ts_ns"] - BEGIN_NS) // (60 * MINUTE_NS) for fill in found["fills"]}
    assert hours <= {30, 31, 32}


BASIS = """\
[venues.alpha]
instruments = ["BTC/USDT", "BTC/USDT:USDT"]
taker_fee_bps = 2

[[strategies]]
id = "basis"
class = "spot_perp_basis"

[strategies.params]
spot_fee_bps = 2.0
perp_fee_bps = 2.0
held_hours_max = 0.15
book_age_ms_max = 60_000

[backtest.venues.alpha]
balances = { USDT = 1_000_000 }
"""


def test_a_round_whose_time_is_up_between_bars_is_closed_there(tmp_path: Path) -> None:
    """Its strategy decided on a book of the last bar, and the executor had no younger one yet."""
    store = tmp_path / "store"
    for instrument in ("BTC/USDT", "BTC/USDT:USDT"):
        rows = []
        for n in range(50):
            first = 20_200.0 if ":" in instrument and n >= 5 else 20_000.0
            row = (BEGIN_NS + n * MINUTE_NS, MINUTE_NS, first, first + 1, first - 1, first, 5.0)
            rows.append((*row, None, None, 4, False, True))
        file = folder_of(store, "bar", venue="alpha", instrument=instrument, date="2023-01-01")
        write_table(file / "x.parquet", "bar", rows, Made(step_ns=MINUTE_NS))
    found = traded([store], tmp_path, BASIS)
    outcomes = found["result"]["plans"]["outcomes"]
    assert set(outcomes) == {"FILLED"}
    opened, closed = (each["ts_ns"] - BEGIN_NS for each in found["plans"][:2])
    assert opened // MINUTE_NS == 5
    assert closed // MINUTE_NS == 14, "nine minutes later"


def test_memory_does_not_grow_with_the_bars(tmp_path: Path, venues: list[str]) -> None:
    """What is left of each bar would be left of a year's 525,600: objects are counted."""
    minutes, every_s = 900, 9_000
    tables = tables_of(bars(tmp_path, venues, minutes=minutes), {}, 2.0)
    run = Backtest(tables, configured(Config(), tables, "here"), BacktestConfig())
    counted: dict[int, int] = {}

    def count(market_s: float) -> None:
        if int(market_s // every_s) not in counted:
            gc.collect()
            points = sum(map(len, (run.curve.times_ns, *run.curve.profits.values())))
            counted[int(market_s // every_s)] = sys.getallocatedblocks() - points

    run.run(count)
    assert run.curve.profits
    assert not run.collector.in_flight()
    played = (4 - 1) * every_s // 60 * len(venues)
    assert counted[4] - counted[1] < played / 3
    assert counted[4] - counted[2] < played / 3


def test_a_missing_bar_is_refused_or_kept(
    tmp_path: Path, venues: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = bars(tmp_path, venues, without=20)
    told = refused(store, tmp_path, "", capsys)
    assert "lacks 1 bars before 2023-01-01 00:21:00.000 UTC" in told
    found = traded([store], tmp_path, '[backtest]\nholes = "keep"\n')
    assert found["fill_count"] > 0


def test_what_a_store_has_not_is_one_line(
    tmp_path: Path, venues: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = bars(tmp_path, [*venues, "elsewhere"])
    assert "the fees of elsewhere are not known here" in refused(store, tmp_path, "", capsys)
    told = refused(store, tmp_path, '[backtest]\ndata = "depth"\n', capsys)
    assert "no table depth in it" in told
    told = refused(store, tmp_path, '[backtest]\ndata = "raw"\n', capsys)
    assert "no raw frames" in told
    (tmp_path / "none").mkdir()
    assert "no table of depth or bars" in refused(tmp_path / "none", tmp_path, "", capsys)
    damaged = next(store.rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert "cannot be read as Parquet" in refused(store, tmp_path, "", capsys)


def candles(folder: Path, *, apart: float, minutes: int = 90) -> Path:
    """As an exchange's own archive has them: no heading, one file a day."""
    folder.mkdir(parents=True)
    path = folder / "BTCUSDT-1m-2023-01-01.csv"
    lines = []
    for n in range(minutes):
        at = BEGIN_NS // 1_000_000 + n * 60_000
        factor = apart if 30 <= n < 33 else 1.0
        first, last = (round((20_000 + each % 7) * factor, 2) for each in (n, n + 1))
        prices = f"{first},{max(first, last) + 1},{min(first, last) - 1},{last}"
        lines.append(f"{at},{prices},5.0,{at + 59_999},100000,4,2.5,50000,0")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_imported_candles_are_traded_as_bars(tmp_path: Path, venues: list[str]) -> None:
    store = tmp_path / "imported"
    for number, venue in enumerate(venues):
        file = candles(tmp_path / venue, apart=1.01 if number else 1.0)
        import_tables([file], store, Wanted(venue, "BTC/USDT"))
    text = "[backtest]\nspread_bps = 4\n"
    found = traded([store], tmp_path, text)
    made = traded([bars(tmp_path, venues)], tmp_path, text)
    assert found["source"] == "bars"
    assert found["fill_count"] == made["fill_count"] > 3
    assert found["result"]["replay"]["hash"] == made["result"]["replay"]["hash"]


def test_bars_of_two_lengths_are_chosen_from(
    tmp_path: Path, venues: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = bars(tmp_path, venues)
    hours = tmp_path / "hours.csv"
    lines = [f"{BEGIN_NS + n * 60 * MINUTE_NS},20000,20001,19999,20000,1" for n in range(3)]
    hours.write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    import_tables([hours], store, Wanted(venues[0], "BTC/USDT"))
    told = refused(store, tmp_path, "", capsys)
    assert "has bars of 60, 3600 s; give one as backtest.bar_s" in told
    assert traded([store], tmp_path, "[backtest]\nbar_s = 60\n")["fill_count"] > 3
    (tmp_path / "facts.json").unlink()
    assert "give one" in refused(store, tmp_path, "[backtest]\nbar_s = 300\n", capsys)


def books(path: Path, *, apart: float) -> Path:
    """Two levels each tenth of a second; from the tenth second on, for one, far from others."""
    heading = ["timestamp", "local_timestamp"]
    heading += [f"{s}_{n}_{w}" for s in ("ask", "bid") for n in (1, 2) for w in ("price", "qty")]
    lines = [",".join(heading)]
    for n in range(300):
        ms = BEGIN_NS // 1_000_000 + n * 100
        mid = (20_000 + n % 3) * (apart if 100 <= n < 110 else 1.0)
        levels = [(mid + 0.5, 1.5), (mid + 1, 2 + n % 2), (mid - 0.5, 1.5), (mid - 1, 2.0)]
        cells = [f"{each:.2f}" for level in levels for each in level]
        lines.append(",".join([str(ms), str(ms * 1_000_000 + 5_000_000), *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_imported_books_are_traded_and_say_that_they_are_less_exact(
    tmp_path: Path, venues: list[str]
) -> None:
    store = tmp_path / "store"
    for number, venue in enumerate(venues):
        file = books(tmp_path / f"{venue}.csv", apart=1.01 if number else 1.0)
        import_tables([file], store, Wanted(venue, "BTC/USDT"))
    found = traded([store], tmp_path, FAST)
    assert found["source"] == "depth"
    assert found["result"]["plans"]["outcomes"]["FILLED"] >= 1
    seconds = {(fill["ts_ns"] - BEGIN_NS) // 1_000_000_000 for fill in found["fills"]}
    assert seconds <= {10, 11}
    assert any("less exact than raw recordings" in each for each in found["not_modelled"])


def test_venues_that_nobody_can_connect_to_are_not_one_venue() -> None:
    rules = {(name, SPOT): make_rules(name) for name in ("alpha", "beta")}
    config = configured(Config(), Tables("depth", [], rules=rules), "here")
    assert {each.adapter for each in config.venues.values()} <= set(EVERY)
    assert same_books(config.venues) == {}
