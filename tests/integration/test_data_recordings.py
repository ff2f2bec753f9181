"""Real recordings through the store: the same verdict, the same decisions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.data_export import export_recordings
from services.cli.data_import import import_recordings
from services.cli.data_verify import verify_store
from services.cli.verification import verify_paths
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
