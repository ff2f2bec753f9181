"""`arb optimize` on a strategy that trades: what earns is found, luck is called luck."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.lab.command import main as lab
from services.research.command import main as research
from services.research.lab_study import LabStudy
from tests.study_books import (
    HELD_MINUTES_MAX,
    MOMENTUM,
    TEXT,
    study_config,
    write_study_bars,
    write_study_books,
)
from tests.support import ROOT

NOISE = TEXT.replace("[1.0, 10.0, 60.0]", "[1.0, 5.0, 9.0, 12.0, 15.0, 17.0]")
SECONDS = 600


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_books(tmp_path_factory.mktemp("books") / "store", seconds=SECONDS)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of which a test wants no result, or any."""
    return write_study_books(tmp_path_factory.mktemp("books") / "store", seconds=40)


def searched(config: Path, data: Path, out: Path, *more: str) -> dict[str, Any]:
    assert research(["study", str(config), f"--data={data}", f"--out={out}", *more]) == 0
    found: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    return found


def traded(data: Path, folder: Path, edge_bps_min: float) -> dict[str, Any]:
    """`arb backtest` with one of the sets; the file's [study] is passed over."""
    params = f'class = "cross_venue"\nparams = {{ edge_bps_min = {edge_bps_min} }}'
    config = study_config(folder, TEXT.replace('class = "cross_venue"', params))
    facts = folder / "facts.json"
    assert lab(["backtest", f"--facts={facts}", str(config), str(data)]) == 0
    found: dict[str, Any] = json.loads(facts.read_bytes())
    return found


