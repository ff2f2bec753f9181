"""A replay in one thread: what a recording holds is traded on paper, and always in the same way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.lab import recorded as recorded_module
from services.lab.recorded import survey
from services.lab.replay import Replay
from shared.capture import reader
from shared.config import load_strategies_of
from shared.config_sections import StrategyConfig
from shared.errors import ConfigError
from shared.watch.report import build_report
from tests.e2e.test_demo import check_money
from tests.e2e.test_replay_pays import START_NS, kraken_recording, recording
from tests.strategy_files import TRADES, write_strategy


def replayed(*paths: Path) -> tuple[dict[str, Any], Replay]:
    run = Replay(survey(paths))
    ending = run.run()
    return build_report(run.collector, {}, ending), run


def test_venues_that_are_apart_are_traded(tmp_path: Path) -> None:
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    dear = kraken_recording(tmp_path / "kraken.txt", 60_600.0)
    report, _ = replayed(cheap, dear)
    assert report["problems"] == []
    assert report["replay"]["complete"]
    assert report["plans"]["approved"] > 0
    assert report["plans"]["outcomes"].get("FILLED", 0) > 0
    assert report["orders"]["unknown"] == 0
    assert report["pnl"]["USDT"]["realized"] > 0
    assert set(report["inventory_change"]) == {"binance", "kraken"}
    check_money(report)
    assert all(qty == 0 for qty in report["residual_exposure"].values())


def test_the_order_of_files_and_a_second_run_change_nothing(tmp_path: Path) -> None:
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    dear = kraken_recording(tmp_path / "kraken.txt", 60_600.0)
    runs = [replayed(*paths)[0]["replay"] for paths in [(cheap, dear), (dear, cheap)]]
    assert all(run["decisions"] > 0 for run in runs), "a hash of nothing is always the same"
    assert len({run["hash"] for run in runs}) == 1


def test_a_perpetual_that_is_apart_is_counted_and_not_traded(tmp_path: Path) -> None:
    spot = recording(tmp_path / "spot.txt", 60_000.0, futures=False)
    perp = recording(tmp_path / "usdm.txt", 60_300.0, futures=True)
    report, _ = replayed(spot, perp)
    assert report["near_misses"]["OPENS_POSITION"] > 0
    assert report["orders"]["submitted"] == 0


def test_a_gap_stays_one_where_the_recording_has_no_other_snapshot(tmp_path: Path) -> None:
    whole = recording(tmp_path / "whole.txt", 60_000.0, futures=False)
    lines = whole.read_text().splitlines()
    del lines[40]
    path = tmp_path / "gap.txt"
    path.write_text("\n".join(lines) + "\n")
    report, _ = replayed(path)
    assert report["books"] == {"live": 0, "gaps": 1, "resyncs": 0}


def test_a_snapshot_after_the_gap_heals_it(tmp_path: Path) -> None:
    whole = recording(tmp_path / "whole.txt", 60_000.0, futures=False)
    lines = whole.read_text().splitlines()
    body = lines[0].partition(" ")[2]
    later = json.loads(body) | {"lastUpdateId": 1_000 + 5 * 60}
    number = int(lines[60].partition(" ")[0]) + 1
    lines.insert(61, f"{number} {json.dumps(later)}")
    del lines[40]
    path = tmp_path / "healed.txt"
    path.write_text("\n".join(lines) + "\n")
    report, _ = replayed(path)
    assert (report["books"]["live"], report["books"]["gaps"]) == (1, 1)


def test_a_book_that_never_syncs_is_a_problem(tmp_path: Path) -> None:
    whole = recording(tmp_path / "whole.txt", 60_000.0, futures=False)
    path = tmp_path / "none.txt"
    path.write_text("\n".join(whole.read_text().splitlines()[1:60]) + "\n")
    report, _ = replayed(path)
    (problem,) = report["problems"]
    assert problem.startswith("binance BTC/USDT was never LIVE: ")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = recording(tmp_path / "whole.txt", 60_000.0, futures=False)
    lines = path.read_text().splitlines()
    lines[20] = lines[20][:80]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=r"whole\.txt:21: the frame is truncated"):
        survey([path])


def test_recordings_of_different_days_are_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "first.txt", 60_000.0, futures=False)
    later = tmp_path / "later.txt"
    day_ns = 86_400_000_000_000
    rows = [line.partition(" ") for line in path.read_text().splitlines()]
    later.write_text("".join(f"{int(at) + day_ns} {body}\n" for at, _, body in rows))
    with pytest.raises(ConfigError, match=r"later\.txt:1: nothing was recorded for 23 hours"):
        survey([path, later])


@pytest.mark.recorded
@pytest.mark.slow
def test_where_nothing_pays_no_strategy_of_several_assets_trades(recorded: Path) -> None:
    """Spot and perpetual of 2024-08-08: the basis is far below what two orders cost."""
    names = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")
    chosen = [StrategyConfig(id=each, class_=each) for each in ("triangular", "conversion")]
    run = Replay(survey([recorded / "hftbacktest" / name for name in names]), strategies=chosen)
    report = build_report(run.collector, {}, run.run())
    assert report["books"]["live"] == 2
    assert report["book_events"] > 9_000
    assert report["opportunities"] == 0
    assert report["orders"]["submitted"] == 0
    assert not [text for text in report["alerts"] if "STRATEGY_DISABLED" in text]


def arb(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", "replay", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


def test_decisions_are_written_one_entry_a_line(tmp_path: Path) -> None:
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    dear = kraken_recording(tmp_path / "kraken.txt", 60_600.0)
    out = tmp_path / "decisions"
    done = arb(str(cheap), str(dear), "--decisions", str(out), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == report["replay"]["decisions"]
    assert {"arb.opportunity", "exec.plan", "exec.event"} <= {row["stream"] for row in rows}
    plans = [m for row in rows for m in row["messages"] if m["type"] == "approved_plan"]
    assert len(plans) == report["plans"]["approved"]
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert digest == report["replay"]["hash"]
    table = arb(str(cheap), str(dear))
    assert (table.returncode, "approved" in table.stdout) == (0, True)


@pytest.mark.parametrize("option", [("--speed", "2"), ("--processes",)])
def test_decisions_and_processes_exclude_each_other(tmp_path: Path, option: tuple[str]) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    done = arb(str(path), "--decisions", str(tmp_path / "out"), *option)
    assert (done.returncode, "--decisions" in done.stderr) == (2, True)


def test_decisions_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    done = arb(str(path), "--decisions", str(tmp_path / "no" / "folder"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_strategy_that_is_wrong_leaves_earlier_decisions_alone(tmp_path: Path) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    (tmp_path / "arb.toml").write_text('[[strategies]]\nid = "mine"\nclass = "none.py"\n')
    out = tmp_path / "decisions"
    out.write_text("earlier")
    strategies = str(tmp_path / "arb.toml")
    done = arb(str(path), "--decisions", str(out), "--strategies", strategies)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot read" in done.stderr
    assert out.read_text() == "earlier"


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_decisions_never_overwrite_a_recording(tmp_path: Path, link: str) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    other = kraken_recording(tmp_path / "kraken.txt", 60_600.0)
    before = path.read_bytes()
    out = path if link == "same" else tmp_path / "link"
    if link == "symbolic":
        out.symlink_to(path)
    elif link == "hard":
        out.hardlink_to(path)
    done = arb(str(other), str(path), "--decisions", str(out))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is the recording" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_decisions_on_a_full_disk_are_one_line(tmp_path: Path) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    done = arb(str(path), "--decisions", "/dev/full", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "arb: --decisions /dev/full: cannot be written: No space left on device"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_report_on_a_full_disk_is_one_line(tmp_path: Path, option: tuple[str, ...]) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli.main", "replay", str(path), *option],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "arb: standard output: cannot be written: No space left on device"
    ]


@pytest.mark.recorded
@pytest.mark.timeout(300)
def test_a_real_recording_gives_the_same_bytes(recorded: Path, tmp_path: Path) -> None:
    folder = recorded / "hftbacktest"
    paths = [str(folder / f"{name}_btcusdt_20240808.gz") for name in ("spot", "usdm")]
    reports = []
    for hash_seed in ("0", "1"):
        out = tmp_path / hash_seed
        done = arb(*paths, "--decisions", str(out), "--json", hash_seed=hash_seed)
        assert done.returncode == 0, done.stderr
        reports.append((out.read_bytes(), json.loads(done.stdout)))
    assert reports[0][0] == reports[1][0]
    report = reports[0][1]
    assert report["books"] == {"live": 2, "gaps": 0, "resyncs": 0}
    assert report["book_events"] > 9_000
    assert report["plans"]["approved"] == 0


def test_a_strategy_of_ones_own_decides_the_same_every_time(tmp_path: Path) -> None:
    write_strategy(tmp_path)
    (tmp_path / "arb.toml").write_text('[[strategies]]\nid = "mine"\nclass = "mine.py"\n')
    strategies = load_strategies_of(str(tmp_path / "arb.toml"))
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    dear = kraken_recording(tmp_path / "kraken.txt", 60_600.0)
    reports = []
    for _ in range(2):
        run = Replay(survey([cheap, dear]), None, strategies)
        reports.append(build_report(run.collector, {}, run.run()))
    assert reports[0]["plans"]["approved"] > 0
    assert set(reports[0]["pnl_by_strategy"]) == {"mine"}
    assert reports[0]["replay"]["hash"] == reports[1]["replay"]["hash"]
    check_money(reports[0])


def test_a_strategy_that_wants_what_is_not_recorded(tmp_path: Path) -> None:
    inputs = "\n    def inputs(self):\n        return [Depth('okx')]\n"
    write_strategy(tmp_path, TRADES + inputs)
    (tmp_path / "arb.toml").write_text('[[strategies]]\nid = "mine"\nclass = "mine.py"\n')
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    with pytest.raises(ConfigError, match="wants okx, which is not configured; there are: binance"):
        Replay(survey([cheap]), None, load_strategies_of(str(tmp_path / "arb.toml")))


def test_what_a_survey_keeps_is_what_another_reading_yields(tmp_path: Path) -> None:
    paths = [
        recording(tmp_path / "binance.txt", 60_000.0, futures=False),
        kraken_recording(tmp_path / "kraken.txt", 60_600.0),
    ]
    contents = survey(paths)
    assert contents.kept == list(contents.capture)
    assert list(contents.items()) == contents.kept


def test_a_long_recording_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    monkeypatch.setattr(recorded_module, "KEPT_BYTES_MAX", 20_000)
    contents = survey([path])
    assert contents.kept is None
    assert list(contents.items()) == list(contents.capture)


def test_what_a_survey_learns_is_known_when_the_recording_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that come late in a recording count from its first line on: so it is read again."""
    monkeypatch.setattr(reader, "PROBE_LINES", 5)
    path = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    text = path.read_text()
    url = "https://api.binance.com/api/v3/exchangeInfo"
    listing = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT"}
    path.write_text(f"{text}{url} -> {START_NS / 1e9 + 60}: {json.dumps({'symbols': [listing]})}\n")
    assert survey([path]).kept is None
