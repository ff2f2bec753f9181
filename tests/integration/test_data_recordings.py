"""Real recordings through the store: the same verdict, the same decisions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.data import look
from services.cli.data.derive import derive
from services.cli.data.export import export_recordings
from services.cli.data.imports import import_recordings
from services.cli.data.rows import Wanted
from services.cli.data.tables import import_tables
from services.cli.data.verify import verify_store
from services.cli.verification import verify_paths
from shared.errors import ConfigError
from tests.unit.test_data_store import without_paths

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.recorded


def decisions(paths: list[Path], file: Path) -> bytes:
    command = [sys.executable, "-m", "services.lab", "replay", *map(str, paths)]
    subprocess.run([*command, "--decisions", str(file)], stdout=subprocess.DEVNULL, check=False)
    return file.read_bytes()


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_FUTURES", "GATEIO"])
def test_a_capture_set_decides_the_same_after_the_store(tmp_path, recorded, name):
    paths = sorted((recorded / "cryptofeed").glob(f"{name}.*"))
    import_recordings(paths, tmp_path / "store", None)
    export_recordings(tmp_path / "store", tmp_path / "out", None)
    out = sorted((tmp_path / "out").glob("*/*"))
    before, after = (verify_paths(each).as_json() for each in (paths, out))
    assert without_paths(after) == without_paths(before)
    assert verify_store(tmp_path / "store").ok == before["ok"]
    assert decisions(out, tmp_path / "after") == decisions(paths, tmp_path / "before")


def test_markets_on_one_clock_keep_their_order(tmp_path, recorded):
    folder = recorded / "hftbacktest"
    paths = [folder / "spot_btcusdt_20240808.gz", folder / "spot_btcusdt_20240809.gz"]
    import_recordings(paths, tmp_path / "store", None)
    report = verify_store(tmp_path / "store")
    assert report.ok
    assert without_paths(verify_paths(paths).as_json())["books"] == without_paths(
        report.as_json()["books"]
    )


def test_bars_of_the_store_are_those_of_the_venues_time(tmp_path, recorded):
    import_recordings([recorded / "hftbacktest" / "spot_btcusdt_20240808.gz"], tmp_path, None)
    derive(tmp_path)
    query = "select open, high, low, close, volume, trades, buy_volume, is_complete from bar "
    _, rows = look.query(tmp_path, query + "where ts_open_ns = 1723161300000000000")
    (row,) = rows
    assert row[:4] == (61828.0, 61860.8, 61780.0, 61782.25)
    assert (row[4], row[5], row[7]) == (pytest.approx(15.07702, abs=1e-9), 1255, True)
    assert row[6] == pytest.approx(6.63029, abs=1e-9)
    assert verify_store(tmp_path).ok


def test_rates_of_a_table_add_up(tmp_path, recorded):
    file = recorded / "perpfunding_PietroC21" / "funding_rates" / "BTCUSDT.parquet"
    import_tables([file], tmp_path, Wanted("binanceusdm", "BTC/USDT:USDT"))
    _, rows = look.query(
        tmp_path, "select count(*), sum(rate), count(*) filter (rate < 0) from funding"
    )
    assert rows == [(6741, pytest.approx(0.77367755, abs=1e-9), 864)]


@pytest.mark.parametrize(
    "name",
    ["BTC-USDT_binance_2020-01-01_2024-01-01", "BTC-USDT_gate_2020-01-01_2024-01-01"],
)
def test_histories_that_say_no_zone_are_asked_for_one(tmp_path, recorded, name):
    file = recorded / "funding_supervik" / f"{name}_funding_history.csv.gz"
    wanted = Wanted("v", "BTC/USDT:USDT")
    with pytest.raises(ConfigError, match=r":2: funding time .* says no zone"):
        import_tables([file], tmp_path, wanted)
    done = import_tables([file], tmp_path, wanted._replace(zone="UTC"))
    doubt = [note for note in done["notes"] if "is the zone right?" in note]
    assert bool(doubt) == ("binance" in name)