def test_the_command_picks_the_one_threshold_that_earns(store: Path, tmp_path: Path) -> None:
    """60 differences are wide and last; 240 are narrow, and gone before an order is there."""
    config, out = study_config(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "services.cli.main", "optimize", str(config)]
    command += ["--data", str(store), "--out", str(out), "--jobs", "2", "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["best"], told["passed"]) == ({"edge_bps_min": 10.0}, True)
    found = json.loads((out / "report.json").read_bytes())
    first, second, last = found["sets"]
    assert [each["params"]["edge_bps_min"] for each in found["sets"]] == [10.0, 1.0, 60.0]
    assert (first["round_trips"], last["fills"], last["net"]) == (SECONDS // 10, 0, 0)
    # 10,000 USDT a trip at 27 to 33 bps, less 10 of fees and about 0.5 of spread
    assert first["net"] == pytest.approx(60 * 10_000 * 19.5e-4, rel=0.05)
    assert second["net"] < 0
    walk = found["walk_forward"]
    assert len(walk["folds"]) == (SECONDS - 300) // 60 + 1
    assert {fold["pick"]["edge_bps_min"] for fold in walk["folds"]} == {10.0}
    assert {fold["rank"] for fold in walk["folds"]} == {1.0}
    assert sum(fold["oos_return"] for fold in walk["folds"]) > 0
    assert all(check["passed"] for check in found["gate"])
    assert len((tmp_path / "trials.jsonl").read_bytes().splitlines()) == 3
    page = (out / "report.html").read_text()
    assert "Passes every check" in page
    assert "edge_bps_min 10" in page
    assert "nan" not in page.lower().replace("finance", "")


def test_a_set_decides_and_earns_what_a_backtest_of_it_does(store: Path, tmp_path: Path) -> None:
    found = searched(study_config(tmp_path), store, tmp_path / "out", "--jobs=1")
    one = traded(store, tmp_path, 10.0)
    assert found["performance"]["decisions_hash"] == one["result"]["replay"]["hash"]
    assert found["performance"]["fills"] == one["fill_count"]
    assert found["performance"]["net"] == pytest.approx(one["result"]["pnl"]["USDT"]["realized"])
    assert found["performance"]["fees"] == pytest.approx(one["accounts"]["USDT"]["fees"])


def test_fair_bets_are_called_luck(tmp_path: Path) -> None:
    store = write_study_books(tmp_path / "store", seconds=SECONDS, fair=True)
    found = searched(study_config(tmp_path, NOISE), store, tmp_path / "out")
    assert found["performance"]["net"] > 0, "the best of a sample gains, which proves nothing"
    gate = {check["name"]: check for check in found["gate"]}
    assert not found["passed"]
    for name in ("deflated_sharpe", "overfitting_probability", "reality_check_p", "spa_p"):
        assert not gate[name]["passed"], name
    assert "May well be luck" in (tmp_path / "out" / "report.html").read_text()


def test_one_run_id_is_one_report_however_many_processes(short: Path, tmp_path: Path) -> None:
    text = TEXT.replace('"10s"', '"1s"').replace('"4m"', '"10s"').replace('"1m"', '"10s"')
    config, pages = study_config(tmp_path, text), []
    for jobs in ("1", "3"):
        found = searched(config, short, tmp_path / jobs, f"--jobs={jobs}")
        folder = tmp_path / jobs
        pages.append([(folder / f"report.{kind}").read_bytes() for kind in ("json", "html")])
        assert found["statistics"]["trials"] == 3
    assert pages[0] == pages[1]
    other = study_config(tmp_path, text.replace("order_ms = 30", "order_ms = 31"))
    assert searched(other, short, tmp_path / "other")["run_id"] != found["run_id"]


REFUSED = {
    "no study.grid": ("[study.grid]\nedge_bps_min = [1.0, 10.0, 60.0]", "[study]"),
    "unknown key study.grid.edge_bps_mn; do you mean edge_bps_min?": (
        "edge_bps_min = [",
        "edge_bps_mn = [",
    ),
    "study.grid.edge_bps_min = 10000000.0: Expected `float` <= 1000000.0": ("60.0", "1e7"),
    "study.grid.edge_bps_min = 'low': a grid varies numbers, or true and false": (
        "[1.0, 10.0, 60.0]",
        '["low", "high"]',
    ),
    "study.grid.cooldown_ms = 0.5: Expected `int`": ("edge_bps_min = [", "cooldown_ms = [0.5, "),
    "study.grid.edge_bps_min: give 1 to 200 values, each once": ("60.0", "1.0"),
    "study.grid has 1,001 sets, at most 1000": (
        "edge_bps_min = [1.0, 10.0, 60.0]",
        "edge_bps_min = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]\n"
        f"cooldown_ms = {list(range(11))}\nbook_age_ms_max = {list(range(1, 14))}",
    ),
    "study.grid is of a single set, at least 2": ("[1.0, 10.0, 60.0]", "[1.0]"),
    "study.strategy: no strategy 'mine'; there are: cross": (
        "[study.grid]",
        '[study]\nstrategy = "mine"\n[study.grid]',
    ),
    "study.quote: no market pays in 'USDC'; there are: USDT": (
        "[study.grid]",
        '[study]\nquote = "USDC"\n[study.grid]',
    ),
    "unknown key study.period": ("[study.grid]", "[study]\nperiod = 3\n[study.grid]"),
    "unknown key gate.spa": ("[statistics]", "[gate]\nspa = 1\n[statistics]"),
    "at least 16; give more data, or a shorter statistics.period": ('"10s"', '"1m"'),
    "hold no window of": ('train = "4m"', "train_days = 3"),
    "walk_forward.train: '4 m' is not a length of time": ('"4m"', '"4 m"'),
    "walk-forward: train is 245 s and test 60 s; give whole periods of 10s": ('"4m"', '"245s"'),
    "the data hold 4 periods of 10s after warm-up": ("blocks = 8", "blocks = 4"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_searched_is_one_line_and_nothing_is_run(
    short: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], why: str
) -> None:
    old, new = REFUSED[why]
    text = TEXT.replace('"10s"', '"1s"') if "hold no window" in why else TEXT
    assert old in text
    config, out = study_config(tmp_path, text.replace(old, new)), tmp_path / "out"
    assert research(["study", str(config), f"--data={short}", f"--out={out}"]) == 2
    told = capfd.readouterr()
    assert why in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert not out.exists()
    assert not (tmp_path / "trials.jsonl").exists()


def test_broken_off_it_leaves_no_process_and_no_file(short: Path, tmp_path: Path) -> None:
    config = study_config(tmp_path)
    with LabStudy(config, [short], jobs=2) as running:
        results = running.run(10)
        assert next(results).number == 0
    before = {config}
    assert set(tmp_path.iterdir()) == before


def started(config: Path, store: Path) -> subprocess.Popen[bytes]:
    """Start the lab as a search does."""
    command = [sys.executable, "-m", "services.lab", "study", "--jobs=2", str(config), str(store)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_lab_ends_with_who_asked_it_and_so_do_its_processes(
    store: Path, tmp_path: Path
) -> None:
    with started(study_config(tmp_path), store) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["strategy"] == "cross"
        process.stdin.write(b'{"period_s":10}\n')
        process.stdin.close()
        assert process.stdout.read() == b"", "its processes hold it open as long as they live"
        assert process.wait() == 130


def test_strategies_without_a_grid_are_told_what_to_write(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = study_config(tmp_path, TEXT.partition("[study.grid]")[0])
    assert research(["optimize", str(config), "--data=x", f"--out={tmp_path / 'out'}"]) == 2
    assert "no [study]; give the values to try, like [study.grid]" in capfd.readouterr().err


def test_the_command_says_so_of_several_recordings_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = study_config(tmp_path, TEXT.partition("[study.grid]")[0])
    given = [str(config), "--data=x", "--data=y", f"--out={tmp_path / 'out'}"]
    command = [sys.executable, "-m", "services.cli.main", "optimize", *given]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "no [study]; give the values to try" in capfd.readouterr().err


def test_rounds_are_purged_counted_and_cost_their_fees_where_a_test_begins_in_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = write_study_bars(tmp_path / "store")
    found = searched(study_config(tmp_path, MOMENTUM), store, tmp_path / "out")
    assert "1 set of the grid left out" in capfd.readouterr().err
    assert found["left_out"]["sets"] == 1, "a fast average of 12 bars is not below a slow one of 12"
    walk = found["walk_forward"]
    assert walk["purge_s"] == HELD_MINUTES_MAX * 60
    assert walk["purge_why"] == "the maximum holding time of a round, of all sets"
    assert len(walk["folds"]) == (480 - 180) // 90
    best = found["sets"][0]
    assert best["fills"] == 2 * best["round_trips"] > 4
    entered = walk["switch_cost"] * found["capital"]
    sized = 20_000 * 50 / (400 + 5)  # 50 bps of the equity, lost at a stop of 400 and slippage of 5
    assert entered == pytest.approx(sized * 2e-4, rel=0.02), "2 bps of the round held by then"


def test_once_the_last_result_is_there_all_processes_have_ended(
    short: Path, tmp_path: Path
) -> None:
    with started(study_config(tmp_path), short) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sets = len(json.loads(process.stdout.readline())["sets"])
        process.stdin.write(b'{"period_s":10}\n')
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["number"] for _ in range(sets)] == [0, 1, 2]
        process.stdin.close()  # at once: it is ending its processes now
        assert process.stdout.read() == b"", "they hold it open as long as they live"
        assert process.wait() == 0
