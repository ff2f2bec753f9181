"""A rule over the bars of a store: the same bars as in the file that was imported."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
from services.cli.data.rows import Wanted
from services.cli.data.tables import import_tables
from services.research.candle_files import DataConfig, load_candles
from services.research.command import main
from services.research.stored_candles import load_stored
from shared.errors import ConfigError
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table
from tests.unit.test_research_candles import rows, write

KRAKEN = Wanted("kraken", "BTC/USD")


def stored(tmp_path: Path, wanted: Wanted = KRAKEN, lines: list[str] | None = None) -> Path:
    file = write(tmp_path, lines or rows())
    import_tables([file], tmp_path / "store", wanted)
    return tmp_path / "store"


def told(store: Path, config: DataConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        load_stored(store, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bars_of_a_store_are_those_of_the_file(tmp_path: Path) -> None:
    store = stored(tmp_path)
    found, file = (
        load_stored(store, DataConfig()),
        load_candles(write(tmp_path, rows()), DataConfig()),
    )
    for mine, theirs in zip(found.candles[:3], file.candles[:3], strict=True):
        assert list(mine) == list(theirs)
    same = ("bars", "bar", "holes", "first", "last")
    assert [found.manifest[k] for k in same] == [file.manifest[k] for k in same]
    assert found.manifest["file"] == "kraken BTC/USD"


def test_one_of_several_markets_is_asked_for(tmp_path: Path) -> None:
    stored(tmp_path)
    store = stored(tmp_path, Wanted("coinbase", "BTC/USD"))
    says = told(store, DataConfig())
    assert (
        "say under [data] which bars; there are: venue = 'coinbase', instrument = 'BTC/USD'; "
        in says
    )
    assert "there are no such bars" in told(store, DataConfig(venue="binance"))
    assert load_stored(store, DataConfig(venue="kraken")).manifest["file"] == "kraken BTC/USD"


def test_one_of_several_lengths_is_asked_for(tmp_path: Path) -> None:
    stored(tmp_path)
    store = stored(tmp_path, lines=rows(step=timedelta(hours=1)))
    assert "how long bars are: bar = '1m' or bar = '1h'" in told(store, DataConfig())
    assert load_stored(store, DataConfig(bar="1h")).candles.bar_s == 3_600
    assert "bar = '1m' or bar = '1h'" in told(store, DataConfig(bar="5m"))


def test_missing_bars_and_those_recorded_in_part_are_holes(tmp_path: Path) -> None:
    lines = rows()
    store = stored(tmp_path, lines=lines[:2] + lines[3:])
    assert "1 bar of 1m missing before it" in told(store, DataConfig())
    assert load_stored(store, DataConfig(holes="keep")).candles.holes == 1
    bar = 60 * 10**9
    table = [
        (n * bar, bar, 1.0, 1.0, 1.0, 1.0, 1.0, None, None, 1, False, n != 3)
        for n in range(29_000_000, 29_000_000 + 6)
    ]
    table[3] = (*table[3][:-1], False)
    folder = folder_of(tmp_path / "derived", "bar", venue="v", instrument="A/B", date="2025-02-19")
    write_table(folder / "derived.parquet", "bar", table, Made(step_ns=bar))
    assert load_stored(tmp_path / "derived", DataConfig(holes="keep")).candles.holes == 1


def test_a_store_without_bars_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert "there are: none" in told(tmp_path / "store", DataConfig())


def test_a_rule_runs_over_imported_candles(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """An import, then a backtest of its bars: the same as of the file itself."""
    text = '[rule]\nname = "sma_cross"\nparams = { fast_bars = 2, slow_bars = 5 }\n'
    text += '[data]\nholes = "keep"\n'
    (tmp_path / "research.toml").write_text(text)
    lines = rows(400, timedelta(hours=1))
    for n, line in enumerate(lines):
        cells = line.split(",")
        price = 100 + n % 17
        lines[n] = ",".join([cells[0], *map(str, (price, price + 1, price - 1, price)), "1"])
    store, found = stored(tmp_path, lines=lines), []
    for number, data in enumerate((store, tmp_path / "candles.csv")):
        out = tmp_path / f"out{number}"
        given = ["backtest", "research.toml", "--data", str(data), "--out", str(out), "--json"]
        given[1] = str(tmp_path / "research.toml")
        assert main(given) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["round_trips"] == found[1]["round_trips"] > 3
    assert found[0]["total_return"] == found[1]["total_return"]
