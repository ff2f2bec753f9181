"""The event-driven backtest: what a replay decides, under the terms that a configuration gives."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.lab.backtest import Backtest, configured
from services.lab.backtest_terms import BacktestConfig
from services.lab.command import main as lab
from services.lab.output import OutputFile
from services.lab.recorded import survey
from services.lab.replay import Replay, Terms, config_of, paper_accounts
from services.research.command import main as research
from shared.config_sections import Config
from tests.e2e.test_replay_pays import kraken_recording, recording
from tests.support import ROOT

HOPS_NS = (200_000, 0)
PAIRS = ("spot_btcusdt_20240808", "usdm_btcusdt_20240808")


def files(folder: Path) -> list[Path]:
    """Two venues that are 100 bps apart for fifteen seconds."""
    return [
        recording(folder / "cheap.txt", 60_000.0, futures=False),
        kraken_recording(folder / "dear.txt", 60_600.0),
    ]


def replayed(paths: list[Path], out: Path, hop_ns: int) -> bytes:
    contents = survey(paths)
    terms = Terms(config=config_of(contents, ()), hop_ns=hop_ns, accounts=paper_accounts)
    with closing(OutputFile("--decisions", out)) as file:
        Replay(contents, file, terms=terms).run()
    return out.read_bytes()


def traded(paths: list[Path], out: Path, hop_ns: int) -> tuple[bytes, Backtest]:
    contents = survey(paths)
    terms = BacktestConfig(bus_us=hop_ns // 1_000)
    with closing(OutputFile("--decisions", out)) as file:
        config = configured(Config(), contents, "test")
        run = Backtest(contents, config, terms, file)
        run.run()
    return out.read_bytes(), run


@pytest.mark.parametrize("hop_ns", HOPS_NS)
def test_a_replay_and_a_backtest_decide_the_same_bytes(tmp_path: Path, hop_ns: int) -> None:
    paths = files(tmp_path)
    expected = replayed(paths, tmp_path / "replay", hop_ns)
    found, run = traded(paths, tmp_path / "backtest", hop_ns)
    assert found == expected
    assert run.fill_count > 20, "bytes of nothing are always the same"


@pytest.mark.recorded
@pytest.mark.timeout(600)
@pytest.mark.parametrize("hop_ns", HOPS_NS)
def test_so_do_they_on_a_real_recording_which_pays_nobody(
    recorded: Path, tmp_path: Path, hop_ns: int
) -> None:
    paths = [recorded / "hftbacktest" / f"{name}.gz" for name in PAIRS]
    found, run = traded(paths, tmp_path / "backtest", hop_ns)
    assert found == replayed(paths, tmp_path / "replay", hop_ns)
    assert run.decisions.count > 1_000
    assert (run.collector.opportunities, run.fill_count) == (0, 0)
    assert run.holes == []


def config(folder: Path, text: str = "") -> Path:
    path = folder / "bt.toml"
    path.write_text(text)
    return path


def facts(folder: Path, text: str = "") -> dict[str, Any]:
    out = folder / "facts.json"
    given = ["backtest", f"--facts={out}", str(config(folder, text)), *map(str, files(folder))]
    assert lab(given) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_latency_costs_what_is_gone_by_then(tmp_path: Path) -> None:
    soon = facts(tmp_path)
    late = facts(tmp_path, "[backtest]\norder_ms = 900\nanswer_ms = 40\njitter_ms = 10\n")
    assert late["fill_count"] < soon["fill_count"]
    first = min(fill["ts_ns"] for fill in soon["fills"])
    assert min(fill["ts_ns"] for fill in late["fills"]) - first > 800_000_000


def test_orders_reach_the_book_that_is_received_later_where_feeds_are_old(tmp_path: Path) -> None:
    soon, old = facts(tmp_path), facts(tmp_path, "[backtest]\nfeed_ms = 50\n")
    gap_ns = min(f["ts_ns"] for f in old["fills"]) - min(f["ts_ns"] for f in soon["fills"])
    assert gap_ns == 50_000_000


def test_fees_fall_with_the_volume(tmp_path: Path) -> None:
    whole = facts(tmp_path)
    tiers = "[backtest.venues.{}]\nfee_tiers = [[0, 10], [30_000, 1]]\n"
    text = "".join(tiers.format(venue) for venue in whole["identity"]["config"]["venues"])
    found = facts(tmp_path, text)
    bps = [fill["fee"] / fill["price"] / fill["qty"] * 1e4 for fill in found["fills"]]
    assert bps[0] == pytest.approx(10, abs=1e-3)
    assert bps[-1] == pytest.approx(1, abs=1e-3)
    assert found["accounts"]["USDT"]["fees"] < whole["accounts"]["USDT"]["fees"]


def test_balances_are_all_there_is(tmp_path: Path) -> None:
    first, second = facts(tmp_path)["identity"]["config"]["venues"]
    text = f"[backtest.venues.{first}]\nbalances = {{ USDT = 25_000 }}\n"
    text += f"[backtest.venues.{second}]\nbalances = {{ BTC = 0.3, USDT = 1 }}\n"
    found = facts(tmp_path, text)
    bought = sum(fill["qty"] for fill in found["fills"] if fill["venue"] == first)
    assert bought == pytest.approx(0.3)
    assert found["capital"]["USDT"] == pytest.approx(25_001 + 0.3 * 60_600.5)


def test_profit_is_that_of_our_own_ledger(tmp_path: Path) -> None:
    found = facts(tmp_path)
    ours = found["result"]["pnl"]["USDT"]
    assert found["curve"]["profits"]["USDT"][-1] == pytest.approx(ours["realized"], abs=0.01)
    assert found["accounts"]["USDT"]["fees"] == pytest.approx(ours["fees"], abs=1e-6)
    assert len(found["curve"]["times_ns"]) == len(found["curve"]["profits"]["USDT"])


def test_one_run_id_is_one_report(tmp_path: Path) -> None:
    paths, ini = files(tmp_path), config(tmp_path, "[backtest]\njitter_ms = 5\n")
    pages = []
    for hash_seed in ("0", "1"):
        out = tmp_path / hash_seed / "report"
        command = [sys.executable, "-m", "services.cli.main", "backtest", str(ini)]
        done = subprocess.run(
            [*command, "--data", *map(str, paths), "--out", str(out)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
        pages.append([(out / name).read_bytes() for name in ("report.json", "report.html")])
    assert pages[0] == pages[1]
    told = json.loads(pages[0][0])
    assert told["performance"]["USDT"]["net"] > 0
    assert "What was not modelled" in pages[0][1].decode()
    assert str(tmp_path) not in pages[0][0].decode()
    again = tmp_path / "again.json"
    given = ["backtest", f"--facts={again}", str(config(tmp_path, "[backtest]\nseed = 8\n"))]
    assert lab([*given, *map(str, paths)]) == 0
    assert research(["trading", f"--facts={again}", f"--out={tmp_path / 'again'}"]) == 0
    other = json.loads((tmp_path / "again" / "report.json").read_text())
    assert other["run_id"] != told["run_id"]


def cut(path: Path) -> None:
    whole = gzip.compress(path.read_bytes())
    path.write_bytes(whole[: len(whole) // 2])


def without_line(path: Path, number: int) -> None:
    lines = path.read_text().splitlines()
    del lines[number]
    path.write_text("\n".join(lines) + "\n")


def backwards(path: Path) -> None:
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")


BAD = {
    "truncated": (cut, "the file is truncated"),
    "empty": (lambda path: path.write_text(""), "it is empty"),
    "of another format": (lambda path: path.write_text("a,b\n1,2\n"), "is not a capture"),
    "out of order": (backwards, "before a line above it; sort the file"),
    "with a hole": (lambda path: without_line(path, 40), "has a hole at 2024-08-08 23:54:17.1"),
    "without a snapshot": (lambda path: without_line(path, 0), "was never LIVE"),
    "not there": (lambda path: path.unlink(), "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_are_not_right_are_one_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files(tmp_path)
    damage, text = BAD[name]
    damage(paths[0])
    out = tmp_path / "facts.json"
    assert lab(["backtest", f"--facts={out}", str(config(tmp_path)), *map(str, paths)]) == 2
    told = capsys.readouterr().err
    assert (told.count("\n"), text in told) == (1, True), told
    assert not out.exists()


CONFIGS = {
    '[venues.{first}]\ninstruments = ["BTC/USDT"]\n': "which no [venues.{second}] names",
    '[venues.{first}]\ninstruments = ["ETH/USDT"]\n[venues.{second}]\n'
    'instruments = ["BTC/USDT"]\n': "ETH/USDT is not in the data; there are: BTC/USDT",
    "[backtest.venues.none]\nleverage = 3\n": "no such venue in the data",
    "[backtest.venues.{first}]\nfee_tiers = [[5, 3]]\n": "the first tier begins at 5; give 0",
    "[backtest.venues.{first}]\nfee_tiers = [[0, 3], [0, 2]]\n": "pairs of rising volume",
    "[backtest.venues.{first}]\nbalances = {{ USDT = -1 }}\n": "give 0 or more",
    "[backtest]\norder_s = 1\n": "unknown key backtest.order_s",
    "[backtest]\norder_ms = -1\n": "backtest.order_ms",
    "[backtets]\n": "unknown key backtets",
    "[[strategies]]\nid = 'a'\nclass = 'none'\n": "no built-in strategy 'none'",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_a_configuration_that_is_not_right_is_one_line(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files(tmp_path)
    first, second = sorted(venue for venue, _ in survey(paths).rules)
    ini = config(tmp_path, text.format(first=first, second=second))
    assert lab(["backtest", f"--facts={tmp_path / 'facts'}", str(ini), *map(str, paths)]) == 2
    told = capsys.readouterr().err
    expected = CONFIGS[text].format(first=first, second=second)
    assert (told.count("\n"), expected in told) == (1, True), told


def test_a_hole_may_be_kept(tmp_path: Path) -> None:
    paths = files(tmp_path)
    without_line(paths[0], 40)
    out, ini = tmp_path / "facts.json", config(tmp_path, '[backtest]\nholes = "keep"\n')
    assert lab(["backtest", f"--facts={out}", str(ini), *map(str, paths)]) == 0
    assert json.loads(out.read_text())["result"]["books"]["gaps"] == 1
